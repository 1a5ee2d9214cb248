"""JSON lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks

EXTENSIONS = (".jsonl", ".ndjson")


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row an object; a line that is a string becomes its `text`. Blank lines are passed over."""
    yield from in_chunks(_lines(file))


def _lines(file: SourceFile) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, parse(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, number)


def parse(line: bytes, place: int) -> dict[str, Any] | Fault:
    """The row that a line of JSON gives, or why it gives none."""
    try:
        value = json.loads(line.decode("utf-8"))
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {line[error.start]:#04x} at {error.start} of the line"
        return Fault(place, reason, line.decode("utf-8", "backslashreplace"))
    except (json.JSONDecodeError, RecursionError) as error:
        return Fault(place, f"not JSON: {error}", line.decode("utf-8"))
    return as_row(value, place, line.decode("utf-8"))


def as_row(value: Any, place: int, text: str) -> dict[str, Any] | Fault:
    """A row of a JSON value: an object is one, a string is a text."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict) and value:
        return value
    return Fault(place, f"not an object: {type(value).__name__}", text)
