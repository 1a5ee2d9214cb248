"""Which items are held out: at random, by whole groups, by strata, or by time. Each gives booleans, one an item."""

from __future__ import annotations

import numpy as np

OVERSHOOT = 1.5  # a group that would take the holdout beyond this many times its size is passed over
PASSES = 20  # over the groups, at most, to bring strata to their shares


def hold_random(items: int, share: float, order: np.random.Generator) -> np.ndarray:
    """A random share of the items.

    Args:
        items: how many there are.
        share: of them that is held out, 0 to 1.
        order: where chance comes from.

    Returns: bool (items,).
    """
    held = np.zeros(items, dtype=bool)
    held[order.permutation(items)[: round(share * items)]] = True
    return held


def hold_strata(stratum_of: np.ndarray, share: float, order: np.random.Generator) -> np.ndarray:
    """A random share of every stratum.

    Each stratum is rounded down; what is missing goes to the strata that were rounded down most, so that the whole
    share is met to the row.

    Args:
        stratum_of: each item's stratum, integers from 0, (items,).
        share: 0 to 1.
        order: where chance comes from.

    Returns: bool (items,).
    """
    sizes = np.bincount(stratum_of)
    exact = share * sizes
    take = np.floor(exact).astype(np.int64)
    missing = round(share * stratum_of.size) - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[: max(0, missing)]] += 1
    held = np.zeros(stratum_of.size, dtype=bool)
    shuffled = order.permutation(stratum_of.size)
    by_stratum = shuffled[np.argsort(stratum_of[shuffled], kind="stable")]
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    rank = np.arange(by_stratum.size) - np.repeat(starts, sizes)  # of each item within its stratum
    held[by_stratum] = rank < np.repeat(take, sizes)
    return held


def hold_groups(
    group_of: np.ndarray,
    share: float,
    order: np.random.Generator,
    *,
    largest: float | None = None,
    stratum_of: np.ndarray | None = None,
) -> np.ndarray:
    """Whole groups, in random order, until the holdout has its share.

    A group so large that it would take the holdout beyond OVERSHOOT times its share is passed over. With strata,
    groups are then moved in and out as long as that brings every stratum nearer to its share.

    Args:
        group_of: each item's group, integers from 0, (items,).
        share: of the items that is held out, 0 to 1.
        order: where chance comes from.
        largest: the largest share of the holdout that one group may be; larger groups are passed over.
        stratum_of: each item's stratum, integers from 0, (items,).

    Returns: bool (items,).
    """
    sizes = np.bincount(group_of)
    wanted = share * group_of.size
    limit = wanted * (OVERSHOOT if largest is None else largest)
    held = np.zeros(sizes.size, dtype=bool)
    if stratum_of is not None:
        _hold_by_strata(held, group_of, stratum_of, share, np.flatnonzero((sizes > 0) & (sizes <= limit)), order)
        return np.asarray(held[group_of])
    taken = 0
    for group in order.permutation(sizes.size):
        if taken >= wanted:
            break
        if 0 < sizes[group] <= limit and taken + sizes[group] <= OVERSHOOT * wanted:
            held[group] = True
            taken += int(sizes[group])
    return np.asarray(held[group_of])


def _hold_by_strata(
    held: np.ndarray,
    group_of: np.ndarray,
    stratum_of: np.ndarray,
    share: float,
    small_enough: np.ndarray,
    order: np.random.Generator,
) -> None:
    """Move groups in and out, in random order, as long as that brings the strata nearer to their shares.

    The distance is chi-square: the squared difference of each stratum by its wanted number.
    """
    wanted = share * np.bincount(stratum_of)  # (strata,)
    missing = wanted.copy()
    members = _members(group_of, held.size)
    tables = {int(g): np.unique(stratum_of[members[g]], return_counts=True) for g in small_enough}
    for _ in range(PASSES):
        moved = False
        for group in order.permutation(small_enough):
            strata, counts = tables[int(group)]
            change = counts if held[group] else -counts  # of what is missing
            if (change * (change + 2 * missing[strata]) / wanted[strata]).sum() < -1e-9:
                missing[strata] += change
                held[group] = not held[group]
                moved = True
        if not moved:
            return


def _members(group_of: np.ndarray, groups: int) -> list[np.ndarray]:
    """The items of each group."""
    return np.split(np.argsort(group_of, kind="stable"), np.cumsum(np.bincount(group_of, minlength=groups))[:-1])


def hold_latest(times: np.ndarray, share: float) -> np.ndarray:
    """The latest items; those of one time stay together, so the holdout may be a little larger than its share.

    Args:
        times: anything that sorts, without missing values, (items,).
        share: 0 to 1.

    Returns: bool (items,).
    """
    count = round(share * times.size)
    if count == 0:
        return np.zeros(times.size, dtype=bool)
    boundary = np.sort(times)[times.size - count]
    late: np.ndarray = times >= boundary
    return late
