"""Agreement of annotators or judges beyond chance, with intervals: Cohen's and Fleiss' kappa, Krippendorff's alpha.

All of them are functions of sums over items, so their intervals are bootstraps of sums (stats/sums.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.cluster import Floats
from loomwork.stats.sums import DRAWS, Statistic, statistic_interval

Weighting = Literal["none", "linear", "quadratic"]
Scale = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True)
class Agreement:
    """A coefficient of agreement: 1 is perfect, 0 is what chance gives, below 0 is worse than chance.

    Args:
        value: of the coefficient.
        interval: of it, over items (or clusters of them).
        observed: the share of pairs of ratings of one item that are equal.
        n: items that count.
    """

    value: float
    interval: Interval
    observed: float
    n: int


def cohen_kappa(
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    weighting: Weighting = "none",
    categories: Sequence[Any] | None = None,
    clusters: Any = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Agreement:
    """Agreement of two raters who both labelled every item.

    Args:
        first, second: labels of the same items.  # (n,)
        weighting: how near misses count: by the distance of the categories, or its square.
        categories: in their order; by default those that occur, sorted.
        clusters: a label for each item, or None.  # (n,)
        level, draws, seed: of the interval.

    Raises:
        InputError: the lists differ in length, a label is in no category, or fewer than two items.

    Source: Cohen (1960), Educational and Psychological Measurement 20(1); Cohen (1968), for weights.
    """
    if len(first) != len(second):
        raise InputError(f"two raters labelled {len(first)} and {len(second)} items; kappa needs the same ones")
    names = _categories([*first, *second], categories)
    k = len(names)
    rows, columns = _numbers(first, names), _numbers(second, names)
    cells = np.zeros((len(rows), k * k))
    cells[np.arange(len(rows)), rows * k + columns] = 1.0
    distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)  # (k, k)
    cost = {"none": (distance > 0).astype(float), "linear": distance, "quadratic": distance**2}[weighting]

    def kappa(sums: Floats) -> Floats:
        table = sums.reshape(*sums.shape[:-1], k, k) / sums.sum(axis=-1)[..., None, None]
        seen = (table * cost).sum(axis=(-2, -1))
        chance = np.einsum("...i,...j,ij->...", table.sum(axis=-1), table.sum(axis=-2), cost)
        return _one_less(seen, chance)

    observed = float((rows == columns).mean())
    return _agreement(cells, kappa, observed, clusters, level, draws, seed)


def fleiss_kappa(
    counts: Any, *, clusters: Any = None, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Agreement:
    """Agreement of several raters, the same number for each item, who need not be the same people.

    Args:
        counts: how many raters gave each item each category.  # (items, categories)
        clusters: a label for each item, or None.  # (items,)
        level, draws, seed: of the interval.

    Raises:
        InputError: items differ in their number of raters, or have fewer than two.

    Source: Fleiss (1971), Psychological Bulletin 76(5).
    """
    c = np.asarray(counts, dtype=np.float64)
    raters = c.sum(axis=1) if c.ndim == 2 else np.zeros(1)
    if raters.min(initial=np.inf) < 2 or np.ptp(raters) > 0:
        raise InputError(
            "Fleiss' kappa needs the same number of raters, at least two, for every item",
            "use krippendorff_alpha where some did not rate all",
        )
    m = float(raters[0])
    agreeing = (c * (c - 1)).sum(axis=1) / (m * (m - 1))  # the share of pairs of raters that agree, of each item

    def kappa(sums: Floats) -> Floats:
        shares = sums[..., 1:] / sums[..., 1:].sum(axis=-1, keepdims=True)
        items = sums[..., 1:].sum(axis=-1) / m
        return _one_less(1 - sums[..., 0] / items, 1 - (shares**2).sum(axis=-1))

    return _agreement(np.column_stack([agreeing, c]), kappa, float(agreeing.mean()), clusters, level, draws, seed)


def krippendorff_alpha(
    ratings: Any,
    *,
    scale: Scale = "nominal",
    categories: Sequence[Any] | None = None,
    clusters: Any = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Agreement:
    """Agreement of any number of raters, each of whom may have left items out.

    Args:
        ratings: one row a rater; None or NaN where there is no rating.  # (raters, items)
        scale: how far apart two ratings are: equal or not, by rank, by difference, or by ratio.
        categories: in their order, for the nominal and ordinal scale; by default those that occur, sorted.
        clusters: a label for each item, or None.  # (items,)
        level, draws, seed: of the interval. Items with fewer than two ratings say nothing and do not count.

    Raises:
        InputError: rows of different lengths, fewer than two items with two ratings, or values that are no numbers on
            the interval and ratio scales.

    Source: Krippendorff (2019), Content Analysis, 4th edition, chapter 12; Hayes and Krippendorff (2007).
    """
    rows = [[None if _missing(v) else v for v in row] for row in ratings]
    if len({len(row) for row in rows}) != 1:
        raise InputError(f"every rater has one entry an item: {[len(row) for row in rows]}")
    names = _categories([v for row in rows for v in row if v is not None], categories)
    k, n = len(names), len(rows[0])
    counts = np.zeros((n, k))
    for row in rows:
        known = [i for i, v in enumerate(row) if v is not None]
        counts[known, _numbers([row[i] for i in known], names)] += 1
    kept = counts.sum(axis=1) >= 2
    counts = counts[kept]
    size = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    coincidences = (pairs / (size - 1)[:, None, None]).reshape(len(counts), k * k)  # (items, k * k), they add up
    values = _values_of(names) if scale in ("interval", "ratio") else None

    def alpha(sums: Floats) -> Floats:
        table = sums.reshape(*sums.shape[:-1], k, k)
        totals = table.sum(axis=-1)  # (..., k)
        cost = _cost(totals, scale, values)
        n_pairs = totals.sum(axis=-1)
        expected = (totals[..., :, None] * totals[..., None, :] * cost).sum(axis=(-2, -1)) / (n_pairs - 1)
        return _one_less((table * cost).sum(axis=(-2, -1)), expected)

    groups = None if clusters is None else np.asarray(clusters)[kept]
    observed = float(np.trace(coincidences.sum(axis=0).reshape(k, k)) / max(size.sum(), 1.0))
    return _agreement(coincidences, alpha, observed, groups, level, draws, seed)


def _cost(totals: Floats, scale: Scale, values: Floats | None) -> Floats:
    """Krippendorff's squared differences of two categories.  # (..., k, k)"""
    k = totals.shape[-1]
    if scale == "ordinal":  # the ratings that lie between two ranks, the ends counted half
        middle = np.cumsum(totals, axis=-1) - totals / 2
        return np.asarray((middle[..., :, None] - middle[..., None, :]) ** 2)
    if values is None:
        return 1.0 - np.eye(k)
    difference = np.subtract.outer(values, values)
    if scale == "interval":
        return np.asarray(difference**2)
    total = np.add.outer(values, values)
    return np.divide(difference, total, out=np.zeros((k, k)), where=total != 0) ** 2


