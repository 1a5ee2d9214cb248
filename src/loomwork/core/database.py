"""The ledger's connection: transactions that are safe under many writers, on SQLite and PostgreSQL.

Every write is one transaction. On SQLite it begins IMMEDIATE, in WAL mode, with a 30 s busy timeout: with less
than that, writers that read first lose updates. Reading never blocks writing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import sqlalchemy as sa

from loomwork.core import schema as t
from loomwork.core.errors import DamagedArtifact, InputError, LoomError, MissingDependency

BUSY_SECONDS = 30
Record = dict[str, Any]


class Database:
    """Transactions at a SQLAlchemy URL, its tables brought up to date on opening.

    Args:
        url: "sqlite:////path/ledger.db" or "postgresql+psycopg://user@host/database".

    Raises:
        InputError: the URL cannot be read or reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.shown = _without_password(url)
        self.engine = _engine(url)
        try:
            self._migrate()
        except sa.exc.OperationalError as error:
            raise InputError(
                f"the ledger at {self.shown} cannot be opened: {error.orig}", "check LOOMWORK_LEDGER"
            ) from None
        except sa.exc.DatabaseError as error:
            raise DamagedArtifact(
                f"the ledger at {self.shown} is damaged: {error.orig}",
                "bring back a copy of it, or move it away: the store is left, and runs begin anew",
            ) from None

    # -- transactions

    @contextmanager
    def writing(self, lock: str = "") -> Iterator[sa.Connection]:
        """One write transaction. `lock`: what must not be decided twice at once (a cache key, a name)."""
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                self._begin(connection)
            elif lock:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))"), {"lock": lock})
            try:
                yield connection
                self._end(connection, "COMMIT")
            except BaseException as error:
                with suppress(sa.exc.DBAPIError):
                    self._end(connection, "ROLLBACK")
                if isinstance(error, sa.exc.OperationalError) and "disk" in str(error.orig):
                    raise LoomError(
                        f"the ledger at {self.shown} could not be written: {error.orig}",
                        "free some space (loom gc), or set LOOMWORK_HOME to another disk",
                    ) from None
                raise

    def _begin(self, connection: sa.Connection) -> None:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except sa.exc.OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            raise LoomError(
                f"another program has held the ledger at {self.shown} for {BUSY_SECONDS} s",
                "close what has it open for writing (a database browser, a backup), and run again",
            ) from None

    def _end(self, connection: sa.Connection, how: Literal["COMMIT", "ROLLBACK"]) -> None:
        # SQLite runs in autocommit mode, so that BEGIN IMMEDIATE is ours; SQLAlchemy knows of no transaction there.
        if self.engine.dialect.name == "sqlite":
            connection.exec_driver_sql(how)
        elif how == "COMMIT":
            connection.commit()
        else:
            connection.rollback()

    def rows(self, query: sa.Executable, **values: Any) -> list[Record]:
        """All rows of a query, as dicts."""
        with self.engine.connect() as connection:
            return [dict(r) for r in connection.execute(query, values).mappings()]

    def row(self, query: sa.Executable, **values: Any) -> Record | None:
        found = self.rows(query, **values)
        return found[0] if found else None

    def close(self) -> None:
        self.engine.dispose()

    def _applied(self) -> set[str]:
        """The migrations that the ledger has had; none if it is new (asking for its tables would cost more)."""
        try:
            return {r["name"] for r in self.rows(sa.select(t.applied.c.name))}
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            return set()

    def _migrate(self) -> None:
        names = [m.__name__ for m in t.MIGRATIONS]
        done = self._applied()
        unknown = done - set(names)
        if unknown:
            raise InputError(
                f"the ledger at {self.shown} was written by a newer Loomwork ({min(unknown)})",
                "pip install -U loomwork",
            )
        if done == set(names):
            return
        with self.writing(lock="migration") as connection:
            t.applied.create(connection, checkfirst=True)
            done = {r[0] for r in connection.execute(sa.select(t.applied.c.name))}
            for migrate in t.MIGRATIONS:
                if migrate.__name__ not in done:
                    migrate(connection)
                    connection.execute(t.applied.insert(), {"name": migrate.__name__, "at": time.time()})


def _without_password(url: str) -> str:
    try:
        return sa.engine.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "a URL that cannot be read"


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.engine.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            engine = sa.create_engine(
                parsed, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
            )
            sa.event.listen(engine, "connect", _sqlite_pragmas)
            return engine
        return sa.create_engine(parsed, pool_pre_ping=True)
    except sa.exc.ArgumentError:
        raise InputError("LOOMWORK_LEDGER is not a database URL", "for example sqlite:////path/ledger.db") from None
    except ImportError as error:
        raise MissingDependency(
            f"the ledger at {_without_password(url)}", error.name or "psycopg", "postgres"
        ) from None


def _sqlite_pragmas(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={int(BUSY_SECONDS * 1000)}"):
        connection.execute(f"PRAGMA {pragma}")
