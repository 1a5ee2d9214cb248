"""Confidence sequences: intervals of a mean that hold at every time at once, for watching a live service.

A 95 % sequence contains the true mean at all times in 95 % of all runs, so one may look after each item and stop when
one likes. A fixed-n interval that is looked at often enough is wrong in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.stats.cluster import Floats

GRID = 500  # places of the mean that betting looks at
CHUNK_CELLS = 1 << 19
BOLD = 0.5  # the largest share of the wealth that one value can take


@dataclass(frozen=True)
class Sequence:
    """Lower and upper bounds after each item, never widening.  # (n,), (n,)"""

    low: Floats
    high: Floats
    level: float
    method: str


def betting_sequence(
    values: npt.ArrayLike, *, within: tuple[float, float] = (0.0, 1.0), level: float = 0.95
) -> Sequence:
    """The tightest here, for values in a known range: the means against which bets have not yet won.

    Args:
        values: in the order in which they came; each has the same mean given those before it.  # (n,)
        within: their range.
        level: e.g. 0.95.

    Source: Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B 86(1),
        appendix B.3 (approximate GRAPA stakes, at most half of what could be lost). The mean is looked for on a grid
        of 500 places; the bounds are moved out to the next place.
    """
    x = _scaled(values, within)
    before, variance = _mean_before(x), _variance_before(x)  # (n,), (n,)
    places = (np.arange(GRID) + 0.5) / GRID
    alive, wealth = np.ones(GRID, bool), np.zeros(GRID)  # the means that are still possible; log of what bets made
    low, high = np.empty(len(x)), np.empty(len(x))
    step = max(1, CHUNK_CELLS // GRID)
    for start in range(0, len(x), step):
        part = slice(start, min(start + step, len(x)))
        ahead = before[part, None] - places  # (items, places)
        stake = np.clip(ahead / (variance[part, None] + ahead * ahead), -BOLD / (1 - places), BOLD / places)
        grown = wealth + np.cumsum(np.log1p(stake * (x[part, None] - places)), axis=0)
        left = alive & ~np.logical_or.accumulate(grown >= -np.log(1 - level), axis=0)
        # Between two places there may still be means where no place is left: then nothing is narrowed further.
        any_left = left.any(axis=1)
        low[part] = np.where(any_left, (left.argmax(axis=1) - 0.5) / GRID, 0.0)
        high[part] = np.where(any_left, (GRID + 0.5 - left[:, ::-1].argmax(axis=1)) / GRID, 1.0)
        wealth, alive = grown[-1], left[-1]
    return _unscaled(low, high, within, level, "betting confidence sequence")


def bernstein_sequence(
    values: npt.ArrayLike, *, within: tuple[float, float] = (0.0, 1.0), level: float = 0.95
) -> Sequence:
    """For values in a known range, in one pass and constant memory; a little wider than betting.

    Args:
        values: in the order in which they came.  # (n,)
        within: their range.
        level: e.g. 0.95.

    Source: Waudby-Smith and Ramdas (2024), theorem 2 (predictable plug-in empirical Bernstein); Howard, Ramdas,
        McAuliffe and Sekhon (2021), Annals of Statistics 49(2), for the supermartingale.
    """
    x = _scaled(values, within)
    stake = np.minimum(_stakes(x, level), 0.5)
    before = _mean_before(x)
    cost = (-np.log1p(-stake) - stake) * (x - before) ** 2
    total = np.cumsum(stake)
    centre = np.cumsum(stake * x) / total
    half = (np.log(2 / (1 - level)) + np.cumsum(cost)) / total
    return _unscaled(centre - half, centre + half, within, level, "empirical Bernstein confidence sequence")


def asymptotic_sequence(values: npt.ArrayLike, *, level: float = 0.95, tightest_at: int = 500) -> Sequence:
    """For values without a known range; its level is reached in the limit only, and the method says so.

    Args:
        values: in the order in which they came.  # (n,)
        level: e.g. 0.95.
        tightest_at: the number of items at which it is to be tightest; before about 30 items nothing is claimed.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central limit theory and asymptotic
        confidence sequences, Annals of Statistics 52(6), theorem 2.2.
    """
    x = _finite(values)
    if tightest_at < 2:
        raise InputError(f"tightest_at is {tightest_at}; it is a number of items of at least 2")
    alpha = 1 - level
    start = 30
    n = np.arange(1, len(x) + 1)
    mean = np.cumsum(x) / n
    variance = np.maximum(np.cumsum((x - x.mean()) ** 2) / n - (mean - x.mean()) ** 2, 0.0)
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / tightest_at
    half = np.sqrt(variance * 2 * (n * rho2 + 1) / (n * n * rho2) * np.log(np.sqrt(n * rho2 + 1) / alpha))
    half[: start - 1] = np.inf
    low, high = np.maximum.accumulate(mean - half), np.minimum.accumulate(mean + half)
    return Sequence(low, high, level, "asymptotic confidence sequence: its level holds in the limit only")


def _stakes(x: Floats, level: float) -> Floats:
    """How much is bet on each value, from those before it only.  # (n,)"""
    n = np.arange(1, len(x) + 1)
    return np.asarray(np.sqrt(2 * np.log(2 / (1 - level)) / (_variance_before(x) * n * np.log1p(n))))


def _variance_before(x: Floats) -> Floats:
    n = np.arange(1, len(x) + 1)
    deviation = (x - (0.5 + np.cumsum(x)) / (n + 1)) ** 2
    return np.asarray((0.25 + np.concatenate([[0.0], np.cumsum(deviation)[:-1]])) / n)


def _mean_before(x: Floats) -> Floats:
    n = np.arange(1, len(x) + 1)
    return np.asarray((0.5 + np.concatenate([[0.0], np.cumsum(x)[:-1]])) / n)


def _scaled(values: npt.ArrayLike, within: tuple[float, float]) -> Floats:
    x = _finite(values)
    low, high = within
    if not low < high or (x.size and (x.min() < low or x.max() > high)):
        raise InputError(
            f"values lie outside their range {within}", "give the range that the metric can have, e.g. within=(-1, 1)"
        )
    return np.asarray((x - low) / (high - low))


def _finite(values: npt.ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise InputError("a confidence sequence needs a list of finite values")
    return x


def _unscaled(low: Floats, high: Floats, within: tuple[float, float], level: float, method: str) -> Sequence:
    width = within[1] - within[0]
    low, high = np.maximum.accumulate(np.maximum(low, 0.0)), np.minimum.accumulate(np.minimum(high, 1.0))
    return Sequence(within[0] + width * low, within[0] + width * high, level, method)
