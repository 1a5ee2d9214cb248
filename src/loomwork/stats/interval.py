"""Intervals with a closed form: proportions and the mean of independent items; and the right one for a metric."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.bootstrap import bootstrap_interval
from loomwork.stats.cluster import cluster_mean

SMALL = 40  # below this many trials Wilson's coverage dips under its level near 0 and 1


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion.

    Source: Wilson (1927), JASA 22(158); recommended by Brown, Cai and DasGupta (2001).
    """
    _check_proportion(successes, trials)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p, shrink = successes / trials, 1 + z * z / trials
    middle = (p + z * z / (2 * trials)) / shrink
    half = z / shrink * (p * (1 - p) / trials + z * z / (4 * trials**2)) ** 0.5
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(low, high, level, "Wilson score")


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion: never covers less than its level.

    Source: Clopper and Pearson (1934), Biometrika 26(4).
    """
    from scipy.special import betaincinv

    _check_proportion(successes, trials)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return Interval(low, high, level, "Clopper-Pearson")


def t_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval of the mean of independent, not too skewed values.  # (n,)"""
    from scipy.special import stdtrit

    mean = cluster_mean(values)
    half = float(stdtrit(mean.n - 1, 0.5 + level / 2)) * mean.standard_error
    return Interval(mean.value - half, mean.value + half, level, "Student's t")


def mean_interval(
    values: npt.ArrayLike,
    *,
    clusters: Any = None,
    level: float = 0.95,
    seed: int = 0,
    within: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The interval of a mean of values with a known range, by the method that fits them.

    Right-or-wrong items that are independent: Clopper-Pearson below 40 items, Wilson from there. All else: the
    studentised bootstrap, over clusters where there are any. Where all values sit on one end of the range the
    bootstrap sees no spread, so Clopper-Pearson over the clusters takes its place.

    Args:
        values: one number an item, within `within`.  # (n,)
        clusters: a label for each item, or None for independent items.  # (n,)
        level: e.g. 0.95.
        seed: of the bootstrap.
        within: the range of the metric.
    """
    x = np.asarray(values, dtype=np.float64)
    low, high = within
    scaled = (x - low) / (high - low)
    if len(x) and np.isin(scaled, (0.0, 1.0)).all():
        one_sided = scaled.min() == scaled.max()
        if clusters is None or one_sided:
            trials = len(x) if clusters is None else len(np.unique(np.asarray(clusters)))
            successes = int(scaled.sum()) if clusters is None else int(scaled[0]) * trials
            found = (clopper_pearson if trials < SMALL or one_sided else wilson)(successes, trials, level)
            width = high - low
            return Interval(low + width * found.low, low + width * found.high, level, found.method)
    return bootstrap_interval(x, clusters=clusters, level=level, seed=seed, within=within)


def _check_proportion(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise InputError(f"{successes} of {trials} is no proportion")
