"""Plain text and Markdown: a file, a paragraph or a line is a row; a Markdown file's front matter gives its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers._front_matter import with_front_matter
from loomwork.text.encoding import looks_utf8

EXTENSIONS = (".txt", ".md", ".markdown", ".rst", ".text")
MARKDOWN = (".md", ".markdown")
SHOWN_BYTES = 2000  # of a row that is too large
FEW = 200  # bytes for each wrong one, in a text that is UTF-8 but for a few


def read(file: SourceFile) -> Iterator[Chunk]:
    """Text of any encoding, with or without a byte-order mark."""
    with file.open_utf8() as stream:
        most = file.limits.row_bytes

        def found(encoding: str) -> None:
            file.found_encoding = encoding

        yield from in_chunks(
            _whole(stream, most, found, file.extension)
            if file.unit in ("file", "page")
            else _pieces(stream, file.unit, most)
        )


def _whole(
    stream: Utf8Stream, most: int, found: Callable[[str], None], extension: str
) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    content, whole = stream.read(most)
    if not whole:
        yield 0, too_large(0, content, most, "read it by paragraph or line, or raise max_row_bytes")
    elif not content.strip():
        yield 0, Fault(0, "empty file")
    else:
        row = _decoded(content, 0)
        if isinstance(row, dict) and extension in MARKDOWN:
            row = with_front_matter(row["text"])
        if isinstance(row, dict) and "\ufffd" in row["text"] and "\ufffd".encode() not in content:
            found("utf-8, damaged")
        yield 0, row


def _pieces(stream: Utf8Stream, unit: str, most: int) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    waiting: list[bytes] = []
    start = size = 0

    def piece() -> tuple[int, dict[str, Any] | Fault]:
        content = b"\n".join(waiting)
        return start, too_large(start, content, most) if size > most else _decoded(content, start)

    for number, content, length in stream.lines(most):
        blank = length == len(content) and not content.strip()
        if waiting and (blank or unit == "line"):
            yield piece()
            waiting, size = [], 0
        if not blank:
            start = start if waiting else number
            size += length + bool(waiting)
            waiting.append(content if size <= most else content[:SHOWN_BYTES])
    if waiting:
        yield piece()


def too_large(place: int, begin: bytes, most: int, hint: str = "max_row_bytes allows more") -> Fault:
    """What is set aside in place of a row that is too large: its beginning."""
    return Fault(place, f"too large: more than {most} bytes in one row; {hint}", shown(begin[:SHOWN_BYTES]))


def shown(content: bytes) -> str:
    """Bytes as a text that can be looked at."""
    return content.decode("utf-8", "backslashreplace")


def _decoded(content: bytes, place: int) -> dict[str, Any] | Fault:
    """A row of UTF-8; a few wrong bytes in it, as of a text that was cut, become U+FFFD."""
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError as error:
        text = content.decode("utf-8", "replace")
        wrong = text.count("\ufffd") - content.count("\ufffd".encode())
        if wrong * FEW <= len(content) and (looks_utf8(content) or wrong == 1):
            return {"text": text}
        return Fault(place, not_utf8(error), shown(content))


def not_utf8(error: UnicodeDecodeError, where: str = "") -> str:
    """The reason of a row that does not decode."""
    return f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}{where}, and no other encoding fits"
