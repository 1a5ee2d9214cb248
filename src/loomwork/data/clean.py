"""Cleaning of a text column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text, shard_tables, with_new_values
from loomwork.text.clean import clean_text

if TYPE_CHECKING:
    import pyarrow as pa


@step(makes="dataset")
def clean(data: Dataset, *, column: str = "text", min_chars: int = 1, out: Path) -> Card:
    """Normalise a text column and drop the rows whose text is empty or too short.

    Unicode NFC, one kind of line ending, no control characters, no trailing white space, at most one blank line
    in a row. A row that was clean is carried as it is; a changed one gets a new id, and its old id as its origin.

    Args:
        data: rows with a text column.
        column: the column to clean.
        min_chars: the shortest text that is kept, in characters after cleaning.
    """
    require_text(data, column)
    changed = done = 0
    with DatasetWriter(out) as writer:
        for shard, table in shard_tables(data):
            old = table.column(column).to_pylist()
            new = [clean_text(text or "") for text in old]
            reasons = ["" if len(t) >= max(1, min_chars) else "short text" if t else "empty text" for t in new]
            different = sum(a != b for a, b, reason in zip(old, new, reasons, strict=True) if not reason)
            if different:
                _write_changed(writer, table, column, new, reasons)
            else:
                writer.keep(shard, [not reason for reason in reasons], reasons)
            changed += different
            done += len(table)
            context().progress(done, unit="rows")
    return counted(writer, rows_changed=changed)


def _write_changed(writer: DatasetWriter, table: pa.Table, column: str, new: list[str], reasons: list[str]) -> None:
    import pyarrow as pa

    keep = pa.array([not reason for reason in reasons], pa.bool_())
    drop = pa.array([bool(reason) for reason in reasons], pa.bool_())
    texts = [text for text, reason in zip(new, reasons, strict=True) if not reason]
    writer.carry(with_new_values(table.filter(keep), column, texts))
    writer.drop(table.filter(drop), [reason for reason in reasons if reason])
