"""The sections that set one thing against another: data and target, words for groups of people."""

from __future__ import annotations

from typing import Any

from loomwork.data.profiling.skew import percent
from loomwork.report import numbers
from loomwork.report.forest import Estimate, forest_plot
from loomwork.report.page import Block, Cell, Column, Figure, Row, Section, Table


def target_section(report: dict[str, Any]) -> Section | None:
    target = report.get("target")
    if not target:
        return None
    ours, theirs = numbers.count(target["texts"], "text"), numbers.plain(target["target_texts"])
    lead = f"{ours} of the data against {theirs} of the target, the first 2,000 characters of each."
    return Section("Likeness to the target", lead, [_auc(target), _distances(target), _words(target)])


def _auc(target: dict[str, Any]) -> Figure:
    auc = target["auc"]
    row = Estimate("two-sample AUC", auc["value"], auc["low"], auc["high"], tone="on")
    label = "AUC: 0.5 cannot be told apart, 1 always"
    return Figure.of(
        lambda w: forest_plot([row], title="Two-sample AUC", x_label=label, width=w),
        f"A logistic regression on {target['features']}, cross-fitted in 5 folds; 95 % interval: {auc['method']}. "
        "Texts count as independent of one another.",
    )


def _distances(target: dict[str, Any]) -> Table:
    covered, apart = target["coverage"], target["jensen_shannon"]
    near = f"target texts with a text of the data nearer than their {covered['neighbours']}th neighbour"
    interval = f"[{percent(covered['low'])}, {percent(covered['high'])}]"
    rows = [
        Row([Cell("Target covered", near), Cell(percent(covered["share"]), interval), percent(covered["of_equals"])]),
        Row(
            [
                Cell(
                    "Jensen-Shannon divergence of words, bits", f"p = {apart['p']:.3g}, {apart['draws']} random deals"
                ),
                f"{apart['bits']:.3f}",
                f"{apart['chance']:.3f}",
            ]
        ),
    ]
    columns = [Column("Measure"), Column("Value", "number"), Column("If both were one", "number")]
    return Table(columns, rows, "Coverage and divergence")


def _words(target: dict[str, Any]) -> Table:
    rows = [Row([side, ", ".join(target[f"words_of_{side}"]) or "none"]) for side in ("data", "target")]
    caption = "Words that mark one side against the other, by the z value of their log odds"
    return Table([Column("Side"), Column("Words")], rows, caption)


def people_section(report: dict[str, Any]) -> Section | None:
    found = (report.get("sampled") or {}).get("people")
    if not found:
        return None
    lead = (
        f"Words of short English lists, counted in {numbers.count(found['texts'], 'English text')} of the sample. They "
        "are words, not people: names, phrases and other languages are not seen, and some words have other uses."
    )
    return Section("Words for people", lead, [_axis(axis) for axis in found["axes"]])


def _axis(axis: dict[str, Any]) -> Block:
    rows = [
        Estimate(g["group"], g["share"], g["low"], g["high"], note=numbers.count(g["count"], "word"))
        for g in axis["groups"]
    ]
    label = f"share of the words for {axis['axis']}"
    in_texts = f"{numbers.count(axis['words'], 'word')} in {numbers.count(axis['texts'], 'text')}"
    return Figure.of(
        lambda w: forest_plot(rows, title=label, x_label=label, width=w),
        f"{in_texts}; 95 % intervals over texts.",
    )
