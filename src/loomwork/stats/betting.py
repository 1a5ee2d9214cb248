"""Evidence by betting: e-values for the mean of bounded numbers, valid for any n, at any look, however rare a change.

A gambler stakes a share of their wealth on each number being above a threshold. If the true mean is at most the
threshold the bets are fair or worse, so wealth reaches 1 / alpha with probability at most alpha, whenever one looks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.stats.cluster import ClusterMean, Floats

# Shares of the largest stake that cannot go broke, and how the first coin is spread over them. The whole stake is what
# wins where nothing is ever lost; the small ones are for differences that are small by their spread.
_EVEN, _SMALL = np.linspace(0.05, 0.95, 19), 0.05 * 0.5 ** np.arange(1, 9)
STAKES: Floats = np.concatenate([[1.0], _EVEN, _SMALL])
WEIGHTS: Floats = np.concatenate([[0.2], np.full(19, 0.5 / 19), np.full(8, 0.3 / 8)])


def log_wealth(values: npt.ArrayLike, threshold: float, lowest: float) -> Floats:
    """The log of the gambler's wealth after each value, against "the mean is `threshold` or less".

    Args:
        values: in the order in which they come; none below `lowest`.  # (n,)
        threshold: above `lowest`.
        lowest: that a value can be.

    Returns: e-values' logs; at least log(1 / alpha) ever is evidence at alpha.  # (n,)

    Raises:
        InputError: a value is below `lowest` or not a number, or the threshold is not above it.

    Source: Waudby-Smith and Ramdas (2024), JRSS B 86(1), with a mixture of constant stakes (Robbins).
    """
    x = _checked(values, threshold, lowest)
    growth = np.log1p(np.outer((x - threshold) / (threshold - lowest), STAKES * (1 - 1e-12)))  # (n, stakes)
    return _mix(np.cumsum(growth, axis=0))


def log_wealth_of_clusters(mean: ClusterMean, threshold: float, lowest: float) -> float:
    """The same for all clusters of a (weighted) mean at once; their order does not matter.

    The stake is limited by the largest cluster, so unequal clusters count for fewer than they are.
    """
    if threshold <= lowest:
        return np.inf
    excess = (mean.sums - threshold * mean.weights) / ((threshold - lowest) * mean.weights.max())  # (clusters,)
    # A little above -1 at worst, and rounding must not take it below.
    growth = np.log1p(np.outer(np.maximum(excess, -1.0), STAKES * (1 - 1e-12)))
    return float(_mix(growth.sum(axis=0)))


def rare_p(mean: ClusterMean, threshold: float, lowest: float) -> float:
    """The p-value of "the mean is `threshold` or less": one over the wealth."""
    return float(np.exp(-max(0.0, log_wealth_of_clusters(mean, threshold, lowest))))


def rare_lower(mean: ClusterMean, lowest: float, tail: float) -> float:
    """The lower bound of the mean, wrong in at most `tail` of all samples: where `rare_p` reaches `tail`."""
    return _edge(lambda threshold: rare_p(mean, threshold, lowest) <= tail, lowest, mean.value)


def _edge(rejected: Callable[[float], bool], low: float, high: float) -> float:
    scale = max(high - low, 1e-300)
    while high - low > 1e-7 * scale:
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def _mix(logs: Floats) -> Floats:
    """log of the weighted sum over stakes, the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(logs - top) @ WEIGHTS) + top[..., 0])


def _checked(values: npt.ArrayLike, threshold: float, lowest: float) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if not threshold > lowest:
        raise InputError(f"the threshold {threshold} is not above the lowest value {lowest}: nothing could be lost")
    if x.ndim != 1 or not np.isfinite(x).all() or (x.size and x.min() < lowest - 1e-9):
        raise InputError(f"values must be numbers of at least {lowest}")
    return x
