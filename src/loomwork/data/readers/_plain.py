"""Dictionary-encoded columns, as pandas' categories are stored, as plain ones: steps look for texts, not for codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns without dictionaries."""
    import pyarrow as pa

    return pa.schema([field.with_type(_plain(field.type)) for field in schema], schema.metadata)


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with plain columns, those within lists and objects included."""
    import pyarrow as pa

    schema = plain_schema(batch.schema)
    if schema.equals(batch.schema):
        return batch
    columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return _plain(kind.value_type)
    if t.is_struct(kind):
        return pa.struct([_plain_field(kind.field(i)) for i in range(kind.num_fields)])
    if t.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field), kind.keys_sorted)
    if t.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if t.is_list(kind) or t.is_large_list(kind):
        return (pa.list_ if t.is_list(kind) else pa.large_list)(_plain_field(kind.value_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(_plain(field.type))


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    while pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowNotImplementedError:  # a dictionary of lists or objects within others
        return pa.array(column.to_pylist(), kind)
