"""The report of one run: a single HTML file with the numbers, why they may be believed, and how to make them again.

    write_run_report(RunReport(recipe="docs-search", started="2026-11-20 13:45 UTC", ...), Path("report.html"))

Everything is plain data that the caller gathers from the ledger; a part without data is left out of the page.
"""

from __future__ import annotations

from pathlib import Path

from loomwork.export import run_making as making
from loomwork.export import run_quality as quality
from loomwork.export import run_words as words
from loomwork.export.run_data import ModelCost, RunReport, SystemScore
from loomwork.report import numbers
from loomwork.report.page import KeyFigure, KeyFigures, Page, render

_SECTIONS = (
    quality.scores_section,
    quality.differences_section,
    quality.gates_section,
    quality.examples_section,
    making.training_section,
    making.data_section,
    making.cost_section,
    making.steps_section,
    making.lineage_section,
    making.provenance_section,
    making.reproduce_section,
)


def write_run_report(report: RunReport, path: Path) -> Path:
    """Write the report as one HTML file that needs nothing else.

    Args:
        report: what the run did.
        path: the file; its folder is made where it is missing.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(run_page(report)), encoding="utf-8")
    return path


def run_page(report: RunReport) -> Page:
    """The report as a page of sections."""
    lead, verdict = words.outcome(report)
    key = _key_figures(report)
    return Page(
        title=report.recipe,
        kicker="Run report",
        lead=lead,
        lead_verdict=verdict,
        facts=[
            ("Run", report.started),
            ("Took", numbers.seconds(report.seconds)),
            ("Machine", report.machine),
            ("Loomwork", report.version),
        ],
        blocks=[KeyFigures(key)] if key else [],
        sections=[section for make in _SECTIONS if (section := make(report)) is not None],
        footer=f"Made by Loomwork {report.version}. This file is complete: it loads nothing from elsewhere.",
    )


def _key_figures(report: RunReport) -> list[KeyFigure]:
    out = []
    ends = words.ends(report)
    if ends:
        first, last = ends
        digits = numbers.decimals_for(last.score.interval.low, last.score.interval.high)
        out.append(
            KeyFigure(
                f"{last.score.name}, {last.system}",
                numbers.plain(last.score.value, digits),
                numbers.plain(first.score.value, digits) if first != last else "",
                _gain(report, first, last),
            )
        )
    costs = {c.system: c for c in report.costs}
    if report.costs and ends and ends[1].system in costs:
        one, other = report.costs[0], costs[ends[1].system]
        out += _cost_figures(one, other)
    return out


def _gain(report: RunReport, first: SystemScore, last: SystemScore) -> str:
    found = next(
        (
            d
            for d in report.differences
            if (d.candidate, d.baseline, d.score.name) == (last.system, first.system, last.score.name)
        ),
        None,
    )
    if found is None:
        return f"{words.interval(last.score)}, {words.sample(last.score)}"
    change = words.with_interval(found.score, sign=True)
    return f"{change} over {first.system}, {words.sample(found.score)}"


def _cost_figures(one: ModelCost, other: ModelCost) -> list[KeyFigure]:
    same = one == other
    size = KeyFigure(
        "Size on disk",
        numbers.bytes_(other.bytes),
        "" if same else numbers.bytes_(one.bytes),
        "" if same else words.ratio_to(one.bytes, other.bytes, one.system),
    )
    if other.texts_per_second is None:
        return [size]
    before = one.texts_per_second if not same else None
    speed = KeyFigure(
        "Texts per second",
        words.rate(other.texts_per_second),
        words.rate(before) if before else "",
        words.ratio_to(before, other.texts_per_second, one.system) if before else "",
    )
    return [size, speed]
