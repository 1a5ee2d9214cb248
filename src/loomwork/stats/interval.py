"""Intervals with a closed form: proportions and the mean of independent items; and the right one for a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.bootstrap import bootstrap_interval
from loomwork.stats.cluster import Floats, cluster_mean
from loomwork.stats.sums import DRAWS, Statistic, statistic_interval

SMALL = 40  # below this many trials Wilson's coverage dips under its level near 0 and 1
RARE_CLUSTERS = 10  # with fewer clusters that hold the rarer outcome, the bootstrap is too narrow
MANY, PER_SKEW = 200, 25  # Student's t from MANY items, and from PER_SKEW times the squared skewness


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


@dataclass(frozen=True)
class Chosen:
    """A metric's value, its interval, and why that method was taken: a sentence for people."""

    value: float
    interval: Interval
    why: str


def choose_interval(
    values: npt.ArrayLike,
    statistic: Statistic | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    clusters: Any = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    within: tuple[float, float] = (0.0, 1.0),
    trials: int | None = None,
    of_share: Callable[[float], float] | None = None,
) -> Chosen:
    """The interval of a metric by the method that fits it, its number of items and how they depend on one another.

    - right-or-wrong items, independent: Clopper-Pearson below 40 items, Wilson from there;
    - right-or-wrong items in clusters, fewer than 10 of which hold the rarer outcome: the wider of the studentised
      cluster bootstrap and of Clopper-Pearson with as many items as would spread as much (Korn and Graubard);
    - graded items, independent, 200 or more and not skewed for their number: Student's t;
    - every other mean, and every ratio of sums: the studentised bootstrap, over clusters where there are any;
    - a metric of sums (F1, BLEU, kappa): the BCa bootstrap of sums;
    - all values at one end of the range: no resampling shows a spread, so Clopper-Pearson for that many trials; and
      where a metric of sums stays what it is in every resample, its bound for no success to both sides, if
      its range has ends.

    Args:
        values: one number an item, within `within`; or with `statistic` the sufficient statistics.  # (n,) or (n, k)
        statistic: the metric of sums, for many rows of sums at once; None for a mean.
        weights: of a mean: positive, or None.  # (n,)
        clusters: a label for each item (its document, say), or None for independent items.  # (n,)
        level: e.g. 0.95.
        draws: how many resamples, for a metric of sums.
        seed: of the resampling.
        within: the range of the metric.
        trials: of a metric of sums that no resample moves: of how many decisions; by default of the items or clusters.
        of_share: of such a metric: what it is, from 0 to 1, where a share of the decisions is right; None: that share.
            It rises with the share, steepest from 0.

    Source: Bowyer, Aitchison and Ivanova (2025), Don't use the CLT in LLM evals with fewer than a few hundred
        datapoints; Korn and Graubard (1998), Survey Methodology 24(2); Miller (2024), Adding error bars to evals;
        Cochran (1977), Sampling Techniques, section 2.15, for skewness.
    """
    low, high = within
    x = np.asarray(values, dtype=np.float64)
    unit = "items" if clusters is None else "clusters"
    if statistic is not None:
        value, found = statistic_interval(
            x, statistic, clusters=clusters, level=level, draws=draws, seed=seed, within=within
        )
        if found.low < found.high or not np.isfinite(high - low):
            return Chosen(value, found, f"a metric of sums over {len(x)} items is bootstrapped through its sums")
        units = max(1, trials if trials is not None else _units(x, clusters))
        why = _END.format(units, unit) if value in within else _STILL.format(units)
        return Chosen(value, unmoved(value, units, level, within, of_share), why)
    mean = cluster_mean(x, weights, clusters)
    scaled = (x - low) / (high - low)
    if scaled.min() == scaled.max() and scaled[0] in (0.0, 1.0):
        return Chosen(mean.value, _at_the_end(x[0], mean.n_clusters, level, within), _END.format(mean.n_clusters, unit))
    equal_weights = weights is None or np.ptp(np.asarray(weights, np.float64)) == 0
    binary = equal_weights and bool(np.isin(scaled, (0.0, 1.0)).all())
    if binary and mean.n == mean.n_clusters:
        small = mean.n < SMALL
        found = (clopper_pearson if small else wilson)(int(scaled.sum()), mean.n, level)
        why = f"{mean.n} independent right-or-wrong items" + (f", fewer than {SMALL}" if small else "")
        return Chosen(mean.value, _stretched(found, within), why)
    if mean.n == mean.n_clusters and equal_weights and mean.n >= MANY:
        skew = float(((x - x.mean()) ** 3).mean() / x.std() ** 3)
        if PER_SKEW * skew * skew <= mean.n:
            found = t_interval(x, level)
            cut = Interval(max(found.low, low), min(found.high, high), level, found.method)
            return Chosen(mean.value, cut, f"{mean.n} independent graded items, of skewness {skew:.2f}")
    found = bootstrap_interval(x, weights=weights, clusters=clusters, level=level, seed=seed, within=within)
    why = f"{mean.n} items" + (f" in {mean.n_clusters} clusters" if unit != "items" else "")
    if binary:
        rare = min(_holding(scaled, clusters, outcome) for outcome in (0.0, 1.0))
        if rare < RARE_CLUSTERS:
            exact = korn_graubard(
                float(scaled.mean()), mean.standard_error / (high - low), mean.n, mean.n_clusters, level
            )
            found = _wider(found, _stretched(exact, within))
            why += f", of which only {rare} hold the rarer outcome"
    return Chosen(mean.value, found, why)


