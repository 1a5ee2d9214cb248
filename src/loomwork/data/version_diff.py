"""What differs between two versions of a dataset: rows, by source, and which statistics moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import OURS, SET_ASIDE, Dataset
from loomwork.core.tables import read_shard

if TYPE_CHECKING:
    import polars as pl

EXAMPLES = 3
SHOWN_CHARS = 70
SAMPLE_ROWS = 20_000  # whose statistics are compared
ALPHA = 0.05  # for naming a statistic as moved: false alarms over all columns
PLACE = r"^(.*?)(?::[0-9]+)?$"  # a source is "folder/file:12"; the file is what is counted


@dataclass(frozen=True)
class VersionDiff:
    """Rows and statistics of two versions.

    Args:
        rows: (in the old version, in the new one).
        kept: rows that both have: the same content, wherever it stands.
        added: rows of the new one that come from no row of the old one.
        removed: rows of the old one from which no row of the new one comes.
        changed: rows of the new one that stand for a row of the old one with another content.
        between: "holdout -> train" and the like -> how many of the rows that both have stand in another part; only of
            parts that both versions have.
        by_source: source -> (added, removed, changed), the largest first.
        columns: names that only one of them has, with "+" or "-".
        moved: a sentence for each column whose distribution moved by more than chance.
        examples: (kind of difference, the rows' ids and how they begin).
    """

    rows: tuple[int, int]
    kept: int
    added: int
    removed: int
    changed: int
    between: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    examples: dict[str, list[str]] = field(default_factory=dict)


def version_diff(old: Dataset, new: Dataset) -> VersionDiff:
    """Compare two versions of a dataset, all their parts but `dropped`.

    A row is changed where a row of the new version comes from a row of the old one that is gone, where both come from
    the same row, or where both stand at the same place of the same source, nowhere else, and share at least half of
    their words. About a hundred bytes a row are held in memory, and the texts of what may have changed in place.
    """
    import polars as pl

    a, b = _ids(old), _ids(new)
    only_a, only_b = _without(a, b), _without(b, a)
    pairs = _changed(old, new, only_a, only_b)
    changed_a, changed_b = (
        only_a.filter(pl.col("n").is_in(pairs["a"].implode())),
        only_b.filter(pl.col("n").is_in(pairs["b"].implode())),
    )
    removed = only_a.filter(~pl.col("n").is_in(pairs["a"].implode()))
    added = only_b.filter(~pl.col("n").is_in(pairs["b"].implode()))
    counts: dict[str, list[int]] = {}
    for place, frame in enumerate((added, removed, changed_b)):
        for source, n in frame.group_by("file").len().sort("file").iter_rows():
            counts.setdefault(source or "(no source)", [0, 0, 0])[place] = n
    by_source = {s: (c[0], c[1], c[2]) for s, c in sorted(counts.items(), key=lambda x: (-sum(x[1]), x[0]))}
    names = [set(d.schema.names) - set(OURS) if d.shards() else set() for d in _parts(old)[:1] + _parts(new)[:1]]
    columns = [f"- {c}" for c in sorted(names[0] - names[1])] + [f"+ {c}" for c in sorted(names[1] - names[0])]
    examples = {
        "added": _examples(new, added),
        "removed": _examples(old, removed),
        "changed": [f"{x} -> {y}" for x, y in zip(_examples(old, changed_a), _examples(new, changed_b), strict=False)],
    }
    return VersionDiff(
        (len(a), len(b)),
        len(a) - len(only_a),
        len(added),
        len(removed),
        len(changed_b),
        _between(a, b),
        by_source,
        columns,
        _moved(old, new),
        {kind: shown for kind, shown in examples.items() if shown},
    )


def _parts(data: Dataset) -> list[Dataset]:
    return [data.select(part) for part in data.parts if part not in SET_ASIDE]


def _ids(data: Dataset) -> pl.DataFrame:
    """n, id, content, origins, source, file and part of every row."""
    import polars as pl

    from loomwork.core.row_ids import content_ids

    frames = []
    for part in _parts(data):
        for shard in part.shards():
            table = read_shard(shard)
            frame = pl.DataFrame(table.select(list(OURS))).with_columns(content=pl.Series(content_ids(table)))
            source = pl.Series(table.column("source")).cast(pl.String) if "source" in table.column_names else None
            place = pl.lit(None, pl.String) if source is None else source
            frames.append(frame.with_columns(source=place, part=pl.lit(part.main_part)))
    kinds: dict[str, Any] = {
        "row_id": pl.Binary,
        "origin_ids": pl.List(pl.Binary),
        "content": pl.Binary,
        "source": pl.String,
        "part": pl.String,
    }
    whole = pl.concat([pl.DataFrame(schema=kinds), *frames])
    return whole.with_columns(file=pl.col("source").str.extract(PLACE, 1)).with_row_index("n")


def _without(some: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The rows of one version that the other lacks; of a row that is repeated, as many as it has more."""
    import polars as pl

    turn = pl.int_range(pl.len()).over("content").alias("turn")
    return some.with_columns(turn).join(others.with_columns(turn), on=["content", "turn"], how="anti").drop("turn")


def _between(a: pl.DataFrame, b: pl.DataFrame) -> dict[str, int]:
    """How many rows of the same content stand in another part, by the names of the parts."""
    import polars as pl

    # in both, rows that stay in their part are counted first: of a text that is repeated only those that moved are left
    turn = pl.int_range(pl.len()).over("content", "part").alias("turn")
    keys = ["content", "part", "turn"]
    one, two = a.with_columns(turn), b.with_columns(turn)
    left = [x.join(y, on=keys, how="anti") for x, y in ((one, two), (two, one))]
    again = pl.int_range(pl.len()).over("content").alias("turn")
    pairs = left[0].with_columns(again).join(left[1].with_columns(again), on=["content", "turn"])
    shared = set(a["part"]) & set(b["part"])
    counts = pairs.group_by("part", "part_right").len().sort("part", "part_right")
    return {f"{x} -> {y}": n for x, y, n in counts.iter_rows() if {x, y} <= shared}


def _changed(old: Dataset, new: Dataset, a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Pairs (a, b) of row numbers that are the same row with another content, each row in one pair at most."""
    import polars as pl

    def unique(frame: pl.DataFrame, key: str) -> pl.DataFrame:
        return frame.filter(pl.col(key).is_not_null() & (pl.len().over(key) == 1))

    by_origin = b.explode("origin_ids").drop_nulls("origin_ids")
    found = [
        a.join(by_origin, left_on="row_id", right_on="origin_ids"),
        a.explode("origin_ids").drop_nulls("origin_ids").join(by_origin, on="origin_ids"),
        _alike(old, new, unique(a, "source").join(unique(b, "source"), on="source")),
    ]
    pairs = pl.concat([f.select(a="n", b="n_right") for f in found])
    return pairs.unique("a", keep="first", maintain_order=True).unique("b", keep="first", maintain_order=True)


def _alike(old: Dataset, new: Dataset, pairs: pl.DataFrame) -> pl.DataFrame:
    """Those pairs whose texts share at least half of their words: lines that were moved are not lines that changed."""
    from loomwork.text.words import search_words

    words = [
        {row["row_id"]: set(search_words(_text(row))) for row in _rows_of(data, set(pairs[column]))}
        for data, column in ((old, "row_id"), (new, "row_id_right"))
    ]
    keep = []
    for x, y in zip(pairs["row_id"], pairs["row_id_right"], strict=True):
        one, two = words[0].get(x, set()), words[1].get(y, set())
        keep.append(2 * len(one & two) >= len(one | two))
    return pairs.filter(keep)


def _text(row: dict[str, Any]) -> str:
    """A row's longest text, without where it stands."""
    return max((v for k, v in row.items() if isinstance(v, str) and k != "source"), key=len, default="")


def _moved(old: Dataset, new: Dataset) -> list[str]:
    """The columns whose distribution moved by more than chance, with both means or shares."""
    from loomwork.data._drift import comparable_columns, find_drift

    said = []
    for mine in _parts(new):
        part = mine.main_part
        before = old.select(part) if part in old.parts else mine
        if before is mine or not len(mine) or not len(before):
            continue
        columns = comparable_columns(before, mine)
        if columns:
            tests = find_drift(
                mine, before, columns, measure="auto", group=None, sample_rows=SAMPLE_ROWS, alpha=ALPHA, seed=7
            )
            where = "" if len(_parts(new)) == 1 else f"{part}: "
            said += [where + t.as_check(0.0, ALPHA).sentence for t in tests if t.adjusted <= ALPHA]
    return said


def _examples(data: Dataset, rows: pl.DataFrame) -> list[str]:
    """The first rows: the beginning of the id, where it stands, and how it begins."""
    wanted = list(rows["row_id"].head(EXAMPLES))
    shown: dict[bytes, str] = {}
    for row in _rows_of(data, set(wanted)):
        place = f"  {row['source']}" if row.get("source") else ""
        shown[row["row_id"]] = f"{row['row_id'].hex()[:12]}{place}  {' '.join(_text(row).split())[:SHOWN_CHARS]}"
    return [shown[i] for i in wanted if i in shown]


def _rows_of(data: Dataset, wanted: set[bytes]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    from loomwork.core.rows import mask_of

    for part in _parts(data):
        for shard in part.shards():
            if not wanted:
                return
            mask = mask_of(read_shard(shard, list(OURS)), wanted, origins=False)
            if mask.any():
                for row in read_shard(shard).filter(pa.array(mask)).to_pylist():
                    wanted.discard(row["row_id"])
                    yield row
