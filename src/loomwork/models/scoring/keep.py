"""Answers on disk: an interrupted evaluation goes on where it was, and a repeated request costs nothing."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from loomwork.core.artifact import canonical_json
from loomwork.core.errors import InputError

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, number REAL, mark INTEGER, text TEXT) WITHOUT ROWID"
ASKED_AT_ONCE = 500  # keys in one question
BUSY_SECONDS = 30
Kept = tuple[float, bool, str]  # log-probability, greedy, text


class Keep:
    """A file of answers by the digest of model, settings and request.

    Args:
        path: the file; made if it is not there. None keeps nothing.
        about: what all requests have in common: model, precision and so on; any JSON.

    Raises:
        InputError: there is a file that is not one of ours.
    """

    def __init__(self, path: Path | None, about: object) -> None:
        self._about = hashlib.blake2b(canonical_json(about), digest_size=32).digest()
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
                # What a crash of the machine loses is computed again; a killed process loses nothing.
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.execute(SCHEMA)
            except sqlite3.DatabaseError as error:
                raise InputError(f"{path} is no file of kept answers: {error}", "remove it, or name another") from None

    def key(self, request: bytes) -> bytes:
        """Of a request, with the model and the settings."""
        return hashlib.blake2b(request, digest_size=16, key=self._about).digest()

    def read(self, keys: Iterable[bytes]) -> dict[bytes, Kept]:
        """The answers that are there."""
        found: dict[bytes, Kept] = {}
        if self._connection is None:
            return found
        left = list(keys)
        for at in range(0, len(left), ASKED_AT_ONCE):
            some = left[at : at + ASKED_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT key, number, mark, text FROM kept WHERE key IN ({marks})", some)  # noqa: S608 (question marks only)
            found.update({key: (number, bool(mark), text) for key, number, mark, text in rows})
        return found

    def write(self, answers: dict[bytes, Kept]) -> None:
        """Keep some answers; once this returns, a kill of the process does not lose them."""
        if self._connection is not None and answers:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)",
                    [(key, number, int(mark), text) for key, (number, mark, text) in answers.items()],
                )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
