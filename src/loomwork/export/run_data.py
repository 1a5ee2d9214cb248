"""What a run report shows, as plain data that the caller gathers; a part without data is left out of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loomwork.core.score import Ruling, Score
from loomwork.report.lineage import Node


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
        candidate, baseline: the systems.
        score: by how much the candidate is better, with its interval; `name` and `unit` are those of the metric.
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
