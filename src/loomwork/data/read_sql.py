"""Rows of a database, by an SQL query."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import AfterValidator

from loomwork.core.context import context
from loomwork.core.dataset import DatasetWriter
from loomwork.core.errors import InputError, MissingDependency, Stopped
from loomwork.core.secret import VARIABLE, filled, hidden, require_no_secret
from loomwork.core.step import Card, Revision, step
from loomwork.data._read_rows import RowWriter
from loomwork.data._rows import counted
from loomwork.data.readers import CHUNK_ROWS, TOO_DEEP, Fault, SourceFile, in_chunks, too_deep

STORABLE = (str, bytes, bool, int, float, Decimal, datetime.date, datetime.time, datetime.timedelta, list, dict)


def _without_password(url: str) -> str:
    """The URL, if it holds no secret itself: settings are stored."""
    require_no_secret(url, "the URL of a database")
    return url


@step(makes="dataset", uses=["sqlalchemy"])
def read_sql(
    *,
    url: Annotated[str, AfterValidator(_without_password)],
    query: str,
    revision: Annotated[str | None, Revision()] = None,
    out: Path,
) -> Card:
    """Read the rows that an SQL query gives, from any database that SQLAlchemy knows.

    They are streamed. Nothing is ever committed, and on SQLite and PostgreSQL nothing but reading is allowed; elsewhere
    use an account that may only read. Every row gets `source`, as "database:12", numbered as they come: a query
    without ORDER BY may give them in another order next time. Values of types that a dataset has not (UUIDs, network
    addresses) become texts.

    Args:
        url: of the database, "sqlite:///data.db". A password is given as ${NAME} of an environment variable that holds
            it as it is; one variable may also hold the whole URL. Only the variable's name is stored.
        query: one SELECT, in the database's own SQL.
        revision: any word for the state of the data ("2026-06"): while it is the same, nothing is read again. Without
            it the query is run anew each time.

    Raises:
        InputError: the database cannot be reached, the query fails or gives no rows, or a variable is not set.
        MissingDependency: the driver of this database is not installed.
    """
    values: list[str] = []
    with DatasetWriter(out) as writer, _explained(url, values):
        rows, file = RowWriter(writer), SourceFile(Path("query"), "", name=_name(url))
        for chunk in in_chunks(_rows(_filled(url, values), query)):
            rows.write(chunk, file)
            context().progress(chunk.places[-1], unit="rows")
            if context().stop_requested:
                raise Stopped("stopped while reading a database", "run it again to read it from the start")
        if not writer.counts["data"]:
            reason = next(iter(writer.reasons), "")
            raise InputError(f"the query gave no rows{reason and f' that can be stored: {reason}'}", "check its WHERE")
    return counted(writer)


def _rows(url: str, query: str) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    _require_file(engine.url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(postgresql_readonly=True)
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        # The text goes to the driver as it is: ":" and "%" in it are no parameters.
        options = {"stream_results": True, "yield_per": CHUNK_ROWS, "no_parameters": True}
        result = connection.exec_driver_sql(query, execution_options=options)
        if not result.returns_rows:
            raise InputError("the statement gives no rows, as a SELECT does", "only reading is allowed here")
        names = list(result.keys())
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise InputError(f"the query gives two columns called {twice!r}", "name them with AS")
        rows = (row for batch in result.partitions(CHUNK_ROWS) for row in batch)
        for place, row in enumerate(rows, 1):
            values = dict(zip(names, map(_storable, row), strict=True))
            yield place, Fault(place, TOO_DEEP) if too_deep(values) else values


def _require_file(url: sa.engine.URL) -> None:
    """SQLite makes an empty database of a file that is not there."""
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:" or file.startswith("file:"):
        return
    if not Path(file).is_file():
        raise InputError(
            f"no such SQLite file: {Path(file).name}",
            "sqlite:///a.db is a.db in this folder, sqlite:////home/me/a.db an absolute path",
        )


def _storable(value: Any) -> Any:
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return value if value is None or isinstance(value, STORABLE) else str(value)


def _filled(url: str, values: list[str]) -> str:
    """The URL with the values of its variables, which are also put into `values`, to be kept out of messages."""
    if not VARIABLE.fullmatch(url):
        return filled(url, values)
    found = filled(url, values, encode=str)
    password = sa.engine.make_url(found).password
    values.extend([str(password)] if password else [])
    return found


def _name(url: str) -> str:
    """What `source` calls the database: its name, without what may be secret."""
    if VARIABLE.fullmatch(url):
        return "sql"
    try:
        name = sa.engine.make_url(url).database or ""
    except sa.exc.ArgumentError:
        name = ""
    return VARIABLE.sub("", name).rsplit("/", 1)[-1] or "sql"


@contextmanager
def _explained(url: str, values: list[str]) -> Iterator[None]:
    """Turn the errors of SQLAlchemy and of drivers into ours, the secrets taken out."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependency(f"the database {url}", error.name or str(error)) from None
    except (sa.exc.SQLAlchemyError, UnicodeError) as error:
        text = hidden(str(getattr(error, "orig", None) or error).strip(), values)
        hint = "check the query and the URL"
        raise InputError(f"the database {url} cannot be read: {type(error).__name__}: {text}", hint) from None
