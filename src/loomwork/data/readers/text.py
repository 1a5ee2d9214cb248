"""Plain text and Markdown: a file, a paragraph or a line is a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks

EXTENSIONS = (".txt", ".md")
FILE_BYTES = 256 << 20  # a larger file does not become one row


def read(file: SourceFile) -> Iterator[Chunk]:
    """UTF-8 text, with or without a byte-order mark."""
    with file.open() as stream:
        yield from in_chunks(_whole(stream) if file.unit == "file" else _pieces(stream, file.unit))


def _whole(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    content = stream.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        yield 0, Fault(0, f"too large for one row: over {FILE_BYTES >> 20} MB; read it by paragraph or line")
    elif not content.strip():
        yield 0, Fault(0, "empty file")
    else:
        yield 0, _decoded(content.removeprefix(b"\xef\xbb\xbf"), 0)


def _pieces(stream: BinaryIO, unit: str) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    waiting, start = b"", 1
    for number, line in enumerate(stream, 1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        blank = not line.strip()
        if waiting and (blank or unit == "line"):
            yield start, _decoded(waiting.rstrip(b"\r\n"), start)
            waiting = b""
        if not blank:
            start = start if waiting else number
            waiting += line
    if waiting:
        yield start, _decoded(waiting.rstrip(b"\r\n"), start)


def _decoded(content: bytes, place: int) -> dict[str, Any] | Fault:
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {content[error.start]:#04x} at {error.start}"
        return Fault(place, reason, content.decode("utf-8", "backslashreplace"))
