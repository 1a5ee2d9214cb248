"""The one pass over all rows: sizes, lengths, columns, groups, and the rows of the sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from loomwork.core.context import context
from loomwork.core.dataset import OURS, Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.data.profiling.columns import ColumnTally
from loomwork.stats.sketches import DistinctSample, LogHistogram

if TYPE_CHECKING:
    import polars as pl

CUT_CHARS = 10_000  # of each sampled text; longer ones are measured on their beginning
SAMPLE_CHARS = 32 << 20  # of all sampled texts; where rows are so long, fewer are sampled
ROW = OURS[0]  # in the sample it holds the number of the row: a name that no column of the data has
GROUPS_KEPT = 100_000  # different values of a source, label or language that are counted one by one
EXTREMES = 3  # longest and shortest texts that are shown
REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that it cannot read
LEAST_FILES = 20  # small sources, up to which each is shown by itself
OWN_ROWS = 20  # or OWN_SHARE of all: a source of so many rows is never taken together with others
OWN_SHARE = 0.05
LEAST_TEXT_CHARS = 15  # mean length from which an unnamed column of texts is taken for the text


@dataclass(frozen=True)
class Roles:
    """Which columns are what; "" where there is none."""

    text: str = ""
    label: str = ""
    language: str = ""
    source: str = ""


@dataclass
class Scan:
    """What the pass found.

    Args:
        rows: of the part that is read.
        columns: tallies by name.
        chars, words: of the texts that are not empty.
        bytes: of all texts, UTF-8.
        empty: texts that are null or white space.
        damaged: texts with the replacement character.
        texts: hashes of the texts that are not empty.
        groups: rows and characters of each value, by role.
        extremes: (characters, row number, beginning) of the longest and of the shortest texts.
        sample: some rows, with their columns and ROW; the text is cut.
    """

    rows: int = 0
    columns: dict[str, ColumnTally] = field(default_factory=dict)
    chars: LogHistogram = field(default_factory=LogHistogram)
    words: LogHistogram = field(default_factory=LogHistogram)
    bytes: int = 0
    empty: int = 0
    damaged: int = 0
    texts: DistinctSample = field(default_factory=DistinctSample)
    groups: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    extremes: dict[str, list[tuple[int, int, str]]] = field(default_factory=lambda: {"longest": [], "shortest": []})
    sample: pl.DataFrame = field(default=None)  # type: ignore[assignment]


def find_roles(data: Dataset, text: str | None, label: str | None, language: str | None, source: str | None) -> Roles:
    """The columns to use: those that were named, else those that have the role's own name.

    The text, where no column is called `text`, is the column of strings with the longest values.

    Raises:
        InputError: a named column is not there, the named text column holds no text, or another holds what rows cannot
            be counted by.
    """
    import polars as pl

    data.require_rows()
    first = pl.DataFrame(next(t for t in data.tables() if len(t)).slice(0, 1000).to_batches()[0])
    have = [name for name in data.schema.names if name not in OURS]
    for name in (text, label, language, source):
        if name and name not in have:
            raise InputError(f"dataset part {data.main_part!r} has no column {name!r}", did_you_mean(name, have))
    for what, name in (("label", label), ("language", language), ("source", source)):
        if name and not _countable(data, name):
            raise InputError(
                f"{what} is {name!r}, which holds {data.schema.field(name).type}",
                "rows are counted by a text, a number, a boolean, a date or a time: one value to a row, not a list",
            )
    if text and first.schema[text] not in (pl.String, pl.Null):
        raise InputError(f"column {text!r} holds {first.schema[text]}, where text is needed")

    def role(given: str | None, name: str) -> str:
        return given or (name if name in have and first.schema[name] == pl.String else "")

    found = role(text, "text")
    if not found:
        taken = {label, language, source, "source", "label", "language"}
        lengths = {
            n: float(first[n].str.len_chars().mean() or 0)
            for n in have
            if first.schema[n] == pl.String and n not in taken
        }
        longest = max(lengths, key=lambda n: lengths[n], default="")
        found = longest if lengths.get(longest, 0) >= LEAST_TEXT_CHARS else ""
    given_label = label or ("label" if "label" in have and _countable(data, "label") else "")
    return Roles(found, given_label, role(language, "language"), role(source, "source"))


def _countable(data: Dataset, column: str) -> bool:
    """Whether the values of a column can be told by name."""
    import pyarrow.types as t

    kind = data.schema.field(column).type
    is_bytes = t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind) or t.is_binary_view(kind)
    return not (t.is_nested(kind) or t.is_duration(kind) or is_bytes)


def scan(data: Dataset, roles: Roles, sample_rows: int, order: np.random.Generator) -> Scan:
    """Read every row once.

    Args:
        data: any dataset.
        roles: its columns.
        sample_rows: how many rows the sample has at most.
        order: where chance comes from.
    """
    import polars as pl

    total = len(data)
    chosen = np.sort(order.choice(total, size=min(total, sample_rows), replace=False))
    found = Scan(groups={r: {} for r in ("label", "language", "source") if getattr(roles, r)})
    parts: list[pl.DataFrame] = []
    for table in data.tables():
        frame = pl.DataFrame(table.drop_columns([n for n in OURS if n in table.column_names and n != "row_id"]))
        for name in frame.columns:
            if name not in OURS:
                found.columns.setdefault(name, ColumnTally(name)).add(frame[name])
        chars = _texts(found, frame[roles.text]) if roles.text else None
        for role, groups in found.groups.items():
            _groups(groups, frame[getattr(roles, role)], chars, role)
        mine = chosen[(chosen >= found.rows) & (chosen < found.rows + len(frame))]
        parts.append(_sampled(frame, mine, found.rows, roles.text))
        found.rows += len(frame)
        context().progress(found.rows, total, "rows read")
    found.sample = pl.concat(parts, how="diagonal_relaxed")
    return found


def _texts(found: Scan, texts: pl.Series) -> np.ndarray:
    """Count a shard's texts. Returns their characters, 0 where null.  # (rows,)"""
    import polars as pl

    from loomwork.text.lexical import scatter_bits

    frame = pl.DataFrame({"text": texts.cast(pl.String).fill_null("")}).select(
        "text",
        chars=pl.col("text").str.len_chars(),
        bytes=pl.col("text").str.len_bytes(),
        words=pl.col("text").str.count_matches(r"\S+"),
        damaged=pl.col("text").str.contains(REPLACEMENT, literal=True),
    )
    full = frame.filter(pl.col("words") > 0)
    found.chars.add(full["chars"].to_numpy())
    found.words.add(full["words"].to_numpy())
    found.bytes += int(frame["bytes"].sum())
    found.empty += len(frame) - len(full)
    found.damaged += int(frame["damaged"].sum())
    found.texts.add(scatter_bits(full["text"].hash().to_numpy()))
    numbered = frame.with_row_index("place", offset=found.rows).filter(pl.col("words") > 0)
    for name, longest in (("longest", True), ("shortest", False)):
        few = numbered.sort("chars", "place", descending=[longest, False]).head(EXTREMES)
        rows = [(c, p, t[:CUT_CHARS]) for c, p, t in few.select("chars", "place", "text").rows()]
        both = sorted(found.extremes[name] + rows, key=lambda r: (-r[0] if longest else r[0], r[1]))
        found.extremes[name] = both[:EXTREMES]
    return np.asarray(frame["chars"].to_numpy())


