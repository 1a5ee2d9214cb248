"""Does a metric differ between some items and the rest of them?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError
from loomwork.stats.sums import resample

Floats = npt.NDArray[np.float64]
DRAWS = 1999


@dataclass(frozen=True)
class Apart:
    """A metric of some items minus that of the rest; `p_value` is two-sided, of "they are equal"."""

    difference: float
    p_value: float
    method: str


def mean_of_sums(sums: Floats) -> Any:
    """A mean as a metric of sums: of (value, 1).  # (..., 2) -> (...)"""
    below = np.asarray(sums[..., 1], np.float64)
    return np.divide(sums[..., 0], below, out=np.zeros(np.shape(below)), where=below > 0)


def apart(
    sums: npt.ArrayLike,
    inside: npt.ArrayLike,
    statistic: Callable[[Floats], Any] = mean_of_sums,
    *,
    clusters: Any = None,
    seed: int = 0,
) -> Apart:
    """Compare some items with the rest.

    Independent right-or-wrong items by Fisher's exact test; all else by a bootstrap of items or whole clusters, in
    which the two groups are drawn together.

    Args:
        sums: sufficient statistics of each item; (value, 1) for a mean.  # (n, k)
        inside: which items they are.  # bool (n,)
        statistic: the metric of sums.
        clusters: a label for each item, or None.  # (n,)
        seed: of the resampling.

    Raises:
        InputError: all items are inside, or none is.

    Source: Fisher (1922), JRSS 85(1); Efron (1987), JASA 82(397), for the bootstrap's tail.
    """
    x, chosen = np.asarray(sums, dtype=np.float64), np.asarray(inside, dtype=bool)
    if chosen.all() or not chosen.any():
        raise InputError(f"{int(chosen.sum())} of {len(chosen)} items are in the slice: there is no rest to compare")
    width = x.shape[1]

    def change(total: Floats) -> Any:
        return statistic(total[..., :width]) - statistic(total[..., width:])

    both = np.concatenate([x * chosen[:, None], x * ~chosen[:, None]], axis=1)
    alone = clusters is None or len(np.unique(np.asarray(clusters))) == len(x)
    if statistic is mean_of_sums and alone and np.isin(x[:, 0], (0.0, 1.0)).all():
        from scipy.stats import fisher_exact

        right, size = x[chosen, 0].sum(), chosen.sum()
        others, rest = x[~chosen, 0].sum(), (~chosen).sum()
        p_value = float(fisher_exact([[right, size - right], [others, rest - others]]).pvalue)
        return Apart(float(change(both.sum(axis=0))), min(1.0, p_value), "Fisher's exact test")
    drawn = resample(both, change, clusters=clusters, draws=DRAWS, seed=seed)
    tail = drawn.p_below(0.0) if drawn.value > 0 else drawn.p_above(0.0)
    return Apart(drawn.value, min(1.0, 2 * tail) if drawn.value else 1.0, drawn.method)
