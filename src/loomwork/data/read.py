"""The user's own files, as a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomwork.core.context import context
from loomwork.core.dataset import OURS, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.files import list_files
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, set_aside
from loomwork.data.readers import Chunk, Fault, Reader, SourceFile, readers, version

if TYPE_CHECKING:
    import pyarrow as pa

OWN_NAMES = ("source", *OURS)
TYPE_ERRORS = (TypeError, ValueError, OverflowError)  # Arrow's own errors are among them


@step(makes="dataset", version=version())
def read(*, path: Path, text_unit: Literal["file", "paragraph", "line"] = "file", out: Path) -> Card:
    """Read text, Markdown, JSON lines, JSON, CSV, TSV and Parquet files, also as .gz.

    Columns of tables are kept; a text file gives `text`. Every row gets `source`, as "folder/file.jsonl:12"; the
    user's columns `source`, `row_id` and `origin_ids` become `given_source` and so on. What cannot be read (cut-off
    JSON, bytes that are not UTF-8, unknown formats, values of another type than the column's first ones) goes to
    `dropped` with the reason.

    Args:
        path: a file, a folder with all below it, or a glob.
        text_unit: what is a row of a text file.

    Raises:
        InputError: nothing is there, or nothing of it could be read.
    """
    import pyarrow as pa

    known = readers()
    files = list_files(path)
    with DatasetWriter(out) as writer:
        schema = pa.schema([])
        for done, (name, file) in enumerate(files):
            for chunk in _chunks(name, file, known, text_unit):
                schema = _write(writer, chunk, name, schema)
            context().progress(done + 1, len(files), "files")
        if not writer.counts["data"]:
            first = "; ".join(f"{n} x {reason}" for reason, n in writer.reasons.most_common(3)) or "they are empty"
            raise InputError(
                f"nothing could be read from {path} ({len(files)} files): {first}",
                f"readable are {', '.join(sorted(known))}, also with .gz, in UTF-8 (iconv -t UTF-8 converts others)",
            )
    return counted(writer, files=len(files))


def _chunks(name: str, file: Path, known: dict[str, Reader], unit: str) -> Iterator[Chunk]:
    """What a file gives; an error in the middle sets its rest aside."""
    plain = name.lower().removesuffix(".gz")
    extension = Path(plain).suffix
    if extension not in known or (plain != name.lower() and extension == ".parquet"):
        yield Chunk(faults=[Fault(0, f"unknown format: {Path(name).suffix or 'no extension'}")])
        return
    try:
        yield from known[extension](SourceFile(file, extension, unit))
    except (OSError, EOFError, ValueError) as error:
        yield Chunk(faults=[Fault(0, f"damaged file: {type(error).__name__}: {error}; what follows was not read")])


def _write(writer: DatasetWriter, chunk: Chunk, name: str, schema: pa.Schema) -> pa.Schema:
    """Write a chunk's rows and set its faults aside; returns the schema that fits all rows so far."""
    import pyarrow as pa

    faults = list(chunk.faults)
    if len(chunk.rows):
        rows = chunk.rows
        try:
            table = _renamed(rows if isinstance(rows, pa.Table) else _table(rows))
            schema = _wider(schema, table.schema)
            places = list(chunk.places)
        except TYPE_ERRORS:
            rows = rows.to_pylist() if isinstance(rows, pa.Table) else rows
            table, places, schema, unfit = _row_by_row(rows, chunk.places, schema)
            faults += unfit
        if places:
            source = pa.array([f"{name}:{place}" if place else name for place in places], pa.string())
            writer.write(table.append_column("source", source))
    set_aside(writer, [_dropped(name, fault) for fault in faults])
    return schema


def _table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Arrow columns of dicts whose keys may differ."""
    import pyarrow as pa

    names = dict.fromkeys(key for row in rows for key in row)
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    if any(_has_empty_object(field.type) for field in table.schema):  # Parquet cannot store an object without fields
        table = pa.table({name: [_without_empty(row.get(name)) for row in rows] for name in names})
    return table


def _row_by_row(
    rows: Sequence[dict[str, Any]], places: Sequence[int], schema: pa.Schema
) -> tuple[pa.Table, list[int], pa.Schema, list[Fault]]:
    """The rows whose values have the types of those before them, their places, and why the others have not."""
    import pyarrow as pa

    tables, kept, faults = [], [], []
    for row, place in zip(rows, places, strict=True):
        try:
            table = _renamed(_table([row]))
            schema = _wider(schema, table.schema)
        except TYPE_ERRORS as error:
            faults.append(Fault(place, f"another type: {error}", json.dumps(row, default=str)))
        else:
            tables.append(table)
            kept.append(place)
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({}), kept, schema, faults


def _wider(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.unify_schemas([schema, other.remove_metadata()], promote_options="permissive")


def _renamed(table: pa.Table) -> pa.Table:
    """The user's columns that have the names of ours get a prefix."""
    return table.rename_columns([f"given_{n}" if n in OWN_NAMES else n for n in table.column_names])


def _has_empty_object(kind: pa.DataType) -> bool:
    import pyarrow as pa

    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return (pa.types.is_struct(kind) and not inner) or any(map(_has_empty_object, inner))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items()} or None
    return [_without_empty(v) for v in value] if isinstance(value, list) else value


def _dropped(name: str, fault: Fault) -> dict[str, str]:
    source = f"{name}:{fault.place}" if fault.place else name
    text = fault.text.encode("utf-8", "backslashreplace").decode()
    return {"source": source, "text": text, "reason": fault.reason.encode("utf-8", "backslashreplace").decode()}
