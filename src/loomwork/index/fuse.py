"""Fusion of several rankings of the same rows, and the best rows of one."""

from __future__ import annotations

import numpy as np


def standardise(scores: np.ndarray) -> np.ndarray:
    """Scores with mean 0 and standard deviation 1 over all rows; all 0 where they do not differ."""
    wide = scores.astype(np.float64)
    spread = float(wide.std())
    if spread < 1e-12:
        return np.zeros_like(wide)
    standard: np.ndarray = (wide - wide.mean()) / spread
    return standard


def convex(lexical: np.ndarray, dense: np.ndarray, weight: float) -> np.ndarray:
    """The weighted mean of two standardised score lists.

    Args:
        lexical, dense: a score of every row (rows,).
        weight: of the dense scores, 0 to 1.

    Source: Bruch, Gai and Ingber (2023), An analysis of fusion functions for hybrid retrieval.
    """
    fused: np.ndarray = (1 - weight) * standardise(lexical) + weight * standardise(dense)
    return fused


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """The rows with the k highest scores, best first; of equal scores the lower row first."""
    k = min(k, scores.size)
    if k <= 0:
        return np.empty(0, np.int64)
    bar = np.partition(scores, scores.size - k)[scores.size - k]
    rows = np.flatnonzero(scores >= bar)
    ranked: np.ndarray = rows[np.lexsort((rows, -scores[rows]))][:k]
    return ranked
