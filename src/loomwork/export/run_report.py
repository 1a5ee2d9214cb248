"""The report of one run: a single HTML file with the numbers, why they may be believed, and how to make them again.

    write_run_report(RunReport(recipe="docs-search", started="2026-11-20 13:45 UTC", ...), Path("report.html"))

Everything is plain data that the caller gathers from the ledger; a part without data is left out of the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loomwork.core.score import Ruling, Score
from loomwork.export import run_making as making
from loomwork.export import run_quality as quality
from loomwork.export import run_words as words
from loomwork.report import numbers
from loomwork.report.lineage import Node
from loomwork.report.page import KeyFigure, KeyFigures, Page, render


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One step of the run.

    Args:
        name: its name in the recipe ("dedup").
        step: the function ("data.near_dedup").
        cached: whether its result was already there.
        seconds: how long it took; of a cached step, how long it took when it was made.
        peak_memory_bytes: None where it was not measured.
        rows_in, rows_out: None for a step that reads or makes no dataset.
        metrics: plain numbers of its Card.
        notes: sentences of its Card.
    """

    name: str
    step: str
    cached: bool
    seconds: float
    peak_memory_bytes: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataStage:
    """What one data step kept and dropped.

    Args:
        name: the step's name in the recipe.
        kept: rows in its result.
        dropped: rows left out, by reason.
        examples: a few (reason, text) of dropped rows.
    """

    name: str
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric series of a step: (training step, value) points."""

    step: str
    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class SystemScore:
    """One measured quality of one system ("bm25", "tuned", "int8")."""

    system: str
    score: Score


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference of two systems on the same items.

    Args:
        candidate, baseline: the systems; the difference is candidate minus baseline.
        score: the difference, with its interval; `name`, `unit` and `direction` are those of the metric.
        margin: how much worse is still accepted, 0 or more, in the metric's unit; None where no gate used it.
        refused: whether a gate refused the candidate by it.
    """

    candidate: str
    baseline: str
    score: Score
    margin: float | None = None
    refused: bool = False


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A gate's decision on a system: the gate's name in the recipe, what it judged, and the ruling."""

    name: str
    subject: str
    ruling: Ruling


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """What one system costs to keep and to run. Ratios on the page are to the first one given.

    Args:
        system: as in the score table, so that size can be drawn against quality.
        bytes: on disk.
        texts_per_second: throughput in batches, None where it was not measured.
        latency_seconds: of one text, None where it was not measured.
    """

    system: str
    bytes: int
    texts_per_second: float | None = None
    latency_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """A name that this run moved, or would not move: "docs-search@champion", its artifact, and the decision.

    `system` is what the other tables call that artifact. `moved` is false where the gate refused.
    """

    name: str
    artifact: str
    system: str = ""
    decision: str = "pass"
    moved: bool = True


@dataclass(frozen=True, kw_only=True)
class Example:
    """A query, the passage that answers it, and what the two systems ranked first (best first)."""

    query: str
    right: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """One artifact: its id, kind, size, the step that made it, and the step's name in the recipe."""

    id: str
    kind: str
    bytes: int
    made_by: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """All that a run report shows.

    Args:
        recipe: the recipe's name.
        recipe_path: as the user gave it, for the commands.
        started: when, as it is to be shown, with its time zone.
        seconds: how long the whole run took.
        machine: in words ("2 cores, 16 GB, CPU").
        version: of Loomwork.
        settings: of the recipe, as text.
        before, after: systems of `scores` for the headline; the first and the last where they are empty.
        scores: in the order of the table; the first one's metric is the headline's.
        lineage_edges: (from id, to id) between `lineage_nodes`.
        sample_row: the id of a row, for the command that follows it.
    """

    recipe: str
    recipe_path: str
    started: str
    seconds: float
    machine: str
    version: str
    settings: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    after: str = ""
    steps: tuple[StepRun, ...] = ()
    data: tuple[DataStage, ...] = ()
    curves: tuple[Curve, ...] = ()
    scores: tuple[SystemScore, ...] = ()
    differences: tuple[Difference, ...] = ()
    gates: tuple[Gate, ...] = ()
    costs: tuple[ModelCost, ...] = ()
    names: tuple[Named, ...] = ()
    examples: tuple[Example, ...] = ()
    lineage_nodes: tuple[Node, ...] = ()
    lineage_edges: tuple[tuple[str, str], ...] = ()
    artifacts: tuple[Provenance, ...] = ()
    sample_row: str = ""


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
