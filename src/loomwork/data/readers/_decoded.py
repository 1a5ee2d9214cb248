"""Text of any encoding as a stream of UTF-8 bytes, and its lines."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from loomwork.text.encoding import ESCAPED, MIXED, detect, is_mixed, looks_utf8, marked, wide

BLOCK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18  # that the encoding is detected from, beginning with the first that is not ASCII


UNDECODABLE = "loomwork.undecodable"
STRAY = "loomwork.stray"


def _lone(error: UnicodeError) -> tuple[str, int]:
    """Lone surrogates in place of bytes that do not decode: they become bytes that are not UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


def _stray(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are not UTF-8 as characters of cp1252."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", UNDECODABLE), error.end


codecs.register_error(UNDECODABLE, _lone)
codecs.register_error(STRAY, _stray)


class Line(NamedTuple):
    """One line of a text: its number from 1, its bytes without the line's end, and its full length.

    Of a line that is too long only the beginning is there. Or several whole lines: the number of the first, ...
    """

    number: int
    content: bytes
    length: int


class Utf8Stream:
    """The text of a stream as UTF-8, block by block.

    The encoding is `encoding`, or what a byte-order mark says, or UTF-8 where the bytes are that ("utf-8+cp1252" with
    single bytes of cp1252 among it), or what text/encoding.py detects. It is decided at the first bytes that are not
    ASCII; where UTF-8 is found, single bytes of cp1252 that come later change it to "utf-8+cp1252" from there on. What
    does not decode is given as bytes that are not UTF-8, so that only its row is set aside.

    Args:
        stream: the bytes.
        encoding: what the user said.
        found: is told the name of the encoding once it is known.
    """

    def __init__(self, stream: BinaryIO, encoding: str | None, found: Callable[[str], None]) -> None:
        self._stream, self._found = stream, found
        self._given = encoding
        self._decoder: codecs.IncrementalDecoder | None = None
        self._plain = False  # UTF-8 as it is
        self._cut = b""  # the beginning of a character that the next block ends
        self._first = True
        self._error: Exception | None = None
        self._peeked: list[bytes] = []

    def __enter__(self) -> Utf8Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """The text in blocks of about that size. An error of the stream comes after what was read before it."""
        while self._peeked:
            yield self._peeked.pop(0)
        yield from self._fresh(size)

    def peek(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """The first blocks, which reading gives once more; an error of the stream ends them, and is read, too."""
        try:
            for block in self._fresh(size):
                self._peeked.append(block)
                yield block
        except (OSError, EOFError, ValueError) as error:
            self._error = error

    def _fresh(self, size: int) -> Iterator[bytes]:
        while block := self._block(size):
            if not self._plain and self._decoder is None:
                block = self._decide(block)
            if self._plain:
                block = self._checked(block)
            if self._decoder is not None:
                block = _encoded(self._decoder.decode(block))
            if block:
                yield block
        rest = _encoded(self._decoder.decode(b"", final=True)) if self._decoder is not None else self._cut
        self._cut = b""
        if rest:
            yield rest

    def read(self, most: int) -> tuple[bytes, bool]:
        """The whole text, and whether it is whole: not if it has more than so many bytes."""
        parts: list[bytes] = []
        size = 0
        for block in self.blocks():
            parts.append(block)
            size += len(block)
            if size > most:
                return b"".join(parts)[:most], False
        return b"".join(parts), True

    def lines(self, most: int) -> Iterator[Line]:
        """The lines of the text, whose ends are those of Unix, Windows or an old Mac. Of one of more than `most` bytes
        only the beginning is kept.
        """
        for number, content, length in self._lines(most + 1):
            end = len(content) - len(content.rstrip(b"\r")) if length == len(content) else 0
            yield Line(number, content[: min(most, length - end)], length - end)

    def _lines(self, most: int) -> Iterator[Line]:
        """The lines, of Windows' with a part of their ends."""
        waiting: list[bytes] = []
        length, number = 0, 1
        for block in _unix_ends(self.blocks()):
            pieces = block.split(b"\n")
            for piece in pieces[:-1]:
                if length:
                    waiting.append(piece)
                    length += len(piece)
                    yield Line(number, b"".join(waiting)[:most], length)
                    waiting, length = [], 0
                else:
                    yield Line(number, piece[:most], len(piece))
                number += 1
            if pieces[-1]:
                if length <= most:
                    waiting.append(pieces[-1])
                length += len(pieces[-1])
        if length:
            yield Line(number, b"".join(waiting)[:most], length)

    def line_blocks(self, most: int) -> Iterator[Line]:
        """Whole lines together, about a megabyte at once: the number of the first, their bytes, and how many.

        A line of more than `most` bytes comes alone, only its beginning, with its full length.
        """
        waiting: list[bytes] = []
        length, number = 0, 1  # of the line that has begun
        for block in self.blocks():
            first = block.find(b"\n")
            if first >= 0 and length + first > most:
                yield Line(number, b"".join([*waiting, block[:first]])[:most], length + first)
                block, waiting, length, number = block[first + 1 :], [], 0, number + 1
            cut = block.rfind(b"\n") + 1
            if cut:
                whole = b"".join([*waiting, block[:cut]])
                yield Line(number, whole, len(whole))
                number += whole.count(b"\n")
                waiting, length = [], 0
            if length <= most:
                waiting.append(block[cut:])
            length += len(block) - cut
        if length:
            yield Line(number, b"".join(waiting)[:most], length)

    def _block(self, size: int) -> bytes:
        """So many bytes, or fewer at the end or before an error, which comes with the next block."""
        if self._error:
            raise self._error
        parts: list[bytes] = []
        missing = size
        read: Any = getattr(self._stream, "read1", self._stream.read)  # loses nothing when the next read fails
        while missing:
            try:
                part = read(missing)
            except (OSError, EOFError, ValueError) as error:
                if not parts:
                    raise
                self._error = error
                break
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _decide(self, block: bytes) -> bytes:
        """Choose the encoding if this block shows it; returns the block without a byte-order mark."""
        first, self._first = self._first, False
        if first:
            name, mark = marked(block)
            if self._given:
                name = codecs.lookup(self._given).name
                mark = len(codecs.BOM_UTF8) if name == "utf-8" and block.startswith(codecs.BOM_UTF8) else 0
            if name:
                self._use(name)
                return block[mark:]
            if name := wide(block):
                self._use(name)
                return block
        if block.isascii() and b"\x1b" not in block:
            return block
        if any(mark in block for mark, _ in ESCAPED) and (escaped := detect(block[:SAMPLE_BYTES])):
            self._use(escaped)
            return block
        if is_mixed(block):
            self._use(MIXED)
            return block
        if looks_utf8(block):
            self._use("utf-8")
            return block
        start = next((i for i, byte in enumerate(block) if byte > 127 or byte == 27), 0)
        begin = block[: 1 << 12]  # holds what a text says of its own encoding
        found = detect(block[max(0, start - 200) : start + SAMPLE_BYTES], begin)
        self._use(found or (MIXED if is_mixed(block, ratio=0) else "utf-8"))
        return block

    def _checked(self, block: bytes) -> bytes:
        """A block of UTF-8 without the character that is cut at its end. If the text turns out to be mixed, the block
        is to be decoded.
        """
        block, self._cut = self._cut + block, b""
        if block.isascii():
            return block
        utf8 = codecs.getincrementaldecoder("utf-8")()
        try:
            utf8.decode(block)
        except UnicodeDecodeError:
            if self._given is None and is_mixed(block, ratio=0):  # that it is UTF-8 has been seen
                self._use(MIXED)
                return block
            utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            utf8.decode(block)
        self._cut = utf8.getstate()[0]
        return block[: len(block) - len(self._cut)]

    def _use(self, name: str) -> None:
        self._found(name)
        self._plain = name == "utf-8"
        if name == MIXED:
            self._decoder = codecs.getincrementaldecoder("utf-8")(STRAY)
        elif not self._plain:
            self._decoder = codecs.getincrementaldecoder(name)(UNDECODABLE)


def _unix_ends(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text; if its first block has carriage returns and no line feed, as an old Mac's has, all ends become
    line feeds.
    """
    first = next(blocks, b"")
    if b"\n" in first or b"\r" not in first[:-1]:
        yield first
        yield from blocks
        return
    held = b""
    for block in itertools.chain([first], blocks):
        whole = held + block
        held = b"\r" if whole.endswith(b"\r") else b""  # the next block may begin with the rest of this end
        yield whole[: len(whole) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if held:
        yield b"\n"


def _encoded(text: str) -> bytes:
    """UTF-8; a byte that could not be decoded becomes bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass")
