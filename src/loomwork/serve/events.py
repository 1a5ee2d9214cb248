"""Every request, as a row in a database of its own (`.loom/service.db`), written by a thread in batches.

A row says what was asked of which artifact and how it went. The text of requests and answers is kept only when the
service was started so.
"""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from loomwork.core.database import BUSY_SECONDS
from loomwork.core.errors import InputError

FILE = "service.db"
VERSION = 1
WAITING_ROWS = 10_000  # more than these are dropped, and counted: a slow disk must not stop the service
BATCH_ROWS = 200
BATCH_SECONDS = 0.2
log = logging.getLogger("loomwork.serve")


@dataclass
class Event:
    """One request.

    Args:
        id: given back as `x-request-id`; feedback can name it.
        at: when it came, seconds since 1970.
        service: the name that is served.
        route: the path of the request, without its query.
        artifact: the model, or for a search the index, that gave the answer.
        status: of HTTP; 499 where the client left before there was one.
        seconds, first_seconds: until the end, and until the first piece of text.
        prompt_tokens, new_tokens: read and generated.
        items: texts embedded, passages found or completions made.
        streamed: whether the answer was.
        finish: why a text ended: stop, length or cancelled.
        error: the code of an error, never its text.
        row_ids: of the passages shown.
        text: what was asked and answered, as JSON; only where the service keeps text.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    at: float = field(default_factory=time.time)
    service: str = ""
    route: str = ""
    artifact: str = ""
    status: int = 0
    seconds: float = 0.0
    first_seconds: float | None = None
    prompt_tokens: int = 0
    new_tokens: int = 0
    items: int = 0
    streamed: bool = False
    finish: str = ""
    error: str = ""
    row_ids: list[str] = field(default_factory=list)
    text: dict[str, Any] | None = None
    began: float = field(default_factory=time.perf_counter, repr=False)

    def mark_first(self) -> None:
        if self.first_seconds is None:
            self.first_seconds = time.perf_counter() - self.began

    def row(self) -> list[Any]:
        row = {name: getattr(self, name) for name in COLUMNS}
        row["row_ids"] = json.dumps(self.row_ids)
        row["text"] = None if self.text is None else json.dumps(self.text, ensure_ascii=False)
        return list(row.values())


COLUMNS = [f.name for f in fields(Event) if f.name != "began"]
_TYPES = {"at": "REAL", "seconds": "REAL", "first_seconds": "REAL"} | dict.fromkeys(
    ("status", "prompt_tokens", "new_tokens", "items", "streamed"), "INTEGER"
)
_FIELDS = ", ".join(f"{column} {_TYPES.get(column, 'TEXT')}" for column in COLUMNS)
_CREATE = f"CREATE TABLE request ({_FIELDS}, PRIMARY KEY (id))"
_INSERT = f"INSERT INTO request ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608


class EventLog:
    """Where a service writes its events.

    Args:
        path: the database; made when missing.
        keep_text: whether the text of requests and answers is kept.

    Raises:
        InputError: the file is no database, or is of a newer Loomwork.
    """

    def __init__(self, path: Path, *, keep_text: bool = False) -> None:
        self.path, self.keep_text, self.lost = path, keep_text, 0
        with closing(_open(path)):  # what is wrong with the file shows at start, not at the first request
            pass
        self._rows: queue.Queue[list[Any] | None] = queue.Queue(WAITING_ROWS)
        self._thread = threading.Thread(target=self._run, name="loomwork-events", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Hand an event to the writer. Never waits."""
        if not self.keep_text:
            event.text = None
        try:
            self._rows.put_nowait(event.row())
        except queue.Full:
            self._lose(1, "the disk is too slow")

    def close(self) -> None:
        """Write what is waiting, and end."""
        if self._thread.is_alive():
            self._rows.put(None)
            self._thread.join()

    def _run(self) -> None:
        with closing(_open(self.path)) as database:
            more = True
            while more:
                rows, more = self._batch()
                try:
                    with database:
                        database.executemany(_INSERT, rows)
                except sqlite3.Error as error:  # a full disk: the service goes on, and says what is missing
                    self._lose(len(rows), str(error))

    def _batch(self) -> tuple[list[list[Any]], bool]:
        """The rows of one transaction, and whether more may come."""
        rows: list[list[Any]] = []
        row = self._rows.get()
        until = time.monotonic() + BATCH_SECONDS
        while row is not None:
            rows.append(row)
            left = until - time.monotonic()
            if len(rows) >= BATCH_ROWS or left <= 0:
                return rows, True
            try:
                row = self._rows.get(timeout=left)
            except queue.Empty:
                return rows, True
        return rows, False

    def _lose(self, count: int, why: str) -> None:
        if not self.lost:
            log.warning("events cannot be written to %s: %s", self.path, why)
        self.lost += count


def read_events(path: Path, *, row_id: str = "", artifact: str = "") -> list[dict[str, Any]]:
    """The events of a service database, oldest first.

    Args:
        row_id: only those that showed this row.
        artifact: only those that this artifact answered.
    """
    if not path.is_file():
        return []
    where, values = ["1"], []
    if row_id:
        where.append("EXISTS (SELECT 1 FROM json_each(row_ids) WHERE value = ?)")
        values.append(row_id)
    if artifact:
        where.append("artifact = ?")
        values.append(artifact)
    with closing(_open(path)) as database:
        database.row_factory = sqlite3.Row
        query = f"SELECT * FROM request WHERE {' AND '.join(where)} ORDER BY at, id"  # noqa: S608
        found = [dict(row) for row in database.execute(query, values)]
    for row in found:
        row["row_ids"] = json.loads(row["row_ids"])
        row["text"] = json.loads(row["text"]) if row["text"] else None
    return found


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        database = sqlite3.connect(path, timeout=BUSY_SECONDS)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        with database:
            database.execute("BEGIN IMMEDIATE")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                database.execute(_CREATE)
                database.execute("CREATE INDEX request_at ON request (at)")
                database.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.Error as error:
        raise InputError(f"the service's database {path} cannot be opened: {error}") from None
    if version > VERSION:
        raise InputError(f"{path} was written by a newer Loomwork", "pip install -U loomwork")
    return database
