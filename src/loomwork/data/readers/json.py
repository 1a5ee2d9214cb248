"""JSON files: an array of objects, read as a stream, or one object; or JSON lines, which are often named so."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import FAULT_CHARS as KEPT_CHARS
from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers.json_lines import RepeatedKey, as_row, chunks, decode, without_repeats
from loomwork.data.readers.text import not_utf8, too_large

EXTENSIONS = (".json",)
SPACE = re.compile(r"[ \t\r\n]*")
LONGEST_LITERAL = 32  # an escape, a number or a word that a block may have cut in two
FAULT_CHARS = 2000  # of a file's unreadable rest that are kept
BLOCK_BYTES = 1 << 20
WRAPPERS = ("data", "rows", "items", "records", "examples", "instances")
BESIDE_CHARS = 4000  # of names and values beside an array that each of its rows gets
OBJECT_BELOW = re.compile(rb"\n[ \t\r\n]*\{")
Found = Iterator[tuple[int, dict[str, Any] | Fault]]


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row an element of the array, or one row of the object; of an object that wraps an array of objects ("data",
    "rows"...) one row an element, with the plain values beside the array as further columns. What follows a fault in
    the text is not read. JSON lines are read as those of a file that is named for it.
    """
    most = file.limits.row_bytes
    with file.open_utf8() as stream:
        yield from chunks(stream, most) if _is_lines(stream, most) else in_chunks(_values(stream, most))


def _is_lines(stream: Utf8Stream, most: int) -> bool:
    """Whether the first line is a whole object and a line below begins one, which no JSON document looks like."""
    begin, end, looked = bytearray(), -1, 0
    for block in stream.peek(BLOCK_BYTES):
        begin += block if begin else block.lstrip()
        if not begin.startswith(b"{") and begin:
            return False
        end = begin.find(b"\n", looked) if end < 0 else end
        looked = len(begin)
        if looked > most or (end >= 0 and begin[end:].strip()):
            break
    line = begin[: max(end, 0)].rstrip()
    if not line.endswith(b"}") or not OBJECT_BELOW.search(begin, end):
        return False
    try:
        PLAIN.decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _values(stream: Utf8Stream, most: int) -> Found:
    blocks = _decoded(stream)
    try:
        text = SPACE.sub("", next(blocks, ""), count=1)
        while not text and (block := next(blocks, "")):
            text = SPACE.sub("", block, count=1)
        if text.startswith("["):
            yield from _elements(text[1:], blocks, most)
        elif text:
            yield from _unwrapped(_whole(text, blocks, most))
    except UnicodeDecodeError as error:
        yield 0, Fault(0, f"{not_utf8(error)}; what follows was not read")


def _decoded(stream: Utf8Stream) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in stream.blocks(BLOCK_BYTES):
        if decoded := decoder.decode(block):
            yield decoded
    decoder.decode(b"", final=True)  # fails on a character that was cut off


def _whole(text: str, blocks: Iterator[str], most: int) -> dict[str, Any] | Fault:
    """The row of a file that is one object."""
    parts, size = [text], len(text)
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size > most:
            return too_large(1, text[:FAULT_CHARS].encode(), most, "write it as an array or as JSON lines")
    whole = "".join(parts)
    try:
        return as_row(decode(whole), 1, whole[:FAULT_CHARS])
    except RepeatedKey as error:
        return Fault(1, f"repeated key: {error}", whole[:FAULT_CHARS])
    except (ValueError, RecursionError) as error:
        return Fault(1, f"not JSON: {error}", whole[:FAULT_CHARS])


def _unwrapped(row: dict[str, Any] | Fault) -> Found:
    """The elements of the array of objects that an object is there for, or the object itself."""
    inside = [] if isinstance(row, Fault) else [k for k, v in row.items() if k in WRAPPERS and _objects(v)]
    if isinstance(row, Fault) or len(inside) != 1:
        yield 1, row
        return
    values = row.pop(inside[0])
    beside = _plain(row)
    lost = {name: value for name, value in row.items() if name not in beside and value not in (None, [], {})}
    lost |= {name: value for name, value in beside.items() if all(name in element for element in values)}
    for number, value in enumerate(values, 1):
        found = as_row(value, number, str(value)[:FAULT_CHARS])
        yield number, found if isinstance(found, Fault) else found | {k: v for k, v in beside.items() if k not in found}
    if lost:
        text = json.dumps(lost, ensure_ascii=False)[:KEPT_CHARS]
        yield 0, Fault(0, f"beside the rows: {', '.join(lost)}, which no row has", text)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The first values that are texts, numbers, true or false, as many as every row can hold."""
    found, size = {}, 0
    for name, value in values.items():
        cost = len(name) + len(str(value)) if isinstance(value, str | int | float) else BESIDE_CHARS
        if size + cost < BESIDE_CHARS:
            found[name] = value
            size += cost
    return found


def _objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _elements(text: str, blocks: Iterator[str], most: int) -> Found:
    """The elements of an array whose bracket was read, numbered from 1."""
    at, number = 0, 1
    while True:
        at = _after_space(text, at)
        if text.startswith("]", at):
            rest = text[at + 1 :]
            while not rest.strip() and (block := next(blocks, "")):
                rest = block
            if rest.strip():
                yield number, Fault(number, "not JSON: text after the array", rest[:FAULT_CHARS])
            return
        damaged = False
        row: dict[str, Any] | Fault
        try:
            row, end = _scan(text, at, number)
            after = _after_space(text, end)
            damaged = text[after : after + 1] not in ("", ",", "]")
            complete = after < len(text) and not damaged
        except json.JSONDecodeError as error:  # cut off by the end of the block, or wrong before it
            complete = False
            damaged = error.pos < len(text) - LONGEST_LITERAL and not error.msg.startswith("Unterminated string")
        except (RecursionError, ValueError) as error:  # a number of thousands of digits, too
            yield number, Fault(number, f"not JSON: {error}", text[at : at + FAULT_CHARS])
            return
        if complete:
            if end - at > most:
                row = too_large(number, text[at : at + FAULT_CHARS].encode(errors="replace"), most)
            yield number, row
            at = after + (text[after] == ",")
            number += 1
            continue
        if not damaged and len(text) - at > most:
            yield number, too_large(number, text[at : at + FAULT_CHARS].encode(errors="replace"), most)
            return
        more = "" if damaged else _more(blocks, len(text) - at)
        if not more:
            yield number, Fault(number, "not JSON: the text is cut off or damaged here", text[at : at + FAULT_CHARS])
            return
        text, at = text[at:] + more, 0


def _scan(text: str, at: int, number: int) -> tuple[dict[str, Any] | Fault, int]:
    """The row of the element that begins here, and where it ends."""
    try:
        value, end = STRICT.raw_decode(text, at)
    except RepeatedKey as error:
        end = PLAIN.raw_decode(text, at)[1]
        return Fault(number, f"repeated key: {error}", text[at : min(end, at + FAULT_CHARS)]), end
    return as_row(value, number, text[at : min(end, at + FAULT_CHARS)]), end


STRICT, PLAIN = json.JSONDecoder(object_pairs_hook=without_repeats), json.JSONDecoder()


def _more(blocks: Iterator[str], size: int) -> str:
    """As much text as there is of the element already: one of many blocks is not scanned again for each."""
    parts: list[str] = []
    while sum(map(len, parts)) < max(size, 1) and (block := next(blocks, "")):
        parts.append(block)
    return "".join(parts)


def _after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at
