"""Filtering by rules."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text
from loomwork.data.filters import RULES, Learned, Rule, ready_rules

if TYPE_CHECKING:
    import polars as pl

Rules = Annotated[list[str | dict[str, dict[str, Any] | None]], RULES]


@step(makes="dataset", uses=["polars", "pyarrow"], heavy=True)
def filter(data: Dataset, *, rules: Rules, column: str = "text", count_alone: bool = False, out: Path) -> Card:
    """Drop the rows that a rule rejects, with the rule and the reason.

    Rules are tried in the order in which they are given, each on the rows that those before it kept: the first
    that rejects a row gives the reason. Put the cheap ones first. A rule is a name, or a name with its settings:

        rules: [gopher_quality, {length: {min_words: 50}}, {expression: {keep: "language = 'en'"}}]

    Args:
        data: rows with a text column, or with the columns that the rules look at.
        rules: in the order in which they are tried.
        column: the text column that they look at.
        count_alone: also count what each rule would drop if it were the only one. Every rule then sees every row.
    """
    import polars as pl

    data.require_rows()
    if column in data.schema.names:  # rules on other columns need none; a rule that does says so
        require_text(data, column)
    ready = ready_rules(data, rules, column)
    alone: Counter[str] = Counter({_label(ready, i): 0 for i in range(len(ready))})
    done, total = 0, len(data)
    with DatasetWriter(out) as writer:
        for shard, table in zip(data.shards(), data.tables(), strict=True):
            frame = pl.DataFrame(table)
            reasons = _reasons(frame, ready, alone if count_alone else None)
            writer.keep(shard, (reasons == "").to_arrow(), reasons.to_arrow())
            done += len(frame)
            context().progress(done, total, "rows")
    extra = {f"alone: {name}": float(n) for name, n in alone.items()} if count_alone else {}
    card = counted(writer, **extra)
    for i, (_, rule) in enumerate(ready):
        if isinstance(rule, Learned):
            card.metrics |= {f"{_label(ready, i)}: {name}": value for name, value in rule.card.metrics.items()}
            card.notes += [f"{_label(ready, i)}: {note}" for note in rule.card.notes]
    return card


def _reasons(frame: pl.DataFrame, rules: list[tuple[str, Rule]], alone: Counter[str] | None) -> pl.Series:
    """Why each row is dropped, "" where it is not: "length (too few words): 12"."""
    import polars as pl

    found = pl.Series(["" for _ in range(len(frame))], dtype=pl.String)
    left = pl.Series(range(len(frame)), dtype=pl.UInt32)  # the rows that no rule has rejected yet
    for i, (name, rule) in enumerate(rules):
        rows = frame if alone is not None or len(left) == len(frame) else frame[left]
        try:
            reasons = rule(rows)
        except pl.exceptions.ColumnNotFoundError as error:
            missing = next(iter(re.findall(r'"([^"]*)"', str(error))), str(error))
            hint = did_you_mean(missing, rows.columns)
            raise InputError(f"rule {name}: the data has no column {missing!r}", hint) from None
        if len(reasons) != len(rows):
            raise InputError(
                f"rule {name} gave {len(reasons)} verdicts on {len(rows)} rows", "one text a row is needed"
            )
        if alone is not None:
            alone[_label(rules, i)] += int((reasons != "").sum())
            reasons = reasons[left]
        rejected = reasons != ""
        found = found.scatter(left.filter(rejected), _told(name, reasons.filter(rejected)))
        left = left.filter(~rejected)
        if not len(left) and alone is None:
            break
    return found


def _told(name: str, reasons: pl.Series) -> pl.Series:
    """A rule's reasons with its name; what stands before the colon is what the card counts."""
    return name + " (" + reasons.str.replace(r"^([^:]*)", "${1})")


def _label(rules: list[tuple[str, Rule]], i: int) -> str:
    """A rule's name, numbered where it is given more than once."""
    names = [name for name, _ in rules]
    return names[i] if names.count(names[i]) == 1 else f"{names[i]} {names[: i + 1].count(names[i])}"
