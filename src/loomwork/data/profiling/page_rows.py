"""The sections about rows and groups of rows: languages, sources, labels, columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loomwork.data.profiling.skew import percent
from loomwork.report import numbers
from loomwork.report.bars import Bar, bar_chart
from loomwork.report.histogram import histogram
from loomwork.report.page import Block, Cell, Column, Details, Figure, Row, Section, Table
from loomwork.stats.concentration import effective_number

SHOWN = 15  # bars
PLOTTED_COLUMNS = 12


def group_bars(groups: Mapping[str, list[int]], title: str, unit: str, nameless: str = "(none)") -> Figure:
    """The largest groups as bars of their share, the others as one."""
    total = sum(n for n, _ in groups.values())
    few = list(groups.items())[:SHOWN]
    rest = total - sum(n for _, (n, _) in few)
    bars = [Bar(name or nameless, n / total, f"{percent(n / total)} · {numbers.plain(n)}") for name, (n, _) in few]
    if rest:
        bars.append(
            Bar(f"{len(groups) - SHOWN} others", rest / total, f"{percent(rest / total)} · {numbers.plain(rest)}")
        )
    return Figure.of(lambda w: bar_chart(bars, title=title, most=1.0, width=w), f"Share and number of {unit}.")


def sample_words(report: dict[str, Any], what: str = "texts") -> str:
    """ "of 20,000 sampled texts", or "of all 812 texts"."""
    sampled = report["sampled"]
    every, some = ("all ", "") if sampled["all"] else ("", "sampled ")
    return f"of {every}{numbers.plain(sampled['texts'])} {some}{what}"


def languages_section(report: dict[str, Any]) -> Section | None:
    groups = report["groups"].get("language")
    if groups:
        return Section(
            "Languages",
            f"As the column {report['roles']['language']} says.",
            [group_bars(groups, "Rows by language", "rows")],
        )
    if "sampled" not in report:
        return None
    groups = report["sampled"]["languages"]
    lead = f"Identified, {sample_words(report)}. “und”: under 20 characters, or without letters."
    return Section("Languages", lead, [group_bars(groups, "Texts by language", "texts")])


def sources_section(report: dict[str, Any]) -> Section | None:
    groups = report["groups"].get("source")
    if not groups:
        return None
    shown, unit = groups, report["source_unit"]
    if len(shown) == 1:
        return Section("Sources", f"All rows come from one {unit}: {next(iter(shown)) or 'unnamed'}.")
    evenness = (
        f"{numbers.plain(round(effective_number([n for n, _ in shown.values()]), 1))} of {numbers.plain(len(shown))}"
    )
    return Section(
        "Sources",
        f"By {unit}. As even as {evenness} equally large ones.",
        [group_bars(shown, f"Rows by {unit}", "rows")],
    )


def labels_section(report: dict[str, Any]) -> Section | None:
    groups = {name: n for name, n in report["groups"].get("label", {}).items() if name}
    if not groups:
        return None
    balance = report["label_balance"]
    facts = [
        ("Classes", numbers.plain(balance["classes"])),
        ("Effective number of classes", f"{balance['effective_classes']:.2f}"),
        ("Normalised entropy (1 is even)", f"{balance['normalised_entropy']:.3f}"),
        ("Largest class by smallest", f"{balance['largest_by_smallest']:.1f}"),
    ]
    table = Table(
        [Column("Balance"), Column("Value", "number")], [Row([a, b]) for a, b in facts], "All rows with a label"
    )
    return Section(
        "Labels", f"The column {report['roles']['label']}.", [table, group_bars(groups, "Rows by label", "rows")]
    )


def columns_section(report: dict[str, Any]) -> Section | None:
    if not report["columns"]:
        return None
    rows, plots = [], []
    for name, c in report["columns"].items():
        distinct = (
            "" if "distinct" not in c else ("" if c["distinct_is_exact"] else "≈ ") + numbers.plain(c["distinct"])
        )
        low, high = (numbers.plain(v) if isinstance(v, int | float) else v or "" for v in (c.get("low"), c.get("high")))
        spread = (
            f"mean {numbers.plain(c['mean'])}, sd {numbers.plain(c['standard_deviation'])}"
            if "mean" in c
            else _frequent(c)
        )
        nulls = percent(c["nulls"] / c["rows"]) if c["nulls"] else "none"
        rows.append(
            Row([Cell(name, c["type"]), nulls, distinct, Cell(f"{low} to {high}" if low or high else "", spread)])
        )
        if c.get("histogram"):
            plots.append(_column_plot(name, c))
    columns = [Column("Column"), Column("Nulls", "number"), Column("Distinct", "number"), Column("Values")]
    table = Table(columns, rows, "All rows", "Frequent values are of the sample; ≈ is an estimate.")
    more: list[Block] = (
        [Details(f"Histograms of {numbers.count(len(plots), 'column')}", plots[:PLOTTED_COLUMNS])] if plots else []
    )
    return Section("Columns", "", [table, *more])


def _frequent(column: dict[str, Any]) -> str:
    if "frequent" not in column:
        return ""
    return ", ".join(
        f"{value or '(empty)'} {percent(n / column['frequent_of'])}" for value, n in column["frequent"][:5]
    )


def _column_plot(name: str, column: dict[str, Any]) -> Figure:
    bars = column["histogram"]
    median = column["median"]
    return Figure.of(
        lambda w: histogram(
            bars["edges"], bars["counts"], title=name, x_label=name, y_label="sampled rows",
            mark=(median, f"median {numbers.plain(median)}"), width=w,
        )
    )  # fmt: skip
