"""Bootstrap and randomisation of metrics that are functions of sums: F1 of counts, BLEU of n-gram counts, perplexity.

A resample of items changes such a metric only through the sums of its sufficient statistics, so nothing is scored
again. Items with equal statistics are one cell: how often each cell is drawn is multinomial, which is the plain
bootstrap's distribution exactly (tests/stats/test_sums.py enumerates it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.bootstrap import CHUNK_CELLS, times_drawn
from loomwork.stats.cluster import Floats

DRAWS = 9999  # (draws + 1) * alpha is a whole number for the usual alphas
CELL_COST = 20  # a multinomial cell costs about as much as this many single items
FEW_UNITS = 60  # below this many units the interval is never narrower than the jackknife's t interval
Statistic = Callable[[Floats], Any]  # sums (..., k) -> values (...); defined for the sums of every resample


@dataclass(frozen=True)
class Cells:
    """Units (items, or clusters of them) with equal sufficient statistics, gathered.

    Args:
        rows: the different rows.  # (cells, k)
        counts: units of each.  # (cells,)
        units: of all.
    """

    rows: Floats
    counts: npt.NDArray[np.int64]
    units: int

    @property
    def total(self) -> Floats:
        return np.asarray(self.counts @ self.rows)


def gather(statistics: npt.ArrayLike, clusters: Any = None) -> Cells:
    """Sum the statistics of each cluster, and gather equal rows.

    Args:
        statistics: sufficient statistics of each item, such as hits, found and wanted.  # (n, k) or (n,)
        clusters: a label for each item, or None for independent items.  # (n,)

    Raises:
        InputError: fewer than two units, or numbers that are not finite.
    """
    x = np.asarray(statistics, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not np.isfinite(x).all():
        raise InputError(f"sufficient statistics must be finite numbers in rows, one an item; these are {x.shape}")
    if clusters is not None:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        if len(index) != len(x):
            raise InputError(f"{len(index)} cluster labels for {len(x)} items")
        x = np.stack([np.bincount(index, column) for column in x.T], axis=1)
    if len(x) < 2:
        raise InputError(f"{len(x)} unit gives no interval: at least two are needed")
    rows, counts = np.unique(x, axis=0, return_counts=True)
    return Cells(rows, counts, len(x))


def sums_drawn(cells: Cells, draws: int, generator: np.random.Generator) -> Floats:
    """The sums of resamples of the units, with replacement.  # (draws, k)"""
    found = np.empty((draws, cells.rows.shape[1]))
    few = len(cells.counts) * CELL_COST <= cells.units
    units = cells.rows if few else np.repeat(cells.rows, cells.counts, axis=0)
    step = max(1, CHUNK_CELLS // len(units))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        if few:
            drawn = generator.multinomial(cells.units, cells.counts / cells.units, size=rows).astype(np.float64)
        else:
            drawn = times_drawn(generator, rows, cells.units)
        found[start : start + rows] = drawn @ units
    return found


def statistic_interval(
    statistics: npt.ArrayLike,
    statistic: Statistic,
    *,
    clusters: Any = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, Interval]:
    """A corpus metric and its interval: bias-corrected and accelerated, from sums.

    With fewer than 60 units (items or clusters) BCa is too narrow; then each bound is taken no nearer than that of the
    jackknife's t interval.

    Args:
        statistics: sufficient statistics of each item; they add up.  # (n, k) or (n,)
        statistic: the metric of sums, for many rows of sums at once.
        clusters: a label for each item, or None for independent items.  # (n,)
        level: e.g. 0.95.
        draws: how many resamples.
        seed: of the resampling.
        within: the range of the metric.

    Raises:
        InputError: see `gather`; or the metric is not finite for a resample.

    Source: Efron (1987), Better bootstrap confidence intervals, JASA 82(397).
    """
    found = resample(statistics, statistic, clusters=clusters, draws=draws, seed=seed)
    interval = found.interval(level)
    low, high = max(interval.low, within[0]), min(interval.high, within[1])
    return found.value, Interval(low, high, level, interval.method)


@dataclass(frozen=True)
class Resampled:
    """A metric of sums, its resamples, and the BCa bounds that follow from them.

    Args:
        value: of the sample itself.
        total: the sums of the sample.  # (k,)
        draws: the metric of each resample, sorted.  # (draws,)
        standard_error: by leaving out one unit at a time.
        shift, acceleration: BCa's two corrections.
        units: items, or clusters of them.
        method: in words.
    """

    value: float
    total: Floats
    draws: Floats
    standard_error: float
    shift: float
    acceleration: float
    units: int
    method: str

    def bound(self, tail: float) -> float:
        """Below the value where `tail` is small, above it where it is near 1: wrong in min(tail, 1 - tail)."""
        if self.draws[0] == self.draws[-1]:
            return self.value
        z = self.shift + _NORMAL.inv_cdf(tail)
        place = _NORMAL.cdf(self.shift + z / max(1 - self.acceleration * z, 1e-6))
        place *= len(self.draws) - 1
        at = min(int(place), len(self.draws) - 2)
        found = float(self.draws[at] + (place - at) * (self.draws[at + 1] - self.draws[at]))
        outermost = min if tail < 0.5 else max
        found = outermost(found, self.value)
        if self.units < FEW_UNITS:
            from scipy.special import stdtrit

            found = outermost(found, self.value + float(stdtrit(self.units - 1, tail)) * self.standard_error)
        return found

    def p_below(self, threshold: float) -> float:
        """The p-value of "the true metric is `threshold` or less": the tail whose bound it is."""
        low, high = 1 / (len(self.draws) + 1), 0.5
        if self.bound(low) > threshold:
            return low
        if self.bound(high) <= threshold:
            return 1 - self.p_above(threshold)
        while high - low > 1e-5:
            middle = (low + high) / 2
            low, high = (low, middle) if self.bound(middle) > threshold else (middle, high)
        return high

    def p_above(self, threshold: float) -> float:
        """The same of "it is `threshold` or more"."""
        low, high = 1 / (len(self.draws) + 1), 0.5
        while high - low > 1e-5:
            middle = (low + high) / 2
            low, high = (low, middle) if self.bound(1 - middle) < threshold else (middle, high)
        return high

    def interval(self, level: float) -> Interval:
        """Two-sided; of no width where no resample differs."""
        return Interval(self.bound((1 - level) / 2), self.bound((1 + level) / 2), level, self.method)


_NORMAL = NormalDist()


def resample(
    statistics: npt.ArrayLike, statistic: Statistic, *, clusters: Any = None, draws: int = DRAWS, seed: int = 0
) -> Resampled:
    """Draw resamples of a metric of sums. Arguments as of `statistic_interval`."""
    cells = gather(statistics, clusters)
    value = float(statistic(cells.total))
    if np.isinf(value):
        raise InputError(
            f"the metric is not finite for these {cells.units} units: it is {value}",
            "a perplexity of long targets overflows: take the accuracy, or one of words or bytes",
        )
    found = _finite(statistic(sums_drawn(cells, draws, np.random.default_rng(seed))))
    below = float((found < value).mean() + (found == value).mean() / 2)
    left = _finite(statistic(cells.total - cells.rows))  # the metric without one unit  # (cells,)
    away = float(cells.counts @ left) / cells.units - left
    squares = float(cells.counts @ away**2)
    error = float(np.sqrt((cells.units - 1) / cells.units * squares))
    method = f"BCa {'item' if clusters is None else 'cluster'} bootstrap of sums, {draws} draws"
    if cells.units < FEW_UNITS:
        method += ", not narrower than the jackknife's t interval"
    return Resampled(
        value,
        cells.total,
        np.sort(found),
        error,
        _NORMAL.inv_cdf(min(max(below, 0.5 / draws), 1 - 0.5 / draws)),
        float(cells.counts @ away**3) / (6 * squares**1.5) if squares > 0 else 0.0,
        cells.units,
        method,
    )


@dataclass(frozen=True)
class PairedSums:
    """How a corpus metric differs between two systems on the same items.

    Args:
        difference: candidate minus baseline.
        p_value: two-sided, of "they are equally good".
        interval: of the difference; None where the method gives none.
        method: which.
    """

    difference: float
    p_value: float
    interval: Interval | None
    method: str


def paired_bootstrap(
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    statistic: Statistic,
    *,
    clusters: Any = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    as_moses: bool = False,
) -> PairedSums:
    """Resample the items of both systems together, and see how often the difference moves as far as it lies from 0.

    Args:
        candidate, baseline: sufficient statistics of the same items in the same order.  # (n, k) or (n,)
        statistic: the metric of sums.
        clusters: a label for each item, or None.  # (n,)
        level: of the interval, which is BCa as in `statistic_interval`.
        draws: how many resamples.
        seed: of the resampling.
        as_moses: compute the p-value of Moses and sacreBLEU, which centres the draws' absolute values. It repeats
            published figures; where both systems are equal it falls below 5 % in about 15 % of samples.

    Source: Koehn (2004), Statistical significance tests for machine translation evaluation; Riezler and Maxwell (2005)
        for the centring of the differences.
    """
    both, width = beside(candidate, baseline)

    def change(sums: Floats) -> Any:
        return statistic(sums[..., :width]) - statistic(sums[..., width:])

    drawn = resample(both, change, clusters=clusters, draws=draws, seed=seed)
    value, interval, found = drawn.value, drawn.interval(level), drawn.draws
    if as_moses:
        beyond = np.abs(found) - np.abs(found).mean() > abs(value)
        p_value = float((beyond.sum() + 1) / (draws + 1))
        return PairedSums(value, p_value, interval, f"paired bootstrap as Moses, {draws} draws")
    return PairedSums(value, _two_sided(found - found.mean(), value), interval, f"paired bootstrap, {draws} draws")


def approximate_randomisation(
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    statistic: Statistic,
    *,
    clusters: Any = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedSums:
    """Swap the two systems' outputs on a random half of the units, and see how often they then differ as much.

    Args:
        candidate, baseline: sufficient statistics of the same items in the same order.  # (n, k) or (n,)
        statistic: the metric of sums.
        clusters: a label for each item, or None; a cluster is swapped as a whole.  # (n,)
        draws: how many random swaps.
        seed: of the swaps.

    Source: Noreen (1989); Riezler and Maxwell (2005), On some pitfalls in automatic evaluation and significance
        testing for MT.
    """
    both, width = beside(candidate, baseline)
    cells = gather(both, clusters)
    total = cells.total
    value = float(statistic(total[:width]) - statistic(total[width:]))
    found = np.empty(draws)
    at = 0
    for moved in _sums_swapped(cells, width, draws, np.random.default_rng(seed)):
        found[at : at + len(moved)] = statistic(total[:width] + moved) - statistic(total[width:] - moved)
        at += len(moved)
    return PairedSums(value, _two_sided(_finite(found), value), None, f"approximate randomisation, {draws} draws")


def _sums_swapped(cells: Cells, width: int, draws: int, generator: np.random.Generator) -> Iterator[Floats]:
    """What random swaps add to the candidate's sums, and take from the baseline's.  # (chunk, k)"""
    gain = cells.rows[:, width:] - cells.rows[:, :width]  # (cells, k)
    few = len(cells.counts) * CELL_COST <= cells.units
    change = gain if few else np.repeat(gain, cells.counts, axis=0)
    step = max(1, CHUNK_CELLS // len(change))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        if few:  # how many of a cell are swapped is binomial
            yield generator.binomial(cells.counts, 0.5, (rows, len(cells.counts))).astype(np.float64) @ change
            continue
        bytes_a_row = -(-cells.units // 8)
        bits = np.unpackbits(generator.integers(0, 256, (rows, bytes_a_row), dtype=np.uint8), axis=1)
        yield bits[:, : cells.units].astype(np.float64) @ change


def _two_sided(moved: Floats, value: float) -> float:
    """How often chance alone moves the difference as far: a draw that equals it counts, in spite of rounding."""
    far = np.count_nonzero(np.abs(moved) >= abs(value) - 1e-12 * max(1.0, abs(value)))
    return float((far + 1) / (len(moved) + 1))


def beside(candidate: npt.ArrayLike, baseline: npt.ArrayLike) -> tuple[Floats, int]:
    """The statistics of both in one row an item, and how many columns each has.  # (n, 2 k)"""
    sides = [np.asarray(side, dtype=np.float64) for side in (candidate, baseline)]
    first, second = (side[:, None] if side.ndim == 1 else side for side in sides)
    if first.shape != second.shape or first.ndim != 2:
        raise InputError(f"two systems need statistics of the same items: {first.shape} and {second.shape}")
    return np.concatenate([first, second], axis=1), first.shape[1]


def _finite(values: Any) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise InputError(
            f"the metric is not finite for {np.count_nonzero(~np.isfinite(found))} of {found.size} resamples",
            "define it for every sum that can be drawn, for example 0 where nothing was found",
        )
    return found
