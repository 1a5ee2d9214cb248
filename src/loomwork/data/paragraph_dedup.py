"""Removal of paragraphs or lines that other documents have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, keep_cut, require_text, shard_tables, write_changed

if TYPE_CHECKING:
    import polars as pl

ENDS = {"paragraph": "\n\n", "line": "\n"}
BORDERS = {"paragraph": r"\r?\n(?:[^\S\n]*\n)+", "line": r"\r?\n"}  # what stands between two pieces


@step(makes="dataset", uses=["polars"])
def paragraph_dedup(
    data: Dataset,
    *,
    column: str = "text",
    unit: Literal["paragraph", "line"] = "paragraph",
    min_chars: Annotated[int, Ge(1)] = 80,
    out: Path,
) -> Card:
    """Take out of texts the paragraphs (or lines) that stood earlier, in the same text or in another.

    The first occurrence stays. Paragraphs are compared without case and with white space folded, by a 128-bit hash;
    shorter ones than `min_chars` stay wherever they stand. What stays keeps its own white space and line ends. A
    changed text has a new id, and its old id as its origin; a text of which nothing is left is dropped. What was taken
    out is kept in the part `cut`. 28 bytes a paragraph are held in memory.

    Args:
        data: rows with a text column.
        column: which.
        unit: paragraphs, between blank lines (which may hold white space), or lines.
        min_chars: the shortest paragraph that is looked at, in characters.

    Raises:
        InputError: the column is no text.
    """
    import polars as pl

    require_text(data, column)
    hashes = [_pieces(table, column, unit, min_chars).select("one", "two") for _, table in shard_tables(data)]
    frame = pl.concat(hashes)
    first = pl.struct("one", "two").is_first_distinct() | pl.col("one").is_null()
    keep = frame.select(keep=first)["keep"]
    start = done = changed = cut = 0
    with DatasetWriter(out) as writer:
        for (shard, table), size in zip(shard_tables(data), map(len, hashes), strict=True):
            mine = keep[start : start + size]
            start += size
            done += len(table)
            context().progress(done, len(data), "rows")
            if mine.all():
                writer.share(shard)
                continue
            kept = _pieces(table, column, unit, min_chars).with_columns(keep=mine)
            gone = kept.filter(~pl.col("keep"))
            ids = table.column("row_id").take(gone["row"].to_arrow())
            keep_cut(writer, column, gone["piece"], f"repeated {unit}", ids)
            begins = pl.col("keep") & (pl.col("keep").cum_sum().over("row") == 1)
            before = pl.when(begins).then(pl.lit("")).otherwise(_borders(table, column, unit))
            joined = (
                kept.with_columns(piece=before + pl.col("piece"))
                .group_by("row", maintain_order=True)
                .agg(text=pl.col("piece").filter("keep").str.join(""), all=pl.col("keep").all())
            )
            old = table.column(column).to_pylist()
            new = [
                before if whole else text
                for before, text, whole in zip(old, joined["text"], joined["all"], strict=True)
            ]
            reasons = [
                "repeated text" if not whole and not text.strip() else ""
                for text, whole in zip(new, joined["all"], strict=True)
            ]
            cut += int((~mine).sum())
            changed += write_changed(writer, shard, table, column, new, reasons)
    return counted(writer, rows_changed=changed, **{f"{unit}s_cut": cut})


def _texts(table: object, column: str) -> pl.Series:
    import polars as pl

    return pl.Series(table.column(column)).cast(pl.String).fill_null("")  # type: ignore[attr-defined]


def _pieces(table: object, column: str, unit: str, min_chars: int) -> pl.DataFrame:
    """row, piece, and two hashes of each piece, null for the short ones; every row has at least one piece."""
    import polars as pl

    frame = pl.DataFrame({"piece": _texts(table, column)}).with_row_index("row")
    pieces = pl.col("piece").str.replace_all(BORDERS[unit], ENDS[unit]).str.split(ENDS[unit])
    folded = pl.col("piece").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    long = folded.str.len_chars() >= min_chars
    return (
        frame.with_columns(pieces)
        .explode("piece")
        .with_columns(
            one=pl.when(long).then(folded.hash(1)).otherwise(None),
            two=pl.when(long).then(folded.hash(2)).otherwise(None),
        )
    )


def _borders(table: object, column: str, unit: str) -> pl.Series:
    """What stands before each of the pieces; nothing before the first of a text."""
    import polars as pl

    found = _texts(table, column).str.extract_all(BORDERS[unit])
    return pl.select(pl.concat_list(pl.lit("").repeat_by(1), found).explode()).to_series()
