"""Pearson's, Spearman's and Kendall's correlation with an interval, over items or clusters of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.cluster import Floats

Kind = Literal["pearson", "spearman", "kendall"]
BLOCK_CELLS = 1 << 22  # of a table of pairs that is held at once
FEWEST = 5  # units: with fewer the interval says nothing


def spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Spearman's rho under each row of weights: Pearson's r of the ranks; NaN where a side does not vary.

    Args:
        x, y: one pair an item.  # (n,)
        weights: how often each item counts.  # (rows, n)

    Returns: (rows,)
    """
    x, y = mid_ranks(x, weights), mid_ranks(y, weights)  # (rows, n)
    total = weights.sum(axis=1, keepdims=True)
    dx = x - (weights * x).sum(axis=1, keepdims=True) / total  # (rows, n)
    dy = y - (weights * y).sum(axis=1, keepdims=True) / total
    across = (weights * dx * dy).sum(axis=1)
    size = np.sqrt((weights * dx * dx).sum(axis=1)) * np.sqrt((weights * dy * dy).sum(axis=1))
    return np.asarray(np.divide(across, size, out=np.full(len(weights), np.nan), where=size > 0))


def mid_ranks(x: Floats, weights: Floats) -> Floats:
    """The rank of each item where each counts as often as its weight; equal values have their mean rank.

    # (n,), (rows, n) -> (rows, n)
    """
    _, group = np.unique(x, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(weights[:, order], starts, axis=1)  # (rows, groups)
    below = np.cumsum(size, axis=1) - size
    return (below + (size + 1) / 2)[:, group]


def _kendall_left_out(x: Floats, y: Floats, units: npt.NDArray[np.intp]) -> tuple[float, Floats]:
    """Kendall's tau-b, and tau-b without each unit, from one pass over the pairs."""
    count = int(units.max()) + 1
    order = np.argsort(units, kind="stable")
    x, y, units = x[order], y[order], units[order]
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    # Ordered pairs: concordant less discordant, and those that differ in x, in y.
    rows, within = np.zeros((3, count)), np.zeros((3, count))
    step = max(1, BLOCK_CELLS // len(x))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        dx = np.sign(x[part, None] - x).astype(np.int8)  # (block, n)
        dy = np.sign(y[part, None] - y).astype(np.int8)
        for i, table in enumerate((dx * dy, dx != 0, dy != 0)):
            np.add.at(rows[i], units[part], table.sum(axis=1, dtype=np.int64))
            if count < len(x):
                blocks = np.add.reduceat(table, starts, axis=1, dtype=np.int64)  # (block, units)
                np.add.at(within[i], units[part], blocks[np.arange(len(blocks)), units[part]])
    total = rows.sum(axis=1)
    left = total[:, None] - 2 * rows + within  # (3, units)

    def tau(sums: Floats) -> Floats:
        size = np.sqrt(sums[1]) * np.sqrt(sums[2])
        return np.asarray(np.divide(sums[0], size, out=np.full(size.shape, np.nan), where=size > 0))

    return float(tau(total[:, None])[0]), tau(left)


def correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, kind: Kind, *, clusters: Any = None, level: float = 0.95
) -> tuple[float, Interval]:
    """A correlation and its interval: the jackknife's, on Fisher's scale.

    Leaving out one unit (item or cluster) at a time gives the standard error of atanh(r), and the t distribution the
    width. Where the order of all items agrees there is no spread; then the bound is that of one neighbouring pair
    swapped, with the standard error for normal samples.

    Args:
        x, y: one pair an item.  # (n,)
        kind: pearson (r), spearman (rho) or kendall (tau-b).
        clusters: a label for each item, or None for independent items.  # (n,)
        level: e.g. 0.95.

    Raises:
        InputError: unequal lengths, numbers that are not finite, fewer than five units, or a side that does not vary.

    Source: Efron and Tibshirani (1993), chapter 11; Bonett and Wright (2000), Psychometrika 65(1), for the latter.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"a correlation needs two lists of one length, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a correlation needs finite numbers", "set aside the items that have none first")
    for values, which in ((a, "first"), (b, "second")):
        if len(values) and values.min() == values.max():
            raise InputError(f"the {which} side of the correlation is {values[0]:g} everywhere: it has no correlation")
    labels = np.arange(len(a)) if clusters is None else np.asarray(clusters)
    _, units = np.unique(labels, return_inverse=True)
    if len(units) != len(a):
        raise InputError(f"{len(units)} cluster labels for {len(a)} items")
    count = int(units.max()) + 1 if len(units) else 0
    if count < FEWEST:
        raise InputError(f"a correlation needs at least {FEWEST} independent items or clusters, not {count}")
    value, left = _kendall_left_out(a, b, units) if kind == "kendall" else _left_out(a, b, kind, units)
    unit = "item" if clusters is None else "cluster"
    if abs(value) > 1 - 1e-12:
        low, high = _of_agreement(value, kind, count, level)
        return value, Interval(low, high, level, "Bonett-Wright, as if one neighbouring pair were swapped")
    if np.isnan(left).any():
        raise InputError(
            f"without one {unit} a side of the correlation does not vary: there is no interval", "score more items"
        )
    low, high = _jackknife(value, left, level)
    return value, Interval(low, high, level, f"{unit} jackknife of atanh(r), t")


def _left_out(x: Floats, y: Floats, kind: Kind, units: npt.NDArray[np.intp]) -> tuple[float, Floats]:
    """The correlation, and that without each unit."""
    count = int(units.max()) + 1
    if kind == "pearson":
        x, y = ((v - v.mean()) / v.std() for v in (x, y))
        sums = np.stack([np.bincount(units, v) for v in (np.ones_like(x), x, y, x * x, y * y, x * y)], axis=1)
        return float(_pearson_of(sums.sum(axis=0))), _pearson_of(sums.sum(axis=0) - sums)
    left, step = np.empty(count), max(1, BLOCK_CELLS // len(x))
    for start in range(0, count, step):
        part = np.arange(start, min(start + step, count))
        left[part] = spearman(x, y, (units != part[:, None]).astype(np.float64))
    return float(spearman(x, y, np.ones((1, len(x))))[0]), left


def _pearson_of(sums: Floats) -> Floats:
    """Pearson's r from the sums of 1, x, y, x², y², xy of standardised values.  # (..., 6) -> (...)"""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    size = np.sqrt(np.maximum(xx - x * x / n, 0)) * np.sqrt(np.maximum(yy - y * y / n, 0))
    return np.asarray(np.divide(xy - x * y / n, size, out=np.full(size.shape, np.nan), where=size > 1e-12 * n))


def _jackknife(value: float, left: Floats, level: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    count = len(left)
    z = np.arctanh(np.clip(left, -1 + 1e-12, 1 - 1e-12))
    error = float(np.sqrt((count - 1) / count * ((z - z.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, (1 + level) / 2)) * error
    middle = float(np.arctanh(value))
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))


def _of_agreement(value: float, kind: Kind, count: int, level: float) -> tuple[float, float]:
    from statistics import NormalDist

    if kind == "pearson":
        return value, value  # on a line: nothing is left to chance
    one_swap = 12 / (count * (count**2 - 1)) if kind == "spearman" else 4 / (count * (count - 1))
    r = 1 - one_swap
    variance = (1 + r * r / 2) / (count - 3) if kind == "spearman" else 0.437 / (count - 4)
    near = float(np.tanh(np.arctanh(r) - NormalDist().inv_cdf((1 + level) / 2) * variance**0.5))
    return (near, 1.0) if value > 0 else (-1.0, -near)
