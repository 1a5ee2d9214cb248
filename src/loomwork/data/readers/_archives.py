"""The members of zip and tar archives, one after the other, each to be read by its own reader.

Nothing is written under a member's name, yet names that lead out of the archive are refused: they show that it was
made to do harm, and `source` would lie.
"""

from __future__ import annotations

import io
import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from loomwork.data.readers import Fault, SourceFile
from loomwork.data.readers._unpacked import SPOOL_BYTES, Meter, Refused, suffixes

ARCHIVES = (".zip", ".tar")
DEPTH = 4  # archives in archives
# RuntimeError is zipfile's for a locked member, NotImplementedError for a compression that it does not know.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError)
BLOCK_BYTES = 1 << 16  # what is lost before a break


def is_archive(name: str) -> bool:
    """Whether the members of a file of that name are read, and not the file itself."""
    return suffixes(name)[0] in ARCHIVES


def members(archive: SourceFile) -> Iterator[SourceFile | Fault]:
    """The files in an archive in its order, and faults for what is refused.

    A member can be opened until the next one is asked for.

    Raises:
        ValueError, OSError, EOFError: the archive is damaged; the members before were given.
    """
    if archive.name.count("!") >= DEPTH:
        yield Fault(0, f"nested too deeply: more than {DEPTH} archives in one another")
        return
    found = _zip_members(archive) if suffixes(archive.name)[0] == ".zip" else _tar_members(archive)
    try:
        yield from found
    except DAMAGE as error:
        raise ValueError(f"the archive is damaged: {error}") from None


def _zip_members(archive: SourceFile) -> Iterator[SourceFile | Fault]:
    with archive.open_seekable() as stream, zipfile.ZipFile(stream) as found:
        for info in found.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                continue
            why = _refusal(info.filename)
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                why = "it is a link or a device"
            if info.flag_bits & 1:
                yield Fault(0, f"encrypted member: {_shown(info.filename)}")
            elif why:
                yield Fault(0, f"refused member: {why}: {_shown(info.filename)}")
            else:
                yield _member(archive, info.filename, ZipMember(found, info, archive.own_meter))


def _tar_members(archive: SourceFile) -> Iterator[SourceFile | Fault]:
    with archive.open() as stream, tarfile.open(fileobj=stream, mode="r|") as found:
        for info in found:
            found.members = []  # type: ignore[attr-defined]  # else it keeps them all
            if info.isdir():
                continue
            why = _refusal(info.name)
            if not info.isreg() or info.sparse is not None:
                why = "it is a link, a device or a sparse file"
            if why:
                yield Fault(0, f"refused member: {why}: {_shown(info.name)}")
                continue
            with closing(TarMember(found, info)) as opener:
                yield _member(archive, info.name, opener)


def _member(archive: SourceFile, name: str, opener: Any) -> SourceFile:
    return SourceFile(
        Path(PurePosixPath(name).name),
        suffixes(name)[0],
        archive.unit,
        f"{archive.name}!{_shown(name)}",
        archive.encoding,
        archive.limits,
        opener,
        archive.own_meter,
        archive.header,
        archive.columns,
        archive.as_text,
    )


def _refusal(name: str) -> str:
    """Why a member's name is refused, or ""."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or (len(name) > 1 and name[1] == ":"):
        return "its path is absolute"
    return "its path leads out of the archive" if ".." in path.parts else ""


def _shown(name: str) -> str:
    return name.removeprefix("./").encode("utf-8", "backslashreplace").decode()


class ZipMember:
    """Opens a member of a zip; what it unpacks to is counted once, however often it is opened."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter) -> None:
        self._archive, self._info, self._meter = archive, info, meter
        self._counted = 0

    def __call__(self) -> BinaryIO:
        try:
            stream = self._archive.open(self._info)
        except DAMAGE as error:
            raise ValueError(f"the archive is damaged: {error}") from None
        return cast(BinaryIO, io.BufferedReader(_Counted(stream, self.count), 1 << 17))

    def count(self, position: int) -> None:
        """Count up to this position of the member."""
        if position > self._counted:
            self._meter.add(position - self._counted)
            self._counted = position


class _Counted(io.RawIOBase):
    """A member's bytes; says how far it was read, and calls damage by one name."""

    def __init__(self, stream: Any, count: Any) -> None:
        self._stream, self._count, self._position = stream, count, 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read1(len(buffer))
        except DAMAGE as error:
            raise ValueError(f"the archive is damaged: {error}") from None
        self._position += len(piece)
        self._count(self._position)
        buffer[: len(piece)] = piece
        return len(piece)


class TarMember:
    """Opens a member of a tar that is read as a stream: what was read of it is kept until the next one."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._archive, self._info = archive, info
        self._spool: Any = None
        self.error: Exception | None = None

    def __call__(self) -> BinaryIO:
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
            source: Any = self._archive.extractfile(self._info)
            try:
                while source and (block := source.read1(BLOCK_BYTES)):
                    self._spool.write(block)
            except (*DAMAGE, OSError, EOFError, ValueError) as error:
                self.error = error if isinstance(error, Refused) else EOFError(f"the archive is damaged: {error}")
        return cast(BinaryIO, io.BufferedReader(_Again(self._spool, self), 1 << 17))

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()


class _Again(io.RawIOBase):
    """One reading of a spooled member; the error that ended the spooling comes at its end."""

    def __init__(self, spool: Any, member: TarMember) -> None:
        self._spool, self._member, self._position = spool, member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._member.error is None

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._spool.seek(self._position if whence == io.SEEK_CUR else 0, io.SEEK_SET)
        self._position = self._spool.seek(offset, whence)
        return self._position

    def readinto(self, buffer: Any) -> int:
        self._spool.seek(self._position)
        piece = self._spool.read(len(buffer))
        if not piece and self._member.error:
            raise self._member.error
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
