"""The interval of any function of items: for metrics that are neither a mean nor a function of sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.stats.interval import unmoved

DRAWS = 999  # each calls the function once


def function_interval(
    items: Sequence[Any],
    function: Callable[[Sequence[Any]], float],
    *,
    clusters: Sequence[Any] | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    within: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, Interval]:
    """A function's value, and its percentile bootstrap interval over items or whole clusters.

    Rougher than the others of this package: nothing is known of the function. Where few clusters stand, it is narrow.
    Where the resamples leave it no width, they show no spread, which is not no spread: see `unmoved` of interval.py.

    Args:
        items: what the function takes.
        function: any; called once for each draw.
        clusters: a label for each item, or None.
        level: e.g. 0.95.
        draws: how many resamples.
        seed: of the resampling.
        within: the range of the function, for where the resamples leave the interval no width; a value outside of it
            widens it.

    Raises:
        InputError: fewer than two items or clusters, or the function is not finite for a resample.

    Source: Efron (1979), Bootstrap methods: another look at the jackknife.
    """
    groups: dict[Any, list[int]] = {}
    for place, label in enumerate(range(len(items)) if clusters is None else clusters):
        groups.setdefault(label, []).append(place)
    members = [np.array(places) for places in groups.values()]
    if len(members) < 2:
        raise InputError(f"{len(members)} unit gives no interval: at least two are needed")
    value = float(function(items))
    generator = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        chosen = generator.integers(0, len(members), len(members))
        found[draw] = function([items[i] for group in chosen for i in members[group]])
    if not np.isfinite([value, *found]).all():
        raise InputError("the metric is not finite for every resample", "define it where nothing was found")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    unit = "item" if clusters is None else "cluster"
    method = f"percentile {unit} bootstrap, {draws} draws"
    low, high = min(float(low), value), max(float(high), value)
    if low < high:
        return value, Interval(low, high, level, method)
    still = unmoved(value, len(members), level, (min(within[0], value), max(within[1], value)))
    return value, replace(still, method=f"{still.method}, for no {unit} bootstrap of {draws} draws moves it")
