"""Streams of compressed files: gz, zst, bz2 and xz, metered so that a small file cannot unpack without end."""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
SHORT = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".tbz": ".tar.bz2", ".txz": ".tar.xz", ".tzst": ".tar.zst"}
SPOOL_BYTES = 64 << 20  # of an unpacked file that stay in memory
SMALL_BYTES = 64 << 20  # to unpack to so much is never suspicious
FEED_BYTES = {".zst": 1 << 12}  # zstd gives all that a piece unpacks to at once, up to 32 kB for each byte
DEFAULT_FEED_BYTES = 1 << 16
ZSTD_WINDOW_BYTES = 1 << 27


class Truncated(EOFError):
    """A compressed file that ends too early."""


class Refused(ValueError):
    """What is not unpacked, because it could be an attack."""


@dataclass(frozen=True)
class Limits:
    """What reading holds and unpacks at most.

    Args:
        row_bytes: one row: a line, a record, or a text file that becomes one.
        unpacked_bytes: all that one compressed file or archive unpacks to, on all its levels.
        ratio: how many times its own size that may be.
    """

    row_bytes: int = 1 << 27
    unpacked_bytes: int = 1 << 36
    ratio: float = 200.0


class Meter:
    """What one file on disk has been unpacked to, counted through all its levels.

    Args:
        packed_bytes: the file's size; None where it is not known, and there is no ratio.
        limits: what is too much.
    """

    def __init__(self, packed_bytes: int | None, limits: Limits) -> None:
        most = limits.unpacked_bytes
        self.why = f"it unpacks to more than {most} bytes; max_unpacked_bytes= allows more"
        if packed_bytes is not None and max(SMALL_BYTES, packed_bytes * limits.ratio) < most:
            most = max(SMALL_BYTES, int(packed_bytes * limits.ratio))
            self.why = (
                f"it unpacks to more than {limits.ratio:g} times its {packed_bytes} bytes; max_ratio= allows more"
            )
        self.most, self.total = most, 0

    def add(self, size: int) -> None:
        """Count what was unpacked.

        Raises:
            Refused: it is too much.
        """
        self.total += size
        if self.total > self.most:
            raise Refused(f"an archive bomb, or as good as one: {self.why}")


def suffixes(name: str) -> tuple[str, str]:
    """The extension of a name and that of its compression: (".jsonl", ".gz"), or (".jsonl", "")."""
    lower = name.lower().rsplit("!", 1)[-1].rsplit("/", 1)[-1]
    for short, long in SHORT.items():
        lower = lower.removesuffix(short) + long if lower.endswith(short) else lower
    outer = next((c for c in COMPRESSIONS if lower.endswith(c)), "")
    stem = lower.removesuffix(outer).lstrip(".")
    return ("." + stem.rsplit(".", 1)[1] if "." in stem else "", outer)


def unpacked(raw: BinaryIO, name: str, meter: Meter) -> BinaryIO:
    """The bytes of a file, unpacked if its name says that they are compressed."""
    compression = suffixes(name)[1]
    if not compression:
        return raw
    return io.BufferedReader(Unpacked(raw, compression, meter), 1 << 17)


def seekable(stream: BinaryIO) -> BinaryIO:
    """The stream itself, or its content in a file that is gone once it is closed."""
    if stream.seekable():
        return stream
    spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
    with stream:
        shutil.copyfileobj(stream, spool, 1 << 20)
    spool.seek(0)
    return cast(BinaryIO, spool)


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a stream of one compressed file or of several, one after the other.

    Raises, while reading:
        Truncated: the file is cut off. What came before was given.
        Refused: it unpacks to too much.
        ValueError: it is damaged.
    """

    def __init__(self, raw: BinaryIO, compression: str, meter: Meter) -> None:
        self._raw, self._kind, self._meter = raw, compression, meter
        self._feed = FEED_BYTES.get(compression, DEFAULT_FEED_BYTES)
        self._engine: Any = None
        self._packed = b""  # read, and not unpacked yet
        self._ready = memoryview(b"")
        self._broken = ""  # why nothing more can be unpacked

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not len(self._ready):
            piece = self._next()
            if piece is None:
                return 0
            self._meter.add(len(piece))
            self._ready = memoryview(piece)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _next(self) -> bytes | None:
        """The next unpacked bytes, which may be none; None at the end."""
        if self._broken:
            raise ValueError(f"the {self._kind} file is damaged: {self._broken}")
        if not self._packed and not self._pending():
            self._packed = self._raw.read(self._feed)
            if not self._packed:
                if self._engine is None:
                    return None
                raise Truncated(f"the {self._kind} file is cut off")
        if self._engine is None:
            if self._kind in (".gz", ".xz"):  # both may be filled up with zeros
                self._packed = self._packed.lstrip(b"\0")
                if not self._packed:
                    return b""
            self._engine = _engine(self._kind)
        try:
            piece: bytes = self._decompress()
        except (zlib.error, lzma.LZMAError, OSError, _zstd_error()) as error:
            raise ValueError(f"the {self._kind} file is damaged: {error}") from None
        if self._engine.eof:
            self._packed = self._engine.unused_data
            self._engine = None
        return piece

    def _pending(self) -> bool:
        """Whether the engine has more to give without being fed."""
        return self._kind in (".bz2", ".xz") and self._engine is not None and not self._engine.needs_input

    def _decompress(self) -> bytes:
        packed, self._packed = self._packed, b""
        if self._kind == ".gz":
            before = self._engine.copy()
            try:
                piece = self._engine.decompress(packed, 1 << 20)
                self._packed = self._engine.unconsumed_tail
            except zlib.error as error:
                piece, self._broken = _until_damage(before, packed), str(error)
        elif self._kind == ".zst":
            piece = self._engine.decompress(packed)
        else:
            piece = self._engine.decompress(packed, 1 << 20)
        return cast(bytes, piece)


def _until_damage(engine: Any, packed: bytes) -> bytes:
    """What comes before the damage, found byte by byte."""
    found: list[bytes] = []
    with contextlib.suppress(zlib.error):
        found.extend(engine.decompress(packed[at : at + 1]) for at in range(len(packed)))
    return b"".join(found)


def _engine(kind: str) -> Any:
    if kind == ".gz":
        return zlib.decompressobj(wbits=31)
    if kind == ".bz2":
        return bz2.BZ2Decompressor()
    if kind == ".xz":
        return lzma.LZMADecompressor(memlimit=1 << 30)
    return _zstandard().ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()


def _zstd_error() -> type[Exception]:
    import sys

    loaded = sys.modules.get("zstandard")
    return loaded.ZstdError if loaded else zlib.error


def _zstandard() -> Any:
    from loomwork.core.errors import MissingDependency

    try:
        import zstandard
    except ModuleNotFoundError:
        raise MissingDependency("reading .zst files", "zstandard", "readers") from None
    return zstandard
