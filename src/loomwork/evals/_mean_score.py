"""A Score of items, with the interval that fits them: shared by the steps that score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.score import Contamination, Direction, Interval, Score

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from loomwork.stats.correlation import Kind
    from loomwork.stats.sums import Statistic

NO_WEIGHT = 1e-9  # of a text of no bytes, which has a log-probability all the same: its beginning-of-text token


@dataclass(frozen=True)
class Provenance:
    """What every score of one evaluation states alike.

    Args:
        data, model, settings: digests; model is "none" for a method without one.
        cluster_unit: what the interval resamples.
        clusters: a label for each item, or None.
        contamination, note: whether test items were looked for in the training data, and how.
    """

    data: str
    model: str
    settings: str
    cluster_unit: str
    clusters: Sequence[str] | None
    contamination: Contamination
    note: str
    level: float
    seed: int

    def only(self, mask: npt.NDArray[np.bool_]) -> Provenance:
        """The same, of some of the items."""
        if self.clusters is None:
            return self
        return replace(self, clusters=[c for c, kept in zip(self.clusters, mask.tolist(), strict=True) if kept])

    def units(self, items: int) -> int:
        """How many independent draws there are among so many items."""
        return items if self.clusters is None else len(set(self.clusters))

    def score(self, name: str, value: float, interval: Interval, unit: str, direction: Direction, n: int) -> Score:
        """A Score of this evaluation."""
        return Score(
            name=name,
            value=value,
            unit=unit,
            direction=direction,
            n=n,
            cluster_unit=self.cluster_unit,
            n_clusters=self.units(n),
            interval=interval,
            items="items",
            data=self.data,
            model=self.model,
            settings=self.settings,
            contamination=self.contamination,
            contamination_note=self.note,
            seed=self.seed if "bootstrap" in interval.method else None,
        )


def provenance_of(score: Score, clusters: Sequence[str] | None) -> Provenance:
    """What a score states, for another of the same items."""
    return Provenance(
        data=score.data,
        model=score.model,
        settings=score.settings,
        cluster_unit=score.cluster_unit,
        clusters=clusters,
        contamination=score.contamination,
        note=score.contamination_note,
        level=score.interval.level,
        seed=score.seed or 0,
    )


def mean_score(
    name: str,
    values: npt.ArrayLike,
    unit: str,
    direction: Direction,
    given: Provenance,
    within: tuple[float, float] = (0.0, 1.0),
) -> Score:
    """The Score of a mean of values that lie `within`; `name` is also the column of the items that holds them."""
    import numpy as np

    from loomwork.stats.interval import mean_interval

    x = np.asarray(values, dtype=np.float64)
    interval = mean_interval(x, clusters=given.clusters, level=given.level, seed=given.seed, within=within)
    return given.score(name, float(x.mean()), interval, unit, direction, len(x))


def sums_score(
    name: str,
    sums: npt.NDArray[np.float64],
    statistic: Statistic,
    unit: str,
    direction: Direction,
    given: Provenance,
    within: tuple[float, float] = (0.0, 1.0),
    decisions: npt.ArrayLike | None = None,
    of_share: Callable[[float], float] | None = None,
) -> Score:
    """The Score of a metric of summed statistics; the column "NAME:sums" of the items holds those of each item.

    Args:
        sums: sufficient statistics of each item.  # (n, k)
        statistic: the metric of their sums.
        decisions: how many each item has that the metric is of, for where no resample moves it; by default each has
            one. In clusters those that have any count as one each.  # (n,)
        of_share: what the metric is where a share of these is right: see choose_interval.
    """
    import numpy as np

    from loomwork.metrics.language import bits_per_byte_of_sums, perplexity_of_sums
    from loomwork.stats.interval import choose_interval

    if statistic in (perplexity_of_sums, bits_per_byte_of_sums):
        value, interval = _of_likelihoods(sums, statistic, given, exponential=statistic is perplexity_of_sums)
        return given.score(name, value, interval, unit, direction, len(sums))
    found = choose_interval(
        sums,
        statistic,
        clusters=given.clusters,
        level=given.level,
        seed=given.seed,
        within=within,
        trials=None if decisions is None else _trials(np.asarray(decisions), given.clusters),
        of_share=of_share,
    )
    return given.score(name, found.value, found.interval, unit, direction, len(sums))


def f1_score(name: str, cells: npt.NDArray[np.float64], unit: str, given: Provenance) -> Score:
    """The Score of F1 of one class.

    Args:
        cells: each item as hit, false alarm, miss or right "no", which is no part of F1.  # (n, 4)
    """
    from loomwork.metrics.classification import binary_f1, f1_of_share

    decided = cells[:, :3].sum(axis=1)
    return sums_score(name, cells, binary_f1, unit, "higher is better", given, decisions=decided, of_share=f1_of_share)


def _trials(decisions: npt.NDArray[np.float64], clusters: Sequence[str] | None) -> int:
    if clusters is None:
        return int(decisions.sum())
    return len({label for label, count in zip(clusters, decisions.tolist(), strict=True) if count})


def _of_likelihoods(
    sums: npt.NDArray[np.float64], statistic: Statistic, given: Provenance, *, exponential: bool
) -> tuple[float, Interval]:
    """A function of nats per weight, and its interval: it is found in nats, where it is as wide to both sides.

    Args:
        sums: log-probability and weight of each item.  # (n, 2)
        exponential: whether the function is.
    """
    import numpy as np

    from loomwork.stats.bootstrap import ratio_interval

    if not sums[:, 1].sum() > 0:
        raise InputError("the texts have no words or bytes at all", "look at what the task's target is")
    weights = np.maximum(sums[:, 1], NO_WEIGHT)
    nats = ratio_interval(-sums[:, 0], weights, clusters=given.clusters, level=given.level, seed=given.seed)
    with np.errstate(over="ignore"):
        value = float(statistic(sums.sum(axis=0)))
        low, high = statistic(np.array([[-nats.low, 1.0], [-nats.high, 1.0]])).tolist()
    if not np.isfinite(value):
        raise InputError(
            f"the metric is not finite for these {len(sums)} items: it is {value}",
            "a perplexity of long targets overflows: take the accuracy, or one of words or bytes",
        )
    method = f"{nats.method}, exponentiated" if exponential else nats.method
    return value, Interval(low, min(high, float(np.finfo(np.float64).max)), nats.level, method)


def correlation_score(name: str, x: npt.ArrayLike, y: npt.ArrayLike, kind: Kind, given: Provenance) -> Score:
    """The Score of a correlation of two columns of the items."""
    import numpy as np

    from loomwork.stats.correlation import correlation

    value, interval = correlation(x, y, kind, clusters=given.clusters, level=given.level)
    return given.score(name, value, interval, f"{kind.title()}'s correlation", "higher is better", len(np.asarray(x)))


def model_digest(model: Model | None) -> str:
    return model.digest if model else "none"


def texts_of(data: Dataset, column: str) -> list[str]:
    """A text column, in order.

    Raises:
        InputError: a value is missing, not text, or empty.
    """
    values = [v for table in data.tables([column]) for v in table.column(column).to_pylist()]
    for row, value in enumerate(values):
        if not isinstance(value, str) or not value.strip():
            raise InputError(
                f"row {row} of part {data.main_part!r} has no text in column {column!r}: {value!r}",
                "drop such rows before they are scored, e.g. with data.clean",
            )
    return values


def clusters_of(data: Dataset, column: str | None) -> list[str] | None:
    """The cluster label of each row as text, or None where rows are independent.

    Raises:
        InputError: fewer than two clusters, from which no interval can be had.
    """
    if column is None:
        if len(data) < 2:
            raise InputError(
                "one row gives no interval",
                "score at least two; data.read text_unit=paragraph makes more rows of a file",
            )
        return None
    labels = [str(v) for table in data.tables([column]) for v in table.column(column).to_pylist()]
    if len(set(labels)) < 2:
        raise InputError(
            f"column {column!r} makes {len(set(labels))} cluster: at least two are needed for an interval",
            "cluster by something finer, or leave `cluster` out if the rows are independent",
        )
    return labels
