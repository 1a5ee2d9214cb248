"""Small helpers that the steps on rows share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import DROPPED, MAIN, OURS, Dataset, DatasetWriter, row_ids, with_columns
from loomwork.core.errors import InputError
from loomwork.core.step import Card

if TYPE_CHECKING:
    import pyarrow as pa


def counted(writer: DatasetWriter, **metrics: float) -> Card:
    """A card with the rows written by part, and the rows dropped by reason.

    Args:
        writer: the step's writer, its last row written.
        metrics: further numbers of the step.
    """
    parts = {("rows" if part == MAIN else f"rows_{part}"): n for part, n in sorted(writer.counts.items())}
    reasons = {f"dropped: {reason}": n for reason, n in sorted(writer.reasons.items())}
    return Card(metrics={f"rows_{DROPPED}": 0, **parts, **reasons, **metrics})


def set_aside(writer: DatasetWriter, rows: Sequence[dict[str, Any]]) -> None:
    """Write what could not be read to the part `dropped`, with ids of its own: it comes from no input row.

    Args:
        writer: the step's writer.
        rows: dicts with at least `source` and `reason`.
    """
    if rows:
        writer.reasons.update(row["reason"].split(":", 1)[0] for row in rows)
        writer.write(rows, part=DROPPED)


def require_text(data: Dataset, *columns: str) -> None:
    """Refuse a dataset without rows, without a column, or with a column that is not text.

    Raises:
        InputError: says which.
    """
    import pyarrow as pa

    data.require_rows()
    data.require(*columns)
    for table in data.tables(columns):  # a column may lie in a sidecar, whose type the schema does not show
        for column in columns:
            kind = table.schema.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
                raise InputError(f"column {column!r} holds {kind}, where text is needed")
        break


def column_types(data: Dataset, columns: Sequence[str]) -> pa.Schema:
    """The type of each column over all shards: one may hold only nulls, or whole numbers, where another holds more."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = [pq.read_schema(shard) for shard in data.shards()]
    if not all(set(columns) <= set(schema.names) for schema in schemas):  # one lies in a sidecar, or in some shards
        schemas = [table.schema for table in data.tables(columns)]
    chosen = [pa.schema([schema.field(column) for column in columns]) for schema in schemas]
    return pa.unify_schemas(chosen, promote_options="permissive")


def uniform_tables(data: Dataset) -> Iterator[pa.Table]:
    """The rows shard by shard, sidecar columns joined on, all with the columns and types that fit every shard."""
    import pyarrow as pa

    kinds = pa.unify_schemas([t.schema.remove_metadata() for t in data.tables()], promote_options="permissive")
    for table in data.tables():
        yield pa.concat_tables([kinds.empty_table(), table], promote_options="permissive").select(kinds.names)


def shard_tables(data: Dataset) -> Iterator[tuple[Path, pa.Table]]:
    """Each shard of the part that is read, with its rows as they lie in it (no sidecar columns)."""
    import pyarrow.parquet as pq

    known = data.schema if data.shards() else None
    for shard in data.shards():
        yield shard, with_columns(pq.read_table(shard, partitioning=None), known)


def with_new_values(table: pa.Table, column: str, values: Sequence[Any]) -> pa.Table:
    """The table with one column replaced; a row whose value changed gets a new id, and its old id as its origin.

    Args:
        table: rows of a dataset, with `row_id` and `origin_ids`.
        column: the column to replace.
        values: one new value a row.
    """
    import pyarrow as pa

    old = table.column(column).to_pylist()
    new = table.set_column(table.column_names.index(column), column, pa.array(values, table.schema.field(column).type))
    changed = [i for i, (a, b) in enumerate(zip(old, values, strict=True)) if a != b]
    if not changed:
        return table
    ids, origins = new.column("row_id").to_pylist(), new.column("origin_ids").to_pylist()
    for i, row_id in zip(changed, row_ids(new.take(changed)).to_pylist(), strict=True):
        origins[i] = [ids[i]]
        ids[i] = row_id
    new = new.drop_columns(list(OURS)).append_column("row_id", pa.array(ids, pa.binary(16)))
    return new.append_column("origin_ids", pa.array(origins, pa.list_(pa.binary(16))))
