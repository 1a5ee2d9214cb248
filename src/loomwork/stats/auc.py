"""The area under the ROC curve with its interval, also where each fold has a classifier of its own."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.interval import clopper_pearson

Fold = tuple[np.ndarray, np.ndarray]  # scores float (n,), is-positive bool (n,)


def auc_interval(folds: Sequence[Fold], level: float = 0.95, *, cross_fitted: bool = False) -> tuple[float, Interval]:
    """How often a positive item scores above a negative one, ties counted half: the mean over the folds.

    Scores are compared within a fold only, because each fold's classifier has its own scale. The variance is DeLong's
    in each fold, the interval is made on the logit scale. Where every pair is ordered rightly (or wrongly) that
    variance is zero, and the bound is Clopper and Pearson's for as many trials as the rarer side has items.

    Args:
        folds: held-out scores and labels of each fold; one fold for a plain AUC.
        level: of the interval, e.g. 0.95.
        cross_fitted: each fold's classifier was trained on the other folds. Then the folds' values are not independent:
            where there is nothing to learn, what a classifier makes of fold i by fold j is what one makes of fold j by
            fold i, so every pair of folds counts twice. The variance is doubled, which is right there (tests/stats/
            test_two_sample.py) and more than needed where the difference is plain.

    Returns: the AUC and its interval.

    Raises:
        InputError: a fold has fewer than two items on a side.

    Source: DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3); Sun and Xu (2014), for the ranks; LeDell,
        Petersen and van der Laan (2015), Electronic Journal of Statistics 9(1), for the mean over folds.
    """
    parts = [_delong(np.asarray(s, np.float64), np.asarray(y, bool)) for s, y in folds]
    if not parts:
        raise InputError("an AUC needs at least one fold")
    value = float(np.mean([a for a, _ in parts]))
    variance = float(np.sum([v for _, v in parts])) / len(parts) ** 2 * (2 if cross_fitted else 1)
    how = "DeLong on the logit scale" + (f", mean of {len(parts)} folds" if len(parts) > 1 else "")
    how += ", variance doubled for cross-fitting" if cross_fitted else ""
    if variance <= 0 or not 0 < value < 1:
        rarer = min(sum(int(np.sum(y)) for _, y in folds), sum(int(np.sum(~np.asarray(y, bool))) for _, y in folds))
        found = clopper_pearson(round(value * rarer), rarer, level)
        return value, Interval(min(found.low, value), max(found.high, value), level, "Clopper-Pearson, rarer side")
    half = NormalDist().inv_cdf(0.5 + level / 2) * variance**0.5 / (value * (1 - value))
    middle = np.log(value / (1 - value))
    low, high = (float(1 / (1 + np.exp(-(middle + sign * half)))) for sign in (-1, 1))
    return value, Interval(low, high, level, how)


def _delong(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The AUC of one fold and its variance."""
    from scipy.stats import rankdata

    above, below = scores[positive], scores[~positive]
    m, n = above.size, below.size
    if m < 2 or n < 2:
        raise InputError(f"an AUC with an interval needs two items on each side of a fold; there are {m} and {n}")
    together = rankdata(np.concatenate([above, below]))
    won = (together[:m] - rankdata(above)) / n  # of each positive item: the share of negative ones below it
    lost = 1 - (together[m:] - rankdata(below)) / m
    return float(won.mean()), float(won.var(ddof=1) / m + lost.var(ddof=1) / n)
