"""Paired right-or-wrong items: exact tests and bounds of the difference of two proportions.

Two systems answer the same items. A win is an item that only the candidate has right, a loss one that only the
baseline has right; the difference of their accuracies is (wins - losses) / n.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from loomwork.core.errors import InputError

Alternative = Literal["two-sided", "greater", "less"]
ORDER_Z = NormalDist().inv_cdf(0.95)  # outcomes are ordered by their 95 % score bound
UNSEEN = 1e-4  # the share of samples whose rate of changes lies outside the range that is searched
RATES = 32  # of changes, at which the p-value is computed
EXACT_ITEMS, EXACT_CHANGES = 2000, 100  # the exact test is used up to either; beyond both the score test holds
TINY = 1e-10  # of probability, left out of sums and added to the p-value


def mcnemar(wins: int, losses: int, alternative: Alternative = "two-sided") -> float:
    """The exact p-value of "a change is as likely a win as a loss", given how many changes there were.

    Args:
        wins: items that only the candidate has right.
        losses: items that only the baseline has right.
        alternative: "greater" where the candidate is thought to be better.

    Source: McNemar (1947), Psychometrika 12(2), in its exact (binomial) form; Dietterich (1998), for classifiers.
    """
    from scipy.special import bdtr

    _check(wins, losses, wins + losses)
    changes = wins + losses
    if changes == 0:
        return 1.0
    if alternative == "two-sided":
        return min(1.0, 2 * float(bdtr(min(wins, losses), changes, 0.5)))
    return float(bdtr(losses if alternative == "greater" else wins, changes, 0.5))


def score_z(wins: Any, losses: Any, n: int, difference: Any) -> Any:
    """How far the difference lies above a hypothesised one, in standard errors that hold under the hypothesis.

    Args:
        wins, losses: numbers or arrays of them.
        n: items.
        difference: the hypothesised one, between -1 and 1.

    Source: Tango (1998), Statistics in Medicine 17(8).
    """
    b, c, d = np.asarray(wins, np.float64), np.asarray(losses, np.float64), np.asarray(difference, np.float64)
    linear = (2 * n - b + c) * d - b - c
    root = np.sqrt(np.maximum(linear * linear + 8 * n * c * d * (1 - d), 0.0))
    lost = (root - linear) / (4 * n)  # the likeliest rate of losses under the hypothesis
    variance = n * np.maximum(2 * lost + d - d * d, 0.0)
    distance = b - c - n * d
    far = np.where(distance > 0, np.inf, np.where(distance < 0, -np.inf, 0.0))
    return np.divide(distance, np.sqrt(variance), out=far, where=variance > 1e-15)


def difference_p(wins: int, losses: int, n: int, difference: float) -> float:
    """The one-sided p-value of "the true difference is `difference` or less".

    Unconditional and exact: the largest probability, over all rates of changes that the data allow, of an outcome with
    at least as high a score bound. With more than 2,000 items and 100 changes Tango's score test, which then holds
    to a fraction of a per cent.

    Source: Buehler (1957), for the ordering by a bound; Berger and Boos (1994), JASA 89(427), for the range of rates;
        Lloyd and Moldovan (2007), Statistics in Medicine 26(28), for both with paired proportions.
    """
    _check(wins, losses, n)
    if difference < -1:
        return 0.0
    if difference >= 1:
        return 1.0
    if not is_exact(wins, losses, n):
        return float(NormalDist().cdf(-float(score_z(wins, losses, n, difference))))
    changes, least, low, high = _outcomes(wins, losses, n)
    low, high = max(low, abs(difference)), max(high, abs(difference))
    rates = np.unique(np.concatenate([np.linspace(low, high, RATES), [low, high]]))
    rates = rates[rates > 0]
    if not rates.size:  # no changes are possible, and none were seen
        return 1.0
    p = _probability(n, changes, least, rates, difference)
    best = int(p.argmax())
    near = np.linspace(rates[max(best - 1, 0)], rates[min(best + 1, len(rates) - 1)], 9)
    worst = max(float(p.max()), float(_probability(n, changes, least, near, difference).max()))
    return min(1.0, worst + UNSEEN)


def difference_bounds(wins: int, losses: int, n: int, tail: float) -> tuple[float, float]:
    """Bounds of the true difference, each of which is wrong in at most `tail` of all samples.

    Above the lower bound lie exactly the differences that `difference_p` does not reject at `tail`.
    """
    return _lower(wins, losses, n, tail), -_lower(losses, wins, n, tail)


def is_exact(wins: int, losses: int, n: int) -> bool:
    """Whether `difference_p` is exact for such numbers, or the score test."""
    return n <= EXACT_ITEMS or wins + losses <= EXACT_CHANGES


@lru_cache(maxsize=1024)
def _lower(wins: int, losses: int, n: int, tail: float) -> float:
    low, high = -1.0, (wins - losses) / n
    if difference_p(wins, losses, n, high) <= tail:  # cannot be at the usual tails
        return high
    guess = _score_lower(wins, losses, n, NormalDist().inv_cdf(1 - tail))
    step = max(1e-3, (high - guess) / 16)
    while guess - step > -1:  # a narrow bracket first: the exact bound lies near the score bound
        if difference_p(wins, losses, n, guess - step) <= tail:
            low = guess - step
            break
        high = min(high, guess - step)
        step *= 4
    while high - low > 1e-6:
        middle = (low + high) / 2
        if difference_p(wins, losses, n, middle) <= tail:
            low = middle
        else:
            high = middle
    return low


def _score_lower(wins: int, losses: int, n: int, z: float) -> float:
    low, high = -1.0, (wins - losses) / n
    for _ in range(60):
        middle = (low + high) / 2
        if score_z(wins, losses, n, middle) >= z:
            low = middle
        else:
            high = middle
    return low


@lru_cache(maxsize=256)
def _outcomes(wins: int, losses: int, n: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Numbers of changes, the least wins of each for a bound as high as here, and the rates of changes to search."""
    from scipy.special import betaincinv

    seen = wins + losses
    low = 0.0 if seen == 0 else float(betaincinv(seen, n - seen + 1, UNSEEN / 2))
    high = 1.0 if seen == n else float(betaincinv(seen + 1, n - seen, 1 - UNSEEN / 2))
    changes = np.arange(n + 1)
    bound = _score_lower(wins, losses, n, ORDER_Z)
    below, above = np.full(n + 1, -1), changes.copy()  # z at `below` wins is too low, at `above` it may be enough
    enough = score_z(changes, 0, n, bound) >= ORDER_Z - 1e-9  # with wins only
    while (above - below > 1).any():
        middle = (above + below) // 2
        reached = score_z(middle, changes - middle, n, bound) >= ORDER_Z - 1e-9
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    least = np.where(enough, above, changes + 1)
    return changes, least, low, high


def _probability(n: int, changes: np.ndarray, least: np.ndarray, rates: np.ndarray, difference: float) -> np.ndarray:
    """The probability of at least so many wins, for each rate of changes.  # (rates,)"""
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy

    width = 8 * np.sqrt(n * rates * (1 - rates)) + 20
    part = slice(max(0, int((n * rates - width).min())), int((n * rates + width).max()) + 1)
    m, b, rate = changes[part], least[part], rates[:, None]
    log = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1) + xlogy(m, rate) + xlog1py(n - m, -rate)
    share = np.clip((rate + difference) / (2 * rate), 0.0, 1.0)  # of changes that are wins
    chance = np.where(b <= m, np.where(b <= 0, 1.0, bdtrc(np.maximum(b, 1) - 1.0, m, share)), 0.0)
    return np.asarray((np.exp(log) * chance).sum(axis=1) + TINY)


def _check(wins: int, losses: int, n: int) -> None:
    if min(wins, losses) < 0 or wins + losses > n or n < 0:
        raise InputError(f"{wins} wins and {losses} losses of {n} items are no paired comparison")
