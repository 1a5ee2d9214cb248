"""From the items of a task's metrics to Scores with intervals, of all items or of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loomwork.core.errors import InputError
from loomwork.core.score import Direction, Score
from loomwork.evals._mean_score import Provenance, f1_score, mean_score, sums_score
from loomwork.evals._sums import with_sums
from loomwork.evals.tasks.task import Metric
from loomwork.metrics import classification, translation
from loomwork.metrics.aggregation import AGGREGATIONS, brier_of_each
from loomwork.metrics.language import bits_per_byte_of_sums, perplexity_of_sums

Floats = npt.NDArray[np.float64]
ANY = (-np.inf, np.inf)
RANGES = {"brier_score": (0.0, 2.0)}
MEANS = ("mean", "nanmean", "brier_score")
UNITS = {
    "acc": "share of items",
    "acc_norm": "share of items, choices weighed by their length",
    "acc_bytes": "share of items, choices weighed by their bytes",
    "exact_match": "share of items",
    "brier_score": "squared error of the probabilities",
    "f1": "F1 of the class 1",
    "mcc": "Matthews' correlation",
    "bleu": "BLEU",
    "chrf": "chrF",
    "chrf++": "chrF++",
    "ter": "TER",
    "perplexity": "perplexity of a target",
    "word_perplexity": "perplexity of a word",
    "byte_perplexity": "perplexity of a byte",
    "bits_per_byte": "bits per byte",
}


@dataclass(frozen=True)
class Measured:
    """One metric over the items of a task.

    Args:
        name: of its scores.
        values: of each item, NaN where there is none; of a metric of sums what the item alone would score.  # (n,)
        within: the range of the metric; of the task's own function of the items what is known of it.
        sums: of each item the statistics that add up, NaN where there is none, or None for a mean.  # (n, k)
        statistic: the metric of their sums.
        whole: for a metric of neither kind: the task's own function of the items, and the items.
    """

    name: str
    unit: str
    direction: Direction
    values: Floats
    within: tuple[float, float] = (0.0, 1.0)
    sums: Floats | None = None
    statistic: Callable[[Floats], Any] | None = None
    whole: tuple[Callable[[Sequence[Any]], float], list[Any]] | None = None

    def score(
        self,
        chosen: npt.NDArray[np.bool_],
        given: Provenance,
        suffix: str = "",
        failed: npt.NDArray[np.bool_] | None = None,
    ) -> Score:
        """The Score of some of the items.

        Args:
            chosen: which.  # (n,)
            suffix: of its name.
            failed: which of all items have no answer: the score says how many of those chosen.  # (n,)

        Raises:
            InputError: they are too few for an interval.
        """
        made = self._score(chosen, given, self.name + suffix)
        return made if failed is None else replace(made, failed=int((failed & chosen).sum()))

    def _score(self, chosen: npt.NDArray[np.bool_], given: Provenance, name: str) -> Score:
        mask = chosen & ~np.isnan(self.values)
        kept = given.only(mask)
        if kept.units(int(mask.sum())) < 2:
            raise InputError(f"{self.name} has {int(mask.sum())} items: at least two, in two clusters, are needed")
        if self.sums is not None and self.statistic is classification.binary_f1:
            return replace(f1_score(name, self.sums[mask], self.unit, kept), direction=self.direction)
        if self.sums is not None and self.statistic is not None:
            return sums_score(name, self.sums[mask], self.statistic, self.unit, self.direction, kept, self.within)
        if self.whole is not None:
            from loomwork.stats.resampled import function_interval

            function, items = self.whole
            value, interval = function_interval(
                [i for i, k in zip(items, mask.tolist(), strict=True) if k],
                function,
                clusters=kept.clusters,
                level=kept.level,
                seed=kept.seed,
                within=self.within,
            )
            return kept.score(name, value, interval, self.unit, self.direction, int(mask.sum()))
        return mean_score(name, self.values[mask], self.unit, self.direction, kept, self.within)

    def add_to(self, items: pa.Table) -> pa.Table:
        """The items with this metric's columns: none for a metric that single items do not have, so that nothing can
        be compared item by item that was not measured so."""
        if self.whole is not None:
            return items
        items = items.append_column(self.name, pa.array(self.values, from_pandas=True))
        if self.sums is not None and self.statistic is not None:
            items = with_sums(items, self.name, self.sums, self.statistic)
        return items


def measure(metric: Metric, name: str, found: Sequence[Any]) -> Measured:
    """A metric over its items.

    Args:
        metric: as the task has it.
        name: of the scores.
        found: of each document its item (metrics/aggregation.py), or None where there is none.

    Raises:
        InputError: the items are not what the aggregation takes.
    """
    direction: Direction = "higher is better" if metric.higher_is_better else "lower is better"
    unit = UNITS.get(metric.name, metric.name)
    here = np.array([value is not None for value in found])
    some = [value for value in found if value is not None]
    by = metric.aggregation
    if by in MEANS:
        return _mean(metric, name, unit, direction, here, some)
    made = None if callable(by) else _summed(by, some)
    if made is None:
        function: Callable[..., float] = by if callable(by) else AGGREGATIONS[by]
        within = _range_of_function(metric, some)
        return Measured(
            name, unit, direction, _spread(here, np.zeros(len(some))), within, whole=(function, list(found))
        )
    sums, statistic, within = made
    with np.errstate(over="ignore"):  # the perplexity of one long target
        alone = np.asarray(statistic(sums), dtype=np.float64)
    return Measured(name, unit, direction, _spread(here, alone), within, _spread(here, sums), statistic)


def _mean(
    metric: Metric, name: str, unit: str, direction: Direction, here: npt.NDArray[np.bool_], some: list[Any]
) -> Measured:
    values = _numbers(metric, some)
    if metric.aggregation != "nanmean" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"{metric.name} is {values[row]} for document {row}", "aggregate it by nanmean, which leaves such items out"
        )
    within = RANGES.get(metric.name) or RANGES.get(str(metric.aggregation), (0.0, 1.0))
    return Measured(name, unit, direction, _spread(here, values), _widened(within, values))


def _range_of_function(metric: Metric, some: list[Any]) -> tuple[float, float]:
    """Of a median that of its values; of Matthews' correlation its own; of another function 0 to 1 is supposed."""
    if metric.aggregation == "median":
        return _widened((0.0, 1.0), _numbers(metric, some))
    return (-1.0, 1.0) if metric.aggregation == "matthews_corrcoef" else (0.0, 1.0)


