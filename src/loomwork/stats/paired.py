"""Paired comparison of two systems on the same items: difference, interval, and decisions with a margin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.stats.bootstrap import DRAWS, bootstrap_draws, bounds, lower_multiple, one_sided_p
from loomwork.stats.cluster import ClusterMean, Floats, cluster_mean

POWER = 0.8
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
    """

    difference: float
    low: float
    high: float
    standard_error: float
    minimum_detectable_effect: float
    n: int
    n_clusters: int


@dataclass(frozen=True)
class Decision:
    """What a one-sided test against a margin says; `p_value` is of "the candidate fails the margin"."""

    outcome: Outcome
    p_value: float
    margin: float  # in the metric's unit


def paired_difference(
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    clusters: Any = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> Paired:
    """The mean difference of paired items with bounds by the studentised cluster bootstrap.

    Args:
        candidate, baseline: values of the same items in the same order, higher is better.  # (n,)
        weights: positive weights, or None.  # (n,)
        clusters: a label for each item, or None.  # (n,)
        alpha: error rate of each bound.
        seed: of the resampling.
    """
    gain = np.asarray(candidate, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    mean = cluster_mean(gain, weights, clusters)
    _, t_values = bootstrap_draws(mean, draws=DRAWS, seed=seed)
    low, high = bounds(mean, t_values, alpha)
    smallest = detectable_effect(mean, t_values, alpha)
    return Paired(mean.value, low, high, mean.standard_error, smallest, mean.n, mean.n_clusters)


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
        options: weights, clusters, alpha and seed, as in `paired_difference`; `same_system` where candidate and
            baseline are one system, whose equal scores need no proof.
    """
    return _decide(candidate, baseline, margin, sign=1, **options)


def _unseen_loss_p(mean: ClusterMean, base: Floats) -> float:
    """The p-value of "it fails the margin" where every item has the same difference, so that there is no spread.

    A system that loses rarely may lose nowhere in a small sample. The largest loss of an item is taken to be the
    baseline's largest value; were clusters lost so often that the mean fell to the margin, none of these would show it
    with this probability.
    """
    largest = float(np.abs(base).max())
    rate = min(1.0, mean.value / largest) if largest else 1.0
    return float((1 - rate) ** mean.n_clusters)


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
    base = np.asarray(baseline, dtype=np.float64)
    gain = np.asarray(candidate, dtype=np.float64) - base
    size = margin.value
    if margin.relative:
        level = cluster_mean(base, weights, clusters).value
        size *= abs(level)
        gain = gain - sign * margin.value * (np.sign(level) * base)
    else:
        gain = gain - sign * margin.value
    mean = cluster_mean(gain, weights, clusters)
    steady = cluster_mean(np.asarray(candidate, dtype=np.float64) - base, weights, clusters).standard_error == 0
    if steady and (mean.value > 0 or (mean.value == 0 and sign < 0)):
        p_value = 0.0 if same_system else _unseen_loss_p(mean, base)
        return Decision("pass" if p_value <= alpha else "undecided", p_value, size)
    _, t_values = bootstrap_draws(mean, draws=DRAWS, seed=seed)
    p_value = one_sided_p(mean, t_values, 0.0)
    bound = mean.value - lower_multiple(mean, t_values, alpha) * mean.standard_error
    if bound > 0:
        return Decision("pass", p_value, size)
    return Decision("undecided" if mean.value > 0 else "refuse", p_value, size)
