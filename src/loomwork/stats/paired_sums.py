"""Gates on metrics of sums (F1, BLEU): is the candidate's corpus metric not worse, or better, by a margin?

As stats/paired.py, for metrics that are no mean of items. The decision is the paired BCa bootstrap's: its p-value is
the tail at which the lower bound reaches the threshold, so bound and decision agree.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.stats.cluster import Floats
from loomwork.stats.paired import OFTEN, RARE, Decision, Margin, Paired
from loomwork.stats.power import detectable
from loomwork.stats.sums import DRAWS, Cells, Statistic, beside, gather, resample

LOOKED_AT = 48  # units, to see how far one can move the metric
Test = Literal["not worse than", "better than"]


def decide_sums(
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    statistic: Statistic,
    margin: Margin,
    test: Test,
    *,
    clusters: Any = None,
    alpha: float = 0.05,
    draws: int = DRAWS,
    seed: int = 0,
    same_system: bool = False,
) -> tuple[Paired, Decision]:
    """The paired difference of a corpus metric, higher is better, and what it says of a margin.

    Args:
        candidate, baseline: sufficient statistics of the same items in the same order.  # (n, k) or (n,)
        statistic: the metric of sums; for a metric of which lower is better, its negative.
        margin: a relative one moves with the baseline of each resample, so that its noise counts.
        test: "not worse than" or "better than".
        clusters: a label for each item, or None.  # (n,)
        alpha: the error rate of "pass", and of each bound.
        draws: how many resamples.
        seed: of the resampling.
        same_system: candidate and baseline are one system, whose equal items need no proof.

    Where fewer than 10 items or clusters differ, more may do so unseen: then the p-value is at least the probability of
    seeing so few, were there as many as bring the metric to the threshold (each as far as one item can).

    Raises:
        InputError: the two differ in their items, or the metric is not finite for a resample.
    """
    if test not in ("not worse than", "better than"):
        raise InputError(f"{test!r} is no test", "it is 'not worse than' or 'better than'")
    sign = -1.0 if test == "not worse than" else 1.0
    both, width = beside(candidate, baseline)

    def change(sums: Floats) -> Any:
        return statistic(sums[..., :width]) - statistic(sums[..., width:])

    def beyond(sums: Floats) -> Any:
        return change(sums) - sign * margin.value * np.abs(statistic(sums[..., width:]))

    plain = resample(both, change, clusters=clusters, draws=draws, seed=seed)
    base = float(statistic(plain.total[width:]))
    size = margin.value * abs(base) if margin.relative else margin.value
    tested = resample(both, beyond, clusters=clusters, draws=draws, seed=seed) if margin.relative else plain
    threshold = sign * size
    p_value = tested.p_below(0.0 if margin.relative else threshold)
    low, high = plain.bound(alpha), plain.bound(1 - alpha)
    unit = "item" if clusters is None else "cluster"
    method = f"paired BCa {unit} bootstrap of sums, {draws} draws"
    differing = gather(both[:, :width] - both[:, width:], clusters)
    changed = int(differing.counts[differing.rows.any(axis=1)].sum())
    if changed < min(RARE, OFTEN * plain.units) and not (same_system and changed == 0):
        from scipy.special import bdtr, betaincinv

        each = _of_one_unit(gather(both[:, width:], clusters), statistic)
        needed = max(0.0, plain.value - threshold) / each  # unseen changes that would bring it there
        p_value = max(p_value, float(bdtr(changed, plain.units, min(1.0, (changed + needed) / plain.units))))
        unseen = plain.units * float(betaincinv(changed + 1, plain.units - changed, 1 - alpha)) - changed
        low, high = min(low, plain.value - unseen * each), max(high, plain.value + unseen * each)
        method += f", and what the only {changed} {unit}s that differ leave unseen"
    effect = max(detectable(plain.standard_error, alpha=alpha), plain.value - low)
    items = len(np.asarray(candidate))
    paired = Paired(plain.value, low, high, plain.standard_error, effect, items, plain.units, method)
    if plain.value - sign * size <= 0:
        return paired, Decision("refuse", p_value, size, method)
    return paired, Decision("pass" if p_value <= alpha else "undecided", p_value, size, method)


def _of_one_unit(cells: Cells, statistic: Statistic) -> float:
    """How far one unit can move the metric: the most that one becoming like another does, or two average shares."""
    few = cells.rows[np.linspace(0, len(cells.rows) - 1, min(LOOKED_AT, len(cells.rows))).astype(int)]
    value = float(statistic(cells.total))
    moved = np.asarray(statistic(cells.total - few[:, None, :] + few))  # (looked at, looked at)
    return max(float(np.abs(moved - value).max()), 2 * max(abs(value), 1e-9) / cells.units)
