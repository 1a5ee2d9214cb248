"""Readers of file formats: one module each, found by path. A new format is one new module here.

A reader module has `EXTENSIONS`, a plain tuple of extensions in lower case with the dot, and

    def read(file: SourceFile) -> Iterator[Chunk]: ...

and, where libraries decide what it gives, `USES`, the names of their distributions.

Its name is what `reader=` takes. Modules whose name begins with "_" are no readers. Heavy imports happen inside
`read`. What cannot be read is given as a Fault; an exception sets the rest of the file aside.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers._unpacked import Limits, Meter, seekable, unpacked

CHUNK_ROWS = 2048
CHUNK_BYTES = 32 << 20  # of texts, about
FAULT_CHARS = 1 << 20  # of what could not be read, that are kept
DEEPEST = 32  # of values within values: Parquet cannot store what is nested some hundred deep
TOO_DEEP = f"nested too deeply: more than {DEEPEST} values within one another"


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


@dataclass
class SourceFile:
    """A file to read: on disk, behind a URL, or in an archive.

    Args:
        path: where it is; of what is not on disk, only its name.
        extension: which format it has, without ".gz" and the like.
        unit: what is a row of a text or document: the whole "file", a "page" where there are pages, a "paragraph" or
            a "line".
        name: what `source` shows, "archive.zip!folder/member.jsonl"; by default the file's name.
        encoding: of texts, where the user has said it.
        limits: how large a row, and what an archive unpacks to, may be.
        opener: gives its bytes as they lie there; by default those of `path`.
        meter: counts what the whole file on disk unpacks to.
        header: of CSV and TSV, whether the first record names the columns; "auto" if `columns` are not given.
        columns: of CSV and TSV, the columns' names.
        as_text: columns that the user wants as texts: a format that has texts only gives them as they stand.
    """

    path: Path
    extension: str
    unit: str = "file"
    name: str = ""
    encoding: str | None = None
    limits: Limits = field(default_factory=Limits)
    opener: Callable[[], BinaryIO] | None = None
    meter: Meter | None = None
    header: bool | Literal["auto"] = "auto"
    columns: Sequence[str] = ()
    as_text: Sequence[str] = ()
    named: bool = False  # whether a table's line of names was read
    doubt: str = ""  # why the header that was read may be none
    found_encoding: str = "utf-8"  # of the text that was read last

    def __post_init__(self) -> None:
        self.name = (self.name or self.path.name).encode("utf-8", "backslashreplace").decode()
        self._opened = False

    @cached_property
    def own_meter(self) -> Meter:
        """Its own, where it lies in no archive."""
        return self.meter or Meter(self.path.stat().st_size if self.opener is None else None, self.limits)

    def open(self) -> BinaryIO:
        """Its bytes, uncompressed. Each call begins at the start; the stream may not be able to seek."""
        raw = self.opener() if self.opener else self.path.open("rb")
        again, self._opened = self._opened, True  # what is unpacked a second time is not more
        return unpacked(raw, self.name, Meter(None, self.limits) if again else self.own_meter)

    def open_seekable(self) -> BinaryIO:
        """The same for libraries that jump about: what is compressed is first unpacked, beyond 64 MB to disk."""
        return seekable(self.open())

    def open_utf8(self) -> Utf8Stream:
        """Its text as UTF-8 bytes, whatever its encoding is, without a byte-order mark. See readers/_decoded.py."""

        def found(encoding: str) -> None:
            self.found_encoding = encoding

        found("utf-8")
        return Utf8Stream(self.open(), self.encoding, found)


Reader = Callable[[SourceFile], Iterator[Chunk]]


def names() -> list[str]:
    """The names of all readers."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def by_name(name: str) -> Any:
    """The module of a reader, with its `EXTENSIONS` and `read`."""
    return importlib.import_module(f"{__name__}.{name}")


@cache
def readers() -> dict[str, str]:
    """The name of the reader of each extension, found without importing any."""
    return {extension: name for name in names() for extension in _declared(name, "EXTENSIONS")}


def _declared(name: str, constant: str) -> tuple[str, ...]:
    """What a reader's module says in a constant; () if it has none of that name."""
    for node in ast.parse(Path(__path__[0], f"{name}.py").read_bytes()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name) and target.id == constant:
            return tuple(ast.literal_eval(node.value))
    return ()


def version() -> str:
    """A digest of the source of every reader and of what it imports from the lower floors, and the versions of the
    libraries that they use: readers are found by path, so a step's code fingerprint cannot see them.
    """
    root = Path(__path__[0]).parents[1]
    todo, seen = sorted(Path(__path__[0]).glob("*.py")), dict[str, bytes]()
    while todo:
        path = todo.pop()
        if (name := path.relative_to(root).as_posix()) in seen:
            continue
        seen[name] = path.read_bytes()
        for module in re.findall(rb"from loomwork\.((?:text|stats)[\w.]*) import", seen[name]):
            file = root / (module.decode().replace(".", "/") + ".py")
            todo += [file] if file.is_file() else []
    uses = {"charset-normalizer", *(used for name in names() for used in _declared(name, "USES"))}
    sources = [name.encode() + b"\0" + seen[name] for name in sorted(seen)]
    libraries = [f"{name} {_installed(name)}".encode() for name in sorted(uses)]
    return hashlib.sha256(b"\0".join([*sources, *libraries])).hexdigest()[:16]


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def too_deep(value: Any) -> bool:
    """Whether objects and lists lie more than DEEPEST within one another."""
    layer = [value]
    for _ in range(DEEPEST):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
        if not layer:
            return False
    return True


def require_shallow(schema: Any) -> None:
    """The same for the types of an Arrow schema.

    Raises:
        ValueError: a column is nested too deeply.
    """
    for column in schema:
        layer = [column.type]
        for _ in range(DEEPEST):
            layer = [kind.field(i).type for kind in layer for i in range(kind.num_fields)]
        if layer:
            raise ValueError(f"column {column.name!r} is {TOO_DEEP}")


def in_chunks(found: Iterator[tuple[int, dict[str, Any] | Fault]]) -> Iterator[Chunk]:
    """Gather single rows and faults, as readers of row formats find them, into chunks.

    An exception comes after the rows before it.
    """
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    faults: list[Fault] = []
    size = 0
    try:
        for place, row in found:
            if isinstance(row, Fault):
                faults.append(row)
                size += len(row.text)
            else:
                rows.append(row)
                places.append(place)
                size += sum(len(v) for v in row.values() if isinstance(v, str | bytes))
            if len(rows) + len(faults) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                yield Chunk(rows, places, faults)
                rows, places, faults, size = [], [], [], 0
    except (OSError, EOFError, ValueError):
        yield Chunk(rows, places, faults)
        raise
    if rows or faults:
        yield Chunk(rows, places, faults)
