"""Paired comparison of two systems on the same items: difference, interval, and decisions with a margin.

One of three methods, chosen by the data and never by the margin, so that a bound and a decision always agree:
- right-or-wrong items, independent: the exact test of paired proportions (stats/paired_binary.py);
- fewer than 10 items or clusters that differ, and these not most of all: betting (stats/betting.py), since what is rare
  may not have been seen, and no resampling of what was seen shows it;
- all else: the studentised bootstrap over items or clusters.
design/004-statistics.md has the error rates of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.stats.betting import rare_lower, rare_p
from loomwork.stats.bootstrap import DRAWS, bootstrap_draws, bounds, lower_multiple, one_sided_p
from loomwork.stats.cluster import ClusterMean, Floats, cluster_mean
from loomwork.stats.paired_binary import difference_bounds, difference_p, is_exact
from loomwork.stats.power import POWER, detectable

RARE = 10  # with fewer items or clusters that differ, the bootstrap's error rates do not hold,
OFTEN = 0.8  # unless these are most of all
BASELINE_SHARE = 0.1  # of alpha, for where the baseline of a relative margin lies
Outcome = Literal["pass", "refuse", "undecided"]


@dataclass(frozen=True)
class Margin:
    """How much worse, or better, a candidate may or must be: absolute, or relative to the baseline."""

    value: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str | float) -> Margin:
        """`0.01` is absolute, `"1%"` is relative to the baseline.

        Raises:
            InputError: it is neither, or negative.
        """
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(%?)\s*", str(text))
        if isinstance(text, bool) or not found:
            raise InputError(f"{text!r} is no margin", "write 0.01 (absolute) or 1% (of the baseline)")
        relative = found[2] == "%"
        return cls(float(found[1]) / (100 if relative else 1), relative)

    def __str__(self) -> str:
        return f"{100 * self.value:g}%" if self.relative else f"{self.value:g}"


@dataclass(frozen=True)
class Paired:
    """A paired difference, candidate minus baseline, positive where the candidate is better.

    Args:
        difference: of the two means.
        low, high: each bound is wrong in `alpha` of all samples, so together they are a 1 - 2 alpha interval.
        standard_error: cluster-robust.
        minimum_detectable_effect: the true difference from the threshold that a one-sided test at alpha finds with
            80 % probability.
        n, n_clusters: items, and clusters of them.
        method: of the bounds, and why, in words.
    """

    difference: float
    low: float
    high: float
    standard_error: float
    minimum_detectable_effect: float
    n: int
    n_clusters: int
    method: str


@dataclass(frozen=True)
class Decision:
    """What a one-sided test against a margin says; `p_value` is of "the candidate fails the margin"."""

    outcome: Outcome
    p_value: float
    margin: float  # in the metric's unit
    method: str


def paired_difference(
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    clusters: Any = None,
    alpha: float = 0.05,
    seed: int = 0,
    same_system: bool = False,
) -> Paired:
    """The mean difference of paired items, with bounds.

    Args:
        candidate, baseline: values of the same items in the same order, higher is better.  # (n,)
        weights: positive weights, or None.  # (n,)
        clusters: a label for each item, or None.  # (n,)
        alpha: error rate of each bound.
        seed: of the resampling.
        same_system: candidate and baseline are one system, whose equal scores need no proof.
    """
    new, base = _values(candidate), _values(baseline)
    mean = cluster_mean(new - base, weights, clusters)
    sizes = (mean.n, mean.n_clusters)
    if same_system and not (new - base).any():
        return Paired(0.0, 0.0, 0.0, 0.0, 0.0, *sizes, "none needed: one system with itself")
    counts = _wins_and_losses(new, base, weights, clusters)
    if counts:
        low, high = difference_bounds(*counts, alpha)
        return Paired(mean.value, low, high, mean.standard_error, _unseen(mean, alpha), *sizes, _binary_method(*counts))
    if _is_rare(mean):
        bottom, top = _lowest(new, base), float(max(new.max(), base.max()))
        turned = cluster_mean(base - new, weights, clusters)
        low, high = rare_lower(mean, bottom - float(base.max()), alpha), -rare_lower(turned, bottom - top, alpha)
        smallest = max(_unseen(mean, alpha, top - bottom), mean.value - low)
        return Paired(mean.value, low, high, mean.standard_error, smallest, *sizes, _rare_method(mean))
    _, t_values = bootstrap_draws(mean, draws=DRAWS, seed=seed)
    low, high = bounds(mean, t_values, alpha)
    smallest = detectable_effect(mean, t_values, alpha)
    return Paired(mean.value, low, high, mean.standard_error, smallest, *sizes, _bootstrap_method(clusters))


def detectable_effect(mean: ClusterMean, t_values: Floats, alpha: float, power: float = POWER) -> float:
    """The smallest true effect that a one-sided test at `alpha` finds with probability `power`.

    Source: Bloom (1995), Evaluation Review 19(5): standard error times the two quantiles' sum.
    """
    from scipy.special import stdtrit

    reach = lower_multiple(mean, t_values, alpha) + float(stdtrit(mean.degrees_of_freedom, power))
    return reach * mean.standard_error


def not_worse_than(candidate: npt.ArrayLike, baseline: npt.ArrayLike, margin: Margin, **options: Any) -> Decision:
    """Non-inferiority: is the candidate at most `margin` below the baseline? Options as `better_than`."""
    return _decide(candidate, baseline, margin, sign=-1, **options)


def better_than(candidate: npt.ArrayLike, baseline: npt.ArrayLike, margin: Margin, **options: Any) -> Decision:
    """Superiority: is the candidate more than `margin` above the baseline?

    Args:
        candidate, baseline: values of the same items in the same order, higher is better.  # (n,)
        margin: a relative one is tested against the baseline's own items, so its noise counts.
        options: weights, clusters, alpha, seed and `same_system`, as in `paired_difference`.
    """
    return _decide(candidate, baseline, margin, sign=1, **options)


def _decide(
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    margin: Margin,
    *,
    sign: int,
    weights: npt.ArrayLike | None = None,
    clusters: Any = None,
    alpha: float = 0.05,
    seed: int = 0,
    same_system: bool = False,
) -> Decision:
    """One-sided test of mean(candidate - baseline) > sign * margin.

    pass: the lower 1 - alpha bound lies above the threshold, which happens to a candidate at or beyond it in at most
    alpha of all samples. refuse: the estimate itself lies at or below the threshold. undecided: the estimate is above
    it and the bound is not.
    """
    new, base = _values(candidate), _values(baseline)
    level = cluster_mean(base, weights, clusters).value if margin.relative else 0.0
    size = margin.value * abs(level) if margin.relative else margin.value
    estimate = cluster_mean(new - base, weights, clusters).value - sign * size
    if same_system and not (new - base).any():
        return Decision("pass" if estimate > 0 or sign < 0 else "refuse", 0.0, size, "none needed: one system")
    counts = _wins_and_losses(new, base, weights, clusters)
    if counts:
        p_value, method = _binary_p(counts, base, margin, sign, alpha), _binary_method(*counts)
    else:
        # A relative margin moves with the baseline's own items, so that their noise counts.
        scale = sign * margin.value * np.sign(level) if margin.relative else 0.0
        mean = cluster_mean(new - base - scale * base, weights, clusters)
        threshold = 0.0 if margin.relative else sign * margin.value
        plain = cluster_mean(new - base, weights, clusters)
        if _is_rare(plain):
            lowest = _lowest(new, base) - float(((1 + scale) * base).max())
            p_value, method = rare_p(mean, threshold, lowest), _rare_method(plain)
        else:
            _, t_values = bootstrap_draws(mean, draws=DRAWS, seed=seed)
            p_value, method = one_sided_p(mean, t_values, threshold), _bootstrap_method(clusters)
    if estimate <= 0:
        return Decision("refuse", p_value, size, method)
    return Decision("pass" if p_value <= alpha else "undecided", p_value, size, method)


def _values(values: npt.ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise InputError("a comparison needs finite values", "set aside the items that failed first")
    return found


def _wins_and_losses(new: Floats, base: Floats, weights: Any, clusters: Any) -> tuple[int, int, int] | None:
    """Wins, losses and items where all are independent and either right (1) or wrong (0)."""
    plain = weights is None or np.ptp(np.asarray(weights, np.float64)) == 0
    if clusters is not None:
        plain = plain and len(np.unique(np.asarray(clusters))) == len(base)
    if not plain or new.shape != base.shape or len(base) < 2:
        return None
    # Errors, where lower is better, come as 0 and -1.
    both = np.concatenate([new, base])
    if not (np.isin(both, (0.0, 1.0)).all() or np.isin(both, (0.0, -1.0)).all()):
        return None
    return int((new > base).sum()), int((new < base).sum()), len(base)


def _binary_p(counts: tuple[int, int, int], base: Floats, margin: Margin, sign: int, alpha: float) -> float:
    if not margin.relative:
        return difference_p(*counts, sign * margin.value)
    # The margin is taken at the stricter end of where the baseline's true value may lie, which costs part of alpha.
    from scipy.special import betaincinv

    n, right = len(base), int(np.abs(base).sum())
    share = BASELINE_SHARE * alpha
    if sign < 0:
        level = 0.0 if right == 0 else float(betaincinv(right, n - right + 1, share))
    else:
        level = 1.0 if right == n else float(betaincinv(right + 1, n - right, 1 - share))
    return min(1.0, difference_p(*counts, sign * margin.value * level) + share)


def _is_rare(mean: ClusterMean) -> bool:
    return _differing(mean) < min(RARE, OFTEN * mean.n_clusters)


def _differing(mean: ClusterMean) -> int:
    """Items or clusters in which the two systems differ."""
    return int(np.count_nonzero(mean.sums))


def _lowest(new: Floats, base: Floats) -> float:
    """The lowest value that a metric can take: 0, or where values are negative the lowest that was seen."""
    return min(0.0, float(new.min()), float(base.min()))


def _unseen(mean: ClusterMean, alpha: float, largest: float = 1.0) -> float:
    """The minimum detectable effect with one more change than was seen: no spread seen is not no spread."""
    added = largest * float(mean.weights.max() / mean.weights.sum())
    return detectable(float(np.hypot(mean.standard_error, added)), alpha=alpha)


def _binary_method(wins: int, losses: int, n: int) -> str:
    kind = "exact test of paired proportions" if is_exact(wins, losses, n) else "Tango's score test"
    return f"{kind}: {wins + losses} of {n} right-or-wrong items differ"


def _rare_method(mean: ClusterMean) -> str:
    unit = "items" if mean.n == mean.n_clusters else "clusters"
    return f"betting: only {_differing(mean)} of {mean.n_clusters} {unit} differ"


def _bootstrap_method(clusters: Any) -> str:
    return f"studentised {'item' if clusters is None else 'cluster'} bootstrap, {DRAWS} draws"