def _groups(groups: dict[str, list[int]], values: pl.Series, chars: np.ndarray | None, role: str) -> None:
    import polars as pl

    frame = pl.DataFrame({"value": values.cast(pl.String, strict=False)})
    frame = frame.with_columns(chars=pl.Series(np.zeros(len(frame), np.int64) if chars is None else chars))
    if role == "source":
        frame = frame.with_columns(value=place_of(pl.col("value")))
    counted = frame.group_by("value").agg(rows=pl.len(), chars=pl.col("chars").sum()).sort("value", nulls_last=True)
    for value, rows, size in counted.rows():
        name = "" if value is None else value
        if name not in groups and len(groups) >= GROUPS_KEPT:
            name = "(others)"
        entry = groups.setdefault(name, [0, 0])
        entry[0] += rows
        entry[1] += size


def place_of(source: pl.Expr) -> pl.Expr:
    """Where a row is from: the host of a URL, else the file, without the line in it."""
    import polars as pl

    source = source.cast(pl.String)
    host = source.str.extract(r"^[a-z][a-z0-9+.-]*://([^/:?#]+)")
    return pl.coalesce(host, source.str.replace(r":\d+$", ""))


def by_folder(groups: Mapping[str, list[int]]) -> tuple[dict[str, list[int]], str]:
    """Sources, with the small ones by their folders where nearly every row of these is a file of its own.

    Returns: the sources, and what one of them is: "file or host", "folder", or "folder or file".
    """
    total = sum(n for n, _ in groups.values())
    small = {k for k, (n, _) in groups.items() if n < OWN_ROWS and n < OWN_SHARE * total and k}
    if len(small) <= max(LEAST_FILES, sum(groups[k][0] for k in small) / 2):
        return dict(groups), "file or host"
    found: dict[str, list[int]] = {}
    for name, (n, chars) in groups.items():
        entry = found.setdefault((name.rpartition("/")[0] or ".") if name in small else name, [0, 0])
        entry[0] += n
        entry[1] += chars
    return found, "folder" if not groups.keys() - small - {""} else "folder or file"


def _sampled(frame: pl.DataFrame, chosen: np.ndarray, start: int, text: str) -> pl.DataFrame:
    import polars as pl

    plain = [n for n, kind in frame.schema.items() if not kind.is_nested()]
    rows = frame.select(plain)[chosen - start].with_columns(pl.Series(ROW, chosen, dtype=pl.Int64))
    strings = [n for n, kind in rows.schema.items() if kind == pl.String]
    cut = [pl.col(n).str.slice(0, CUT_CHARS if n == text else 200) for n in strings]
    # A view of strings keeps the whole shard's bytes alive; plain Arrow strings are a copy of those that are sampled.
    return pl.DataFrame(rows.with_columns(cut).to_arrow(compat_level=pl.CompatLevel.oldest()))
