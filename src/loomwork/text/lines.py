"""Lines that say nothing of a document: those that stand in many documents of one source (headers, footers, cookie
notices), and those that a document repeats. Polars expressions over all lines of a column; memory is bounded.

Two lines are the same when they are equal without the white space around them and with every number read as 0
("Page 3 of 12"). A line without a letter is never counted: rules, brackets and blank lines are structure. Nor is the
only line of a text: it is all that the text says.

Source: Manku and Motwani (2002), Approximate frequency counts over data streams: what is seldom is forgotten, so that
a count is never too high.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

KEYS = 1 << 22  # that are held at most: 20 bytes each, and twice that while two tables are joined


def line_keys(texts: pl.Series) -> pl.DataFrame:
    """Every line of every text.

    Args:
        texts: a column of texts without nulls.

    Returns: columns `place` (of the line, uint32), `row` (of its text, uint32), `line` (as it stands), `key` (uint64;
    null for a line that is never counted).
    """
    import polars as pl

    lines = pl.DataFrame({"line": texts.str.split("\n")}).with_row_index("row").explode("line").with_row_index("place")
    line = pl.col("line").str.strip_chars()
    says = line.str.contains(r"\p{L}")
    folded = line.str.replace_all(r"\d+", "0")
    return lines.with_columns(key=pl.when(says & (says.sum().over("row") > 1)).then(folded.hash(seed=1)))


class Counts:
    """How many documents of a source each line, or each word, stands in: never more than there are.

    `forgotten` is by how much a count may be too low.
    """

    def __init__(self, most: int = KEYS) -> None:
        import polars as pl

        self.most, self.forgotten = most, 0
        self.table = pl.DataFrame(schema={"key": pl.UInt64, "group": pl.UInt64, "documents": pl.UInt32})

    def add(self, keys: pl.DataFrame) -> None:
        """Count the documents of some rows.

        Args:
            keys: columns `row`, `key` and `group` (uint64, the source's); a key counts once for each row.
        """
        import polars as pl

        new = keys.drop_nulls("key").unique(["row", "key"]).group_by("key", "group").agg(documents=pl.len())
        both = pl.concat([self.table, new.select("key", "group", pl.col("documents").cast(pl.UInt32))])
        self.table = both.group_by("key", "group").agg(pl.col("documents").sum())
        while len(self.table) > self.most:
            self.forgotten += 1
            self.table = self.table.with_columns(pl.col("documents") - 1).filter(pl.col("documents") > 0)

    def frequent(self, least: int) -> pl.DataFrame:
        """What stands in at least so many documents of one source: columns `key`, `group`, `documents`."""
        import polars as pl

        return self.table.filter(pl.col("documents") >= least)


def without_lines(texts: pl.Series, groups: pl.Series, taken: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """The texts without some lines. A text of which no line with a letter would be left is a copy, not a page around
    other content: it stays whole.

    Args:
        texts: a column of texts without nulls.
        groups: the source of each, uint64.
        taken: columns `key` and `group`: the lines to take out.

    Returns: the texts, and the lines taken out (columns `place`, `row`, `line`, `key`, `group`).
    """
    import polars as pl

    lines = line_keys(texts)
    lines = lines.with_columns(group=groups.gather(lines["row"]))
    out = lines.join(taken.select("key", "group"), on=["key", "group"], how="semi", maintain_order="left")
    says = lines.filter(pl.col("key").is_not_null())
    left = says.join(out.select("place"), on="place", how="anti").select("row").unique()
    out = out.join(left, on="row", how="semi", maintain_order="left")
    return _without(texts, lines, out), out


def without_repeats(texts: pl.Series, most: int) -> tuple[pl.Series, pl.DataFrame]:
    """The texts without the further copies of a line that a text has more than `most` times.

    Indented lines (four spaces or a tab) stay: they may be code. Here numbers count: "Chapter 1" and "Chapter 2" in
    one text are no copies of one another.

    Args:
        texts: a column of texts without nulls.
        most: how many copies stay, from the first on.

    Returns: the texts, and the lines taken out (columns `place`, `row`, `line`, `key`).
    """
    import polars as pl

    lines = line_keys(texts)
    prose = lines.filter(pl.col("key").is_not_null() & ~pl.col("line").str.contains(r"^(?: {4}|\t)"))
    copy = pl.int_range(pl.len()).over("row", pl.col("line").str.strip_chars())
    out = prose.filter(copy >= most)
    return _without(texts, lines, out), out


def _without(texts: pl.Series, lines: pl.DataFrame, out: pl.DataFrame) -> pl.Series:
    import polars as pl

    if not len(out):
        return texts
    rows = out.select("row").unique().sort("row")
    touched = lines.join(rows, on="row", how="semi", maintain_order="left")
    left = touched.join(out.select("place"), on="place", how="anti", maintain_order="left")
    joined = left.group_by("row", maintain_order=True).agg(pl.col("line").str.join("\n"))
    new = rows.join(joined, on="row", how="left", maintain_order="left")["line"].fill_null("")
    return texts.clone().scatter(rows["row"], new)  # scatter changes a series in place