def mean_interval(
    values: npt.ArrayLike,
    *,
    clusters: Any = None,
    level: float = 0.95,
    seed: int = 0,
    within: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The interval of a mean of values with a known range: as `choose_interval`."""
    return choose_interval(values, clusters=clusters, level=level, seed=seed, within=within).interval


def korn_graubard(share: float, standard_error: float, n: int, n_clusters: int, level: float = 0.95) -> Interval:
    """Clopper-Pearson's interval with the number of independent items that would spread as much as the clusters do.

    Args:
        share: the proportion, not 0 or 1.
        standard_error: of it, cluster-robust.
        n, n_clusters: items, and clusters of them.
        level: e.g. 0.95.

    Source: Korn and Graubard (1998), Survey Methodology 24(2): the number is made smaller by the squared ratio of
        the two t quantiles, and is never above n.
    """
    from scipy.special import betaincinv, stdtrit

    tail = (1 - level) / 2
    ratio = float(stdtrit(n - 1, 1 - tail) / stdtrit(n_clusters - 1, 1 - tail))
    effective = min(float(n), share * (1 - share) / standard_error**2 * ratio**2) if standard_error > 0 else float(n)
    effective = max(effective, 1.0)
    right = share * effective
    low = float(betaincinv(right, effective - right + 1, tail))
    high = float(betaincinv(right + 1, effective - right, 1 - tail))
    return Interval(low, high, level, f"Clopper-Pearson, {effective:.0f} effective items (Korn-Graubard)")


_END = "all at one end of the range, so that no resampling shows a spread: {} {} as trials"
_STILL = "no resample moves the metric: as for no success in {} trials, to both sides"


def unmoved(
    value: float,
    trials: int,
    level: float,
    within: tuple[float, float],
    of_share: Callable[[float], float] | None = None,
) -> Interval:
    """Of a metric that no resample moves: at an end of its range as for all trials alike, else to both sides.

    A bound of the share of trials that are right is one of the metric only through `of_share`: F1 of few hits is twice
    their share of the hits, false alarms and misses, and so is the bound of no hit. From a value between the ends no
    share moves such a metric further than it does from 0, where it is steepest.
    """
    low, high = within
    if value in within:
        found = clopper_pearson(trials if value == high else 0, trials, level)
        if of_share is not None:
            found = Interval(of_share(found.low), of_share(found.high), level, found.method)
        return _stretched(found, within)
    share = clopper_pearson(0, trials, level).high
    reach = (high - low) * (share if of_share is None else of_share(share))
    return Interval(max(low, value - reach), min(high, value + reach), level, "Clopper-Pearson")


def _at_the_end(value: float, trials: int, level: float, within: tuple[float, float]) -> Interval:
    low, high = within
    return _stretched(clopper_pearson(trials if value == high else 0, trials, level), (low, high))


def _stretched(found: Interval, within: tuple[float, float]) -> Interval:
    """An interval of a proportion, as one of values between two ends."""
    low, high = within
    return Interval(low + (high - low) * found.low, low + (high - low) * found.high, found.level, found.method)


def _wider(a: Interval, b: Interval) -> Interval:
    method = f"the wider of {a.method} and {b.method}"
    return Interval(min(a.low, b.low), max(a.high, b.high), a.level, method)


def _holding(scaled: Floats, clusters: Any, outcome: float) -> int:
    """How many clusters have an item with this outcome."""
    return len(np.unique(np.asarray(clusters)[scaled == outcome]))


def _units(x: Floats, clusters: Any) -> int:
    return len(x) if clusters is None else len(np.unique(np.asarray(clusters)))


def _check_proportion(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise InputError(f"{successes} of {trials} is no proportion")
