"""Arrow tables of rows, and the sidecar columns in them.

A column that was read from the sidecar NAME carries that name in the metadata of its field, which filters and slices
keep: so a writer puts it into the sidecar NAME of its output again. Made a Polars frame it is a column like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

OURS = ("row_id", "origin_ids")
PLACE = ("source",)  # columns that say where a row stood, which moves when a line is added above it
SAMPLE_ROWS = 1 << 12
MARK = b"loomwork sidecar"


def to_table(rows: Any) -> pa.Table:
    """Arrow table of a table, a record batch, a polars frame or a list of dicts."""
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if hasattr(rows, "to_arrow"):
        table = rows.to_arrow()
        for name, kind in (("row_id", pa.binary(16)), ("origin_ids", pa.list_(pa.binary(16)))):
            if name in table.column_names:  # polars has no fixed-size binary
                table = table.set_column(table.column_names.index(name), name, table.column(name).cast(kind))
        return table
    return pa.Table.from_pylist(list(rows))


def with_columns(table: pa.Table, known: pa.Schema | None, columns: Sequence[str] | None = None) -> pa.Table:
    """The table with those of the known columns that it lacks, full of nulls: all, or the named ones."""
    import pyarrow as pa

    for field in known or ():
        if field.name not in table.column_names and (columns is None or field.name in columns):
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def sidecar_of(field: pa.Field) -> str:
    """The name of the sidecar that a column was read from; "" for a column of the data."""
    return str((field.metadata or {}).get(MARK, b"").decode())


def marked(table: pa.Table, name: str) -> pa.Table:
    """The table with its columns marked as those of a sidecar; with name "", as columns of the data."""
    import pyarrow as pa

    metadata = {MARK: name.encode()} if name else None
    return pa.table(table.columns, schema=pa.schema([field.with_metadata(metadata) for field in table.schema]))


def sidecars(shard: Path) -> dict[str, Path]:
    """The sidecar shards that lie beside a shard: their names and files."""
    start = shard.parent.name + "+"
    folders = sorted(f for f in shard.parent.parent.iterdir() if f.name.startswith(start))
    return {f.name.removeprefix(start): f / shard.name for f in folders if (f / shard.name).is_file()}


def read_shard(shard: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one shard with the columns of its sidecars, which are marked: all columns, or those of the named
    ones that are there.
    """
    table = _read(shard, columns)
    for name, file in sidecars(shard).items():
        extra = marked(_read(file, columns), name)
        for field in extra.schema:
            table = table.append_column(field, extra.column(field.name))
    return table


def read_schema(shard: Path) -> pa.Schema:
    """The columns of one shard and of its sidecars, which are marked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(shard).remove_metadata()
    for name, file in sidecars(shard).items():
        for field in marked(pq.read_schema(file).empty_table(), name).schema:
            schema = schema.append(field)
    return pa.schema(schema)


def write_shard(table: pa.Table, shard: Path) -> None:
    """Write the rows of one shard: the data to it, the marked columns to the sidecars beside it."""
    import pyarrow.parquet as pq

    data = table.select([f.name for f in table.schema if not sidecar_of(f)])
    repeating = [leaf for field in data.schema if _repeats(data, field) for leaf in _leaves(field, field.name)]
    pq.write_table(data, shard, compression="zstd", use_dictionary=repeating or False)
    write_sidecars(table, shard)


def write_sidecars(table: pa.Table, shard: Path) -> None:
    """Write the marked columns of a table to the sidecars of a shard."""
    import pyarrow.parquet as pq

    for name in sorted({sidecar_of(f) for f in table.schema} - {""}):
        columns = marked(table.select([f.name for f in table.schema if sidecar_of(f) == name]), "")
        pq.write_table(columns, beside_shard(shard, name), compression="zstd")


def beside_shard(shard: Path, name: str) -> Path:
    """Where a sidecar of a shard is written; the folder is made."""
    folder = shard.parent.parent / f"{shard.parent.name}+{name}"
    folder.mkdir(exist_ok=True)
    return folder / shard.name


def as_array(values: Any, kind: pa.DataType) -> pa.Array:
    """An Arrow array of a sequence, a numpy array, a Polars series or Arrow data."""
    import pyarrow as pa

    values = values.to_arrow() if hasattr(values, "to_arrow") else values
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, kind)


def _repeats(table: pa.Table, field: pa.Field) -> bool:
    """Whether values of a column come again so often that a dictionary of them is worth its making."""
    import pyarrow as pa

    if field.name in OURS:
        return False
    if pa.types.is_nested(field.type) or pa.types.is_dictionary(field.type):
        return True
    seen = table.column(field.name).slice(0, SAMPLE_ROWS)
    return 2 * len(seen.unique()) <= len(seen)  # count_distinct does not know every type


def _leaves(field: pa.Field, path: str) -> list[str]:
    """The paths of the Parquet columns that a column is stored in."""
    import pyarrow as pa

    kind = field.type
    if pa.types.is_struct(kind):
        return [leaf for i in range(kind.num_fields) for leaf in _leaves(kind.field(i), f"{path}.{kind.field(i).name}")]
    if pa.types.is_map(kind):
        inner = (kind.key_field, "key"), (kind.item_field, "value")
        return [leaf for child, name in inner for leaf in _leaves(child, f"{path}.key_value.{name}")]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _leaves(kind.value_field, f"{path}.list.element")
    return [path]


def _read(file: Path, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:  # a third of the overhead of read_table, which asks what a folder holds
        names = None if columns is None else [c for c in columns if c in parquet.schema_arrow.names]
        return parquet.read(columns=names)


def given_names(names: Sequence[str], ours: Sequence[str]) -> list[str]:
    """The names of the user's columns: one that is ours gets `given_` before it, as often as it takes to be free."""
    taken = {*names, *ours}
    found = []
    for name in names:
        new = name
        while name in ours and new in taken:
            new = f"given_{new}"
        taken.add(new)
        found.append(new)
    return found
