"""Readers of file formats: one module each, found by path. A new format is one new module here.

A reader module has `EXTENSIONS`, lower case with the dot, and

    def read(file: SourceFile) -> Iterator[Chunk]: ...

Heavy imports happen inside `read`. What cannot be read is given as a Fault; an exception
sets the rest of the file aside.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

CHUNK_ROWS = 2048


class Fault(NamedTuple):
    """What could not be read: where it begins (a line or row number, 0 for a whole file), why, and its text."""

    place: int
    reason: str
    text: str = ""


@dataclass
class Chunk:
    """Some rows of a file.

    Args:
        rows: dicts or an Arrow table.
        places: the line (or row) number of each row, from 1; 0 where the file is one row.
        faults: what could not be read.
    """

    rows: Any = field(default_factory=list)
    places: Sequence[int] = ()
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class SourceFile:
    """A file to read.

    Args:
        path: where it is.
        extension: which format it has, without ".gz".
        unit: what is a row of a text file: the whole file, a paragraph or a line.
    """

    path: Path
    extension: str
    unit: str = "file"

    def open(self) -> BinaryIO:
        """Its bytes, uncompressed."""
        if self.path.suffix.lower() == ".gz":
            return cast(BinaryIO, gzip.open(self.path, "rb"))
        return self.path.open("rb")


Reader = Callable[[SourceFile], Iterator[Chunk]]


def readers() -> dict[str, Reader]:
    """The reader of each extension."""
    found: dict[str, Reader] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        loaded = importlib.import_module(f"{__name__}.{module}")
        found |= dict.fromkeys(loaded.EXTENSIONS, loaded.read)
    return found


def version() -> str:
    """A digest of the source of every reader: they are found by path, so a step's code fingerprint cannot see them."""
    sources = sorted(Path(__path__[0]).glob("*.py"))
    return hashlib.sha256(b"\0".join(p.name.encode() + b"\0" + p.read_bytes() for p in sources)).hexdigest()[:16]


def in_chunks(found: Iterator[tuple[int, dict[str, Any] | Fault]]) -> Iterator[Chunk]:
    """Gather single rows and faults, as readers of row formats find them, into chunks."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    faults: list[Fault] = []
    for place, row in found:
        if isinstance(row, Fault):
            faults.append(row)
        else:
            rows.append(row)
            places.append(place)
        if len(rows) + len(faults) >= CHUNK_ROWS:
            yield Chunk(rows, places, faults)
            rows, places, faults = [], [], []
    if rows or faults:
        yield Chunk(rows, places, faults)
