"""From what a path means to chunks of rows: archives opened, each file given to its reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from loomwork.core.remote import Remote
from loomwork.data.readers import Chunk, Fault, Reader, SourceFile, by_name, readers
from loomwork.data.readers._archives import is_archive, members
from loomwork.data.readers._unpacked import Limits, Meter, Refused, suffixes

UNREADABLE = (OSError, EOFError, ValueError)  # Arrow's own errors are among them
TEXT = "text"  # the reader of a text without an extension
SNIFFED_BYTES = 4096
CONTROLS = frozenset(range(9)) | frozenset(range(14, 27)) | frozenset(range(28, 32))  # 27 begins Japanese in ISO 2022


class Choice:
    """Which reader reads a file.

    Args:
        reader: the name of the one for all; None to go by the extension.
    """

    def __init__(self, reader: str | None) -> None:
        self._all = by_name(reader) if reader else None
        self._known: dict[str, str] = {} if self._all else readers()
        self._tables = by_name("csv").read
        self.files = self.tables = 0  # tables: files read as CSV or TSV

    @property
    def extensions(self) -> list[str]:
        """Those that can be read."""
        return sorted(self._all.EXTENSIONS if self._all else self._known)

    def is_table(self, reader: Reader) -> bool:
        """Whether it is the reader of CSV and TSV, which the settings `header` and `columns` are for."""
        return reader is self._tables

    def reader(self, file: SourceFile) -> Reader | None:
        """The reader of a file, or None."""
        if self._all:
            if file.extension not in self._all.EXTENSIONS:
                file.extension = self._all.EXTENSIONS[0]
            found: Reader = self._all.read
            return found
        name = self._known.get(file.extension)
        if not name and not file.extension and _is_text(file):
            name = TEXT
        return by_name(name).read if name else None


def _is_text(file: SourceFile) -> bool:
    """Whether a file without an extension begins as a text does: without control characters."""
    with file.open() as stream:
        head = stream.read(SNIFFED_BYTES)
    return bool(head) and not set(head) & CONTROLS


def source_file(source: Path | Remote, name: str, unit: str, encoding: str | None, limits: Limits) -> SourceFile:
    """The file to read of a path or a URL."""
    extension = suffixes(name)[0]
    if isinstance(source, Path):
        return SourceFile(source, extension, unit, name, encoding, limits)
    place = Path(PurePosixPath(name).name)
    return SourceFile(place, extension, unit, name, encoding, limits, source.open, Meter(source.size, limits))


def chunks(file: SourceFile, known: Choice) -> Iterator[tuple[SourceFile, Chunk]]:
    """What a file gives, and which file it was in the end. An error in the middle sets its rest aside.

    Raises:
        Refused: from within an archive: it unpacks to too much, and the whole of it is left.
    """
    inside = "!" in file.name
    try:
        if is_archive(file.name):
            for member in members(file):
                if isinstance(member, Fault):
                    yield file, Chunk(faults=[member])
                else:
                    yield from chunks(member, known)
            return
        if file.opener is None and file.path.is_dir():
            os.scandir(file.path).close()  # it is here because it cannot be listed: says why
        known.files += 1
        reader = known.reader(file)
        if reader is None:
            yield file, Chunk(faults=[Fault(0, f"unknown format: {suffixes(file.name)[0] or 'no extension'}")])
            return
        known.tables += known.is_table(reader)
        nothing = True
        for chunk in reader(file):
            nothing = nothing and not len(chunk.rows) and not chunk.faults
            yield file, chunk
        if nothing:
            yield file, Chunk(faults=[Fault(0, "no rows below the columns' names" if file.named else "empty file")])
    except Refused as error:
        if inside:
            raise
        yield file, Chunk(faults=[Fault(0, f"refused: {error}; what follows was not read")])
    except UNREADABLE as error:
        kind = "unreadable file" if isinstance(error, OSError) and error.errno else "damaged file"
        yield file, Chunk(faults=[Fault(0, f"{kind}: {type(error).__name__}: {error}; what follows was not read")])
