"""Pearson's correlation as a function of sums over items, so that two systems can be compared on the same items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pearson_sums(x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """What each pair adds to the sums of 1, x, y, x², y² and xy; both sides standardised, which keeps the sums exact.

    The last column is the item's share: its mean is the correlation.

    Args:
        x, y: one pair an item; neither side is constant.  # (n,)

    Returns: (n, 6)
    """
    sides = (np.asarray(side, dtype=np.float64) for side in (x, y))
    a, b = ((side - side.mean()) / side.std() for side in sides)
    return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], axis=1)


def pearson_of_sums(sums: Floats) -> Floats:
    """Pearson's r; 0 where a side does not vary.  # (..., 6) -> (...)"""
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    n = np.maximum(n, 1.0)
    size = np.sqrt(np.maximum(xx - x * x / n, 0)) * np.sqrt(np.maximum(yy - y * y / n, 0))
    return np.asarray(np.divide(xy - x * y / n, size, out=np.zeros(size.shape), where=size > 1e-12 * n))
