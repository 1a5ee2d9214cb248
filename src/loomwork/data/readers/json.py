"""JSON files: an array of objects, read as a stream, or one object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers.json_lines import as_row

EXTENSIONS = (".json",)
BLOCK_BYTES = 1 << 20
SPACE = re.compile(r"[ \t\r\n]*")
LONGEST_LITERAL = 32  # an escape, a number or a word that a block may have cut in two
FAULT_CHARS = 2000  # of a file's unreadable rest that are kept


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row an element of the array, or one row of the object. What follows a fault in the text is not read."""
    yield from in_chunks(_values(file))


def _values(file: SourceFile) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    blocks = _decoded(file)
    try:
        text = SPACE.sub("", next(blocks, ""), count=1).removeprefix("\ufeff").lstrip()
        if text.startswith("["):
            yield from _elements(text[1:], blocks)
        elif text:
            whole = text + "".join(blocks)
            try:
                yield 1, as_row(json.loads(whole), 1, whole[:FAULT_CHARS])
            except (json.JSONDecodeError, RecursionError) as error:
                yield 1, Fault(1, f"not JSON: {error}", whole[:FAULT_CHARS])
    except UnicodeDecodeError as error:
        yield 0, Fault(0, f"not UTF-8: byte {error.object[error.start]:#04x}; what follows was not read")


def _decoded(file: SourceFile) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open() as stream:
        while block := stream.read(BLOCK_BYTES):
            if decoded := decoder.decode(block):
                yield decoded
    decoder.decode(b"", final=True)  # fails on a character that was cut off


def _elements(text: str, blocks: Iterator[str]) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """The elements of an array whose bracket was read, numbered from 1."""
    scan = json.JSONDecoder().raw_decode
    at, number = 0, 1
    while True:
        at = _after_space(text, at)
        if text.startswith("]", at):
            rest = text[at + 1 :] + "".join(blocks)
            if rest.strip():
                yield number, Fault(number, "not JSON: text after the array", rest[:FAULT_CHARS])
            return
        damaged = False
        try:
            value, end = scan(text, at)
            after = _after_space(text, end)
            damaged = text[after : after + 1] not in ("", ",", "]")
            complete = after < len(text) and not damaged
        except json.JSONDecodeError as error:  # cut off by the end of the block, or wrong before it
            complete = False
            damaged = error.pos < len(text) - LONGEST_LITERAL and not error.msg.startswith("Unterminated string")
        if complete:
            yield number, as_row(value, number, text[at:end])
            at = after + (text[after] == ",")
            number += 1
            continue
        block = "" if damaged else next(blocks, "")
        if not block:
            yield number, Fault(number, "not JSON: the text is cut off or damaged here", text[at : at + FAULT_CHARS])
            return
        text, at = text[at:] + block, 0


def _after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at
