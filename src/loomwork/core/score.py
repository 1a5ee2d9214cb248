"""Scores and verdicts: numbers that cannot be had without what makes them believable. Data only."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from loomwork.core.artifact import Artifact
from loomwork.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Direction = Literal["higher is better", "lower is better"]
Contamination = Literal["checked", "clean subset given", "unknown"]
Decision = Literal["pass", "refuse", "undecided", "first"]
ROUNDING = 1e-9  # of the larger bound: a value outside of its interval by no more is inside


@dataclass(frozen=True)
class Interval:
    """A confidence interval. `level` is e.g. 0.95; `method` e.g. "cluster bootstrap, 2000 draws"."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measured number with all that is needed to believe it.

    Args:
        name: the metric ("mrr@10", "bits per byte").
        value: the point estimate, in `unit`.
        n: how many items it is an average over.
        cluster_unit: what the interval resamples ("item", "module", "document").
        n_clusters: how many of those there are.
        interval: its uncertainty.
        items: the part of the scores artifact that holds the per-item results.
        data, model, settings: digests of what was measured with what. `model` says "none" for a method
            without a model.
        contamination: whether test items were looked for in the training data; `contamination_note` says how.
        seed: of the resampling, None where nothing is drawn.
        failed: how many items more there are that have no result and are left out, such as questions that an endpoint
            did not answer.

    Raises:
        InputError: a field is missing, not finite, or out of its range; the value is outside of its interval.
    """

    name: str
    value: float
    unit: str
    direction: Direction
    n: int
    cluster_unit: str
    n_clusters: int
    interval: Interval
    items: str
    data: str
    model: str
    settings: str
    contamination: Contamination
    contamination_note: str = ""
    seed: int | None = None
    failed: int = 0

    def __post_init__(self) -> None:
        faults = [
            f for f in ("name", "unit", "cluster_unit", "items", "data", "model", "settings") if not getattr(self, f)
        ]
        if faults:
            raise InputError(f"a Score must state {', '.join(faults)}", "see core/score.py for what each field means")
        if not all(math.isfinite(x) for x in (self.value, self.interval.low, self.interval.high)):
            raise InputError(
                f"score {self.name!r} is not finite: {self.value} in [{self.interval.low}, {self.interval.high}]"
            )
        if self.interval.low > self.interval.high:
            raise InputError(
                f"score {self.name!r}: interval [{self.interval.low}, {self.interval.high}] is upside down"
            )
        near = ROUNDING * max(abs(self.interval.low), abs(self.interval.high))
        if not self.interval.low - near <= self.value <= self.interval.high + near:
            raise InputError(
                f"score {self.name!r}: {self.value} is outside of its own interval "
                f"[{self.interval.low}, {self.interval.high}]"
            )
        if not 0 < self.interval.level < 1 or not self.interval.method:
            raise InputError(f"score {self.name!r}: an interval needs a level in (0, 1) and a method")
        if self.n < 1 or self.n_clusters < 1:
            raise InputError(f"score {self.name!r} is over no items")
        if self.failed < 0:
            raise InputError(f"score {self.name!r}: {self.failed} items failed")
        if self.direction not in ("higher is better", "lower is better"):
            raise InputError(f"score {self.name!r}: direction {self.direction!r} is not known")
        if self.contamination not in ("checked", "clean subset given", "unknown"):
            raise InputError(f"score {self.name!r}: contamination is 'checked', 'clean subset given' or 'unknown'")

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.interval.low:.4g}, {self.interval.high:.4g}]"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Score:
        return cls(**{**data, "interval": Interval(**data["interval"])})


@dataclass(frozen=True)
class Scores(Artifact):
    """Scores and their per-item results: `scores.json`, and a dataset-like part of Parquet shards, `items`."""

    kind: ClassVar[str] = "scores"

    @property
    def scores(self) -> list[Score]:
        return [Score.from_json(s) for s in self.read_json("scores.json")]

    def score(self, name: str = "") -> Score:
        """The score of that name, or the first."""
        found = [s for s in self.scores if not name or s.name == name]
        if not found:
            raise InputError(f"no score {name!r} in {self.path}", "it has: " + ", ".join(s.name for s in self.scores))
        return found[0]

    def items(self) -> pa.Table:
        """Per-item results, one row per scored row: `row_id`, `cluster`, one column per score, and more."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path / "items")


def write_scores(out: Path, scores: list[Score], items: pa.Table, extra: dict[str, Any] | None = None) -> None:
    """Write a `scores` artifact: the scores, the items that they were computed from, and free JSON beside them."""
    import pyarrow.parquet as pq

    if not scores:
        raise InputError("a scores artifact needs at least one score")
    (out / "items").mkdir(parents=True)
    pq.write_table(items, out / "items" / "00000.parquet", compression="zstd")
    write_json(out / "scores.json", [s.to_json() for s in scores])
    if extra is not None:
        write_json(out / "extra.json", extra)


@dataclass(frozen=True)
class Verdict(Artifact):
    """What a gate decided: `verdict.json` with decision, reason and numbers."""

    kind: ClassVar[str] = "verdict"

    @property
    def ruling(self) -> Ruling:
        return Ruling(**self.read_json("verdict.json"))


@dataclass(frozen=True)
class Ruling:
    """A gate's decision.

    Args:
        decision: "pass", "refuse", "undecided" (the data cannot tell), or "first" (nothing to compare with).
        reason: one sentence with the numbers, for people.
        alpha: the error rate at which "pass" was decided.
        numbers: difference, interval, margin, p-value, n...
        subject: digest of the model that was judged ("" where there is none).
    """

    decision: Decision
    reason: str
    alpha: float
    numbers: dict[str, float] = field(default_factory=dict)
    subject: str = ""

    @property
    def passed(self) -> bool:
        return self.decision in ("pass", "first")


def write_verdict(out: Path, ruling: Ruling) -> None:
    write_json(out / "verdict.json", asdict(ruling))


def write_json(path: Path, value: Any) -> None:
    """JSON as every step writes it: sorted, indented, one newline at the end, NaN refused."""
    path.write_text(
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
