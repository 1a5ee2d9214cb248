"""JSON lines: an object a line.

Python's parser reads the first rows. Once the columns are known, Arrow's reads a block at a time, and what it refuses
Python's reads again, row by row: so there is one meaning, and faults have their line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from loomwork.data.readers import TOO_DEEP, Chunk, Fault, SourceFile, in_chunks, too_deep
from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers.text import not_utf8, shown, too_large

if TYPE_CHECKING:
    import pyarrow as pa

EXTENSIONS = (".jsonl", ".ndjson")


class RepeatedKey(ValueError):
    """An object that has a key twice: which value is meant cannot be known."""


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row an object; a line that is a string becomes its `text`. Blank lines are passed over."""
    with file.open_utf8() as stream:
        yield from chunks(stream, file.limits.row_bytes)


def chunks(stream: Utf8Stream, most: int) -> Iterator[Chunk]:
    """The rows of a text of JSON lines; a line of more than `most` bytes is set aside."""
    schema = None
    for number, block, length in stream.line_blocks(most):
        if length > len(block):
            yield Chunk(faults=[too_large(number, block, most)])
            continue
        table = _by_arrow(block, schema) if schema is not None and len(block) <= most else None
        if table is not None:
            yield Chunk(table, range(number, number + len(table)))
            continue
        for chunk in in_chunks(_lines(block, number, most)):
            if chunk.rows:
                schema = _columns(chunk.rows, schema)
            yield chunk


def _lines(block: bytes, number: int, most: int) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    for place, line in enumerate(block.split(b"\n"), number):
        if len(line) > most:
            yield place, too_large(place, line, most)
        elif line.strip():
            yield place, parse(line, place)


def parse(line: bytes, place: int) -> dict[str, Any] | Fault:
    """The row that a line of JSON gives, or why it gives none."""
    try:
        value = decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Fault(place, not_utf8(error, " of the line"), shown(line))
    except RepeatedKey as error:
        return Fault(place, f"repeated key: {error}", shown(line))
    except (ValueError, RecursionError) as error:
        return Fault(place, f"not JSON: {error}", shown(line))
    return as_row(value, place, shown(line))


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of some keys and values, as the JSON decoder asks for it.

    Raises:
        RepeatedKey: a key is there twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKey(next(key for key in keys if keys.count(key) > 1))
    return made


decode = json.JSONDecoder(object_pairs_hook=without_repeats).decode


def as_row(value: Any, place: int, text: str) -> dict[str, Any] | Fault:
    """A row of a JSON value: an object is one, a string is a text."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict) and value:
        return Fault(place, TOO_DEEP, text) if too_deep(value) else value
    return Fault(place, f"not an object: {type(value).__name__}", text)


def _columns(rows: list[dict[str, Any]], known: pa.Schema | None) -> pa.Schema | None:
    """The columns and types of some rows and of those before them; None where they do not go together."""
    import pyarrow as pa

    names = dict.fromkeys(key for row in rows for key in row)
    try:
        found = pa.table({name: [row.get(name) for row in rows] for name in names}).schema
        return pa.unify_schemas([known, found], promote_options="permissive") if known else found
    except (TypeError, ValueError, OverflowError):
        return known


def _by_arrow(block: bytes, schema: pa.Schema) -> pa.Table | None:
    """The rows of whole lines, if Arrow reads them as Python would; else None.

    Arrow looks for objects, not for lines. A line that begins with "{" after one that ended with "}" begins an object
    of its own, as no other place of an object can look so; so if there are as many rows as lines, each line is a row.
    """
    import pyarrow as pa
    import pyarrow.json as pj

    lines = _objects(block)
    if not lines:
        return None
    try:
        block.decode("utf-8")
        table = pj.read_json(
            pa.BufferReader(block),
            pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except ValueError:
        return None
    return table if len(table) == lines and not _has_empty_row(table) and not _rounded(table) else None


def _rounded(table: pa.Table) -> bool:
    """Whether a decimal may have been written as a whole number that float64 does not hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in table.columns:
        if pa.types.is_floating(column.type):
            ends = pc.min_max(column).as_py()
            if any(end is not None and 2**53 <= abs(end) < 2**64 for end in ends.values()):
                return True
    return False


def _objects(block: bytes) -> int:
    """How many lines there are, if each begins with "{" and ends with "}"; else 0."""
    import numpy as np

    text = np.frombuffer(block if block.endswith(b"\n") else block + b"\n", np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts < 3).any():
        return 0
    last = np.where(text[ends - 1] == ord("\r"), text[ends - 2], text[ends - 1])
    whole = (text[starts] == ord("{")).all() and (last == ord("}")).all()
    return len(ends) if whole else 0


def _has_empty_row(table: pa.Table) -> bool:
    """Whether a row is null in all columns: it may be an object without keys, which is no row."""
    import pyarrow.compute as pc

    if any(column.null_count == 0 for column in table.columns):
        return False
    nulls = table.column(0).is_null()
    for column in table.columns[1:]:
        nulls = pc.and_(nulls, column.is_null())
    return bool(pc.any(nulls).as_py())
