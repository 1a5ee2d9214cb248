"""Small helpers that the steps on rows share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import CUT, DROPPED, MAIN, Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.row_ids import origin_lists, row_ids
from loomwork.core.step import Card
from loomwork.core.tables import as_array, given_names

if TYPE_CHECKING:
    import numpy as np
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


def keep_cut(writer: DatasetWriter, column: str, texts: Any, reason: str, origins: Any) -> None:
    """Write what was cut out of texts to the part `cut`: the text, the reason, and `cut_from`, the id of the row, in
    hex. That makes the same line out of two rows two rows, of which one can be forgotten.

    Args:
        writer: the step's writer.
        column: the column of the texts.
        texts: what was cut: a sequence or a Polars series.
        reason: why.
        origins: for each the id of the row that it was cut from: a sequence or Arrow data.
    """
    import pyarrow as pa

    cut = as_array(texts, pa.string())
    if len(cut):
        ids = as_array(origins, pa.binary(16))
        hexes = pa.array([i.hex() for i in ids.to_pylist()], pa.string())
        (name,) = given_names([column], ("reason", "cut_from"))
        rows = pa.table({name: cut, "reason": pa.repeat(reason, len(cut)), "cut_from": hexes})
        writer.write(rows, part=CUT, origins=ids)


def refuse_idle(why: str, hint: str, **settings: Any) -> None:
    """Refuse settings that would be taken and ignored.

    Args:
        why: what makes them idle, as "spelling is off".
        hint: what to do.
        settings: by name; None is a setting that was not given.

    Raises:
        InputError: names the settings that were given.
    """
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise InputError(
            f"{', '.join(given)}: {why}, so that {'this has' if len(given) == 1 else 'these have'} no use", hint
        )


def require_text(data: Dataset, *columns: str) -> None:
    """Refuse a dataset without rows, without a column, or with a column that is not text.

    Raises:
        InputError: says which.
    """
    import pyarrow as pa

    data.require_rows()
    data.require(*columns)
    for column in columns:
        kind = data.schema.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            raise InputError(f"column {column!r} holds {kind}, where text is needed")


def column_types(data: Dataset, columns: Sequence[str]) -> pa.Schema:
    """The type of each column over all shards: one may hold only nulls, or whole numbers, where another holds more."""
    import pyarrow as pa

    schema = data.schema
    return pa.schema([schema.field(column) for column in columns])


def require_one_schema(datasets: Mapping[str, Dataset]) -> None:
    """Refuse datasets that cannot be rows of one: a column holds numbers in one and text in another.

    Args:
        datasets: by the names that an error calls them.

    Raises:
        InputError: names the column and both types.
    """
    import pyarrow as pa

    seen: dict[str, tuple[str, pa.DataType]] = {}
    for name, data in datasets.items():
        for field in data.schema if data.shards() else []:
            other, kind = seen.setdefault(field.name, (name, field.type))
            pair = [pa.schema([pa.field(field.name, k)]) for k in (kind, field.type)]
            try:
                seen[field.name] = other, pa.unify_schemas(pair, promote_options="permissive").field(0).type
            except pa.ArrowTypeError:
                raise InputError(
                    f"column {field.name!r} holds {kind} in {other} and {field.type} in {name}",
                    "bring both to one type, or leave the column out of one, before they are joined",
                ) from None


def uniform_tables(data: Dataset) -> Iterator[pa.Table]:
    """The rows shard by shard, sidecar columns joined on, all with the columns and types that fit every shard."""
    import pyarrow as pa

    kinds = data.schema
    for table in data.tables():
        yield pa.concat_tables([kinds.empty_table(), table], promote_options="permissive").select(kinds.names)


def shard_tables(data: Dataset) -> Iterator[tuple[Path, pa.Table]]:
    """Each shard of the part that is read, with its rows; sidecar columns are marked, so that writers carry them."""
    yield from zip(data.shards(), data.tables(), strict=True)


def with_new_values(table: pa.Table, column: str, values: Sequence[Any]) -> pa.Table:
    """The table with one column replaced; a row whose value changed gets a new id, and its old id as its origin.

    Args:
        table: rows of a dataset, with `row_id` and `origin_ids`.
        column: the column to replace.
        values: one new value a row; an Arrow array costs least.
    """
    import numpy as np
    import pyarrow as pa

    place = table.column_names.index(column)
    array = as_array(values, table.schema.field(column).type)
    changed = _different(table.column(column).combine_chunks(), array)
    if not changed.any():
        return table
    new = table.set_column(place, table.schema.field(column), array)
    number = np.where(
        changed, len(table) + np.cumsum(changed) - 1, np.arange(len(table))
    )  # in both, one after the other
    ids = table.column("row_id").combine_chunks()
    fresh = {
        "row_id": row_ids(new.filter(pa.array(changed))),
        "origin_ids": origin_lists(ids.filter(pa.array(changed)), int(changed.sum())),
    }
    for name, theirs in fresh.items():
        both = pa.concat_arrays([table.column(name).combine_chunks(), theirs])
        new = new.drop_columns([name]).append_column(name, both.take(pa.array(number)))
    return new.select(table.column_names)


def _different(old: pa.Array, new: pa.Array) -> np.ndarray:
    """Which values are not the same; a null is the same as a null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(old.type):
        return np.array([a != b for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True)], bool)
    other = pc.fill_null(pc.not_equal(old, new), False)
    one_null = pc.xor(pc.is_null(old), pc.is_null(new))
    found: np.ndarray = pc.or_(other, one_null).to_numpy(zero_copy_only=False)
    return found


def write_changed(writer: DatasetWriter, shard: Path, table: pa.Table, column: str, values: Any, reasons: Any) -> int:
    """Write a shard's rows with new values of one column, and drop those that have a reason, as they were.

    A shard of which no row changes or goes is shared.

    Args:
        writer: the step's writer.
        shard: where the rows lie.
        table: the rows, as `shard_tables` gives them.
        column: the column that changes.
        values: the new value of each row: a sequence, a Polars series or Arrow data.
        reasons: why each row is dropped, likewise; "" where it is not.

    Returns: how many rows are kept and changed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = table.schema.field(column).type
    why = as_array(reasons, pa.string())
    keep = pc.equal(why, "")
    if pa.types.is_null(kind):  # there is nothing in it that could have changed
        writer.keep(shard, keep, why)
        return 0
    new = as_array(values, kind)
    different = _different(table.column(column).combine_chunks(), new) & keep.to_numpy(zero_copy_only=False)
    if not different.any():
        writer.keep(shard, keep, why)
        return 0
    out = pc.invert(keep)
    writer.carry(with_new_values(table.filter(keep), column, new.filter(keep)))
    writer.drop(table.filter(out), why.filter(out))
    return int(different.sum())