def _numbers(metric: Metric, some: list[Any]) -> Floats:
    try:
        if metric.aggregation == "brier_score":
            return brier_of_each(some)
        return np.array([float(v) for v in some])
    except (TypeError, ValueError, IndexError):
        what = f"{metric.name} gives {some[0]!r:.60} for an item, and a {metric.aggregation} is taken of numbers"
        if metric.aggregation == "brier_score":
            what += ", or of pairs of the right class and the probabilities"
        raise InputError(what) from None


def _widened(within: tuple[float, float], values: Floats) -> tuple[float, float]:
    """A range, and the values that lie outside of it."""
    inside = values[np.isfinite(values)]
    return float(inside.min(initial=within[0])), float(inside.max(initial=within[1]))


def _summed(by: str, some: list[Any]) -> tuple[Floats, Callable[[Floats], Any], tuple[float, float]] | None:
    """Statistics of each item, the metric of their sums, and its range; None where there is no such form."""
    if by in ("f1", "matthews_corrcoef"):
        pairs = np.asarray(some, dtype=np.int64)
        if not set(np.unique(pairs)) <= {0, 1}:
            if by == "f1":
                AGGREGATIONS["f1"](some)  # says what is wrong
            return None  # Matthews' correlation of many classes is no function of four sums
        cells = classification.binary_cells(pairs[:, 0], pairs[:, 1])
        return (
            (cells, classification.binary_f1, (0.0, 1.0)) if by == "f1" else (cells, classification.matthews, (-1, 1))
        )
    if by == "perplexity":
        totals = np.asarray(some, dtype=np.float64)
        return np.stack([totals, np.ones(len(totals))], axis=1), perplexity_of_sums, ANY
    if by in ("weighted_perplexity", "bits_per_byte"):
        statistic = perplexity_of_sums if by == "weighted_perplexity" else bits_per_byte_of_sums
        return np.asarray(some, dtype=np.float64), statistic, ANY
    if by in ("bleu", "chrf", "chrf++", "ter"):
        references = [[r] if isinstance(r, str) else list(r) for r, _ in some]
        if len({len(r) for r in references}) != 1:
            return None
        word_order = 2 if by == "chrf++" else 0
        kind: Any = by.rstrip("+")
        tool = translation.make_metric(kind, word_order=word_order)
        streams = [list(stream) for stream in zip(*references, strict=True)]
        sums = translation.segment_statistics(tool, [said for _, said in some], streams)
        statistic = translation.metric_of(kind)
        most = (
            max(100.0, float(statistic(sums).max())) if kind == "ter" else 100.0
        )  # TER is not above its worst segment
        return sums, statistic, (0.0, most)
    return None


def _spread(here: npt.NDArray[np.bool_], values: Floats) -> Floats:
    """Values, or sums, of the items that are there at their places; NaN elsewhere."""
    empty = np.full((len(here), *values.shape[1:]), np.nan)
    empty[here] = values
    return empty
