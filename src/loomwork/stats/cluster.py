"""The mean of items that come in clusters, and a standard error that is right for few, unequal clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterMean:
    """A weighted mean over clustered items, as a ratio of sums.

    Args:
        value: sum of weight * value over sum of weight.
        standard_error: cluster-robust, by leaving out one cluster at a time (CR3).
        degrees_of_freedom: of a t distribution for value / standard_error (Bell and McCaffrey).
        sums: weighted sum of each cluster.  # (clusters,)
        weights: total weight of each cluster.  # (clusters,)
        n: items.
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    sums: Floats
    weights: Floats
    n: int

    @property
    def n_clusters(self) -> int:
        return len(self.sums)


def cluster_mean(values: npt.ArrayLike, weights: npt.ArrayLike | None = None, clusters: Any = None) -> ClusterMean:
    """The weighted mean of `values` with its cluster-robust standard error.

    The total weight of the clusters counts as random, so a ratio of sums (bits per byte: values = bits / bytes of
    each document, weights = bytes) is treated rightly.

    Args:
        values: one number an item.  # (n,)
        weights: positive weights; None for a plain mean.  # (n,)
        clusters: a label for each item; None makes each item a cluster.  # (n,)

    Raises:
        InputError: fewer than two clusters, numbers that are not finite, or weights that are not positive.

    Source: Bell and McCaffrey (2002), Survey Methodology 28(2); MacKinnon, Nielsen and Webb (2023), J. Econometrics
        232(2), for the jackknife.
    """
    x = np.asarray(values, dtype=np.float64)  # (n,)
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)  # (n,)
    if x.ndim != 1 or w.shape != x.shape:
        raise InputError(f"values and weights must be two lists of one length, not {x.shape} and {w.shape}")
    if not np.isfinite(x).all() or not (np.isfinite(w).all() and (w > 0).all()):
        raise InputError("a mean needs finite values and positive weights", "set aside the items that failed first")
    sums: Floats = x * w  # (clusters,)
    totals: Floats = w  # (clusters,)
    if clusters is not None:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        if len(index) != len(x):
            raise InputError(f"{len(index)} cluster labels for {len(x)} items")
        sums, totals = np.bincount(index, sums).astype(float), np.bincount(index, totals).astype(float)
    if len(sums) < 2:
        raise InputError(
            f"{len(sums)} cluster gives no interval: at least two are needed",
            "cluster by something finer, or leave the clusters out if the items are independent",
        )
    order = np.lexsort((totals, sums))  # the order of the items must not change what a seed draws
    sums, totals = sums[order], totals[order]
    value = float(sums.sum() / totals.sum())
    residuals = sums - value * totals
    if np.abs(residuals).max() <= 1e-12 * max(np.abs(sums).max(), 1e-300):
        residuals = np.zeros_like(residuals)  # all items equal: rounding is no spread
    scale = np.sqrt((len(sums) - 1) / len(sums)) / (totals.sum() - totals)  # (clusters,)
    error = float(np.sqrt(((scale * residuals) ** 2).sum()))
    return ClusterMean(value, error, _degrees_of_freedom(totals, scale), sums, totals, len(x))


def _degrees_of_freedom(weights: Floats, scale: Floats) -> float:
    """Satterthwaite's degrees of freedom of the variance estimate when items are independent.

    The estimate is the sum of the squares of N = scale * (I - w 1'/W) u, var(u) = diag(w); its degrees of freedom are
    tr(NN')^2 / |NN'|^2. NN' is a diagonal plus a matrix of rank two, so both traces cost O(clusters).
    """
    total = weights.sum()
    u, v, g = scale * weights / total, scale * weights, scale * scale * weights
    low_rank = -2 * u * v + total * u * u  # the diagonal of the rank-two part
    uu, uv, vv = u @ u, u @ v, v @ v
    trace = g.sum() + low_rank.sum()
    squared = (g * g).sum() + 2 * (g @ low_rank) + 2 * (uu * vv + uv * uv) + total**2 * uu**2 - 4 * total * uv * uu
    return float(trace * trace / squared)