def _agreement(
    statistics: Floats, statistic: Statistic, observed: float, clusters: Any, level: float, draws: int, seed: int
) -> Agreement:
    if len(statistics) < 2:
        raise InputError(f"{len(statistics)} item that two raters labelled: agreement needs at least two")
    value, interval = statistic_interval(
        statistics, statistic, clusters=clusters, level=level, draws=draws, seed=seed, within=(-1.0, 1.0)
    )
    return Agreement(value, interval, observed, len(statistics))


def _one_less(seen: Floats, chance: Floats) -> Floats:
    """1 - seen / chance; where chance alone leaves no disagreement all labels are equal, which says nothing: 0."""
    return np.where(chance > 0, 1 - np.divide(seen, chance, out=np.ones_like(chance), where=chance > 0), 0.0)


def _categories(found: Sequence[Any], given: Sequence[Any] | None) -> list[Any]:
    if given is not None:
        return list(given)
    try:
        return sorted(set(found))
    except TypeError:
        return sorted(set(found), key=str)


def _numbers(labels: Sequence[Any], names: list[Any]) -> np.ndarray:
    place = {name: i for i, name in enumerate(names)}
    unknown = sorted({str(label) for label in labels if label not in place})
    if unknown:
        raise InputError(f"labels {', '.join(unknown)} are in no category", f"the categories are {names}")
    return np.array([place[label] for label in labels], dtype=np.int64)


def _values_of(names: list[Any]) -> Floats:
    try:
        return np.array([float(name) for name in names])
    except (TypeError, ValueError):
        raise InputError(f"the interval and ratio scales need numbers, not {names}") from None


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
