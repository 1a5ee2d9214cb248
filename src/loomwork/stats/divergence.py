"""How far apart two histograms over the same bins are, and whether chance alone would bring them as far.

Every function takes counts whose last axis is the bins, so that many draws are measured at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Measure = Literal["psi", "ks", "jensen-shannon"]
CHUNK_DRAWS = 128  # of grouped permutations, at once in memory


def jensen_shannon(before: Any, after: Any) -> Any:
    """The Jensen-Shannon divergence, in bits: 0 for equal distributions, 1 for disjoint ones.

    Args:
        before: counts (..., bins), not all zero.
        after: counts (..., bins), not all zero.

    Returns: float64 (...).

    Source: Lin (1991), Divergence measures based on the Shannon entropy.
    """
    p, q = _shares(before), _shares(after)
    return np.maximum(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2, 0.0)


def psi(before: Any, after: Any) -> Any:
    """The population stability index, in nats; half a count is added to every bin, so that none is empty.

    By custom below 0.1 is called stable, above 0.25 shifted; these limits are no test.

    Args:
        before: counts (..., bins).
        after: counts (..., bins).

    Returns: float64 (...).

    Source: Siddiqi (2006), Credit risk scorecards, chapter 8; it is the symmetric Kullback-Leibler divergence.
    """
    p, q = _shares(np.asarray(before, float) + 0.5), _shares(np.asarray(after, float) + 0.5)
    return ((q - p) * np.log(q / p)).sum(axis=-1)


def ks(before: Any, after: Any) -> Any:
    """The Kolmogorov-Smirnov distance: the largest difference of the two cumulative shares. The bins have an order.

    Args:
        before: counts (..., bins).
        after: counts (..., bins).

    Returns: float64 (...), 0 to 1.
    """
    return np.abs(np.cumsum(_shares(before), axis=-1) - np.cumsum(_shares(after), axis=-1)).max(axis=-1)


MEASURES: dict[Measure, Callable[[Any, Any], Any]] = {"psi": psi, "ks": ks, "jensen-shannon": jensen_shannon}


def permutation_p(
    before: np.ndarray, after: np.ndarray, measure: Measure, *, draws: int, order: np.random.Generator
) -> float:
    """How often items dealt at random to the two sides lie at least as far apart: (1 + as far) / (1 + draws).

    Where both sides are samples of one distribution, the value is at most x with probability at most x: exact, for
    any measure, and for small numbers too.

    Args:
        before: counts of items (bins,).
        after: counts of items (bins,).
        measure: which distance.
        draws: how many deals.
        order: where chance comes from.

    Source: Phipson and Smyth (2010), Permutation p-values should never be zero.
    """
    before, after = np.asarray(before, np.int64), np.asarray(after, np.int64)
    pooled = before + after
    dealt = order.multivariate_hypergeometric(pooled, int(after.sum()), size=draws, method="marginals")
    return _p_value(MEASURES[measure](before, after), MEASURES[measure](pooled - dealt, dealt))


def grouped_permutation_p(
    counts: Any, is_after: np.ndarray, measure: Measure, *, draws: int, order: np.random.Generator
) -> float:
    """The same where items come in groups (the words of a document, the rows of an author): groups are dealt.

    Args:
        counts: of each group, an array or a scipy sparse matrix (groups, bins).
        is_after: which groups belong to the second side, bool (groups,).
        measure: which distance.
        draws: how many deals.
        order: where chance comes from.
    """
    pooled = np.asarray(counts.sum(axis=0)).ravel()
    side = is_after.astype(np.float64)
    far: list[Any] = []
    for start in range(0, draws, CHUNK_DRAWS):
        deals = np.stack([order.permutation(side) for _ in range(min(CHUNK_DRAWS, draws - start))])
        after = np.asarray((counts.T @ deals.T).T)
        far.append(MEASURES[measure](pooled - after, after))
    observed = np.asarray(counts.T @ side).ravel()
    return _p_value(MEASURES[measure](pooled - observed, observed), np.concatenate(far))


def _p_value(observed: Any, null: np.ndarray) -> float:
    # Deals that equal the observed one must count, though the last bits of their sums may differ.
    return float((1 + np.count_nonzero(null >= observed - 1e-12)) / (1 + null.size))


def _shares(counts: Any) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _entropy(p: np.ndarray) -> Any:
    """In bits; 0 log 0 is 0."""
    return -(p * np.log2(p, where=p > 0, out=np.zeros_like(p))).sum(axis=-1)
