"""Splitting a dataset into `train` and `holdout`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, shard_tables

if TYPE_CHECKING:
    import numpy as np

OVERSHOOT = 1.5  # a group that would take the holdout beyond this many times its size is passed over


@step(makes="dataset", uses=["numpy"])
def split(
    data: Dataset,
    *,
    holdout: float = 0.1,
    group: str | None = None,
    largest_group: float | None = None,
    seed: int = 7,
    out: Path,
) -> Card:
    """Split rows at random into the parts `train` and `holdout`; rows and their ids stay as they are.

    With `group`, all rows of a group go to one side: groups are drawn in random order until the holdout has its
    share, and one so large that it would take the holdout beyond 1.5 times its share is passed over.

    Args:
        data: the rows to split.
        holdout: the share of rows that is held out, between 0 and 1.
        group: a column; rows that agree in it are not separated.
        largest_group: the largest share of the holdout that one group may be, so that a score by group rests on many
            of them; larger groups stay in `train`.
        seed: of the random order.

    Raises:
        InputError: one side would be empty.
    """
    import numpy as np
    import pyarrow as pa

    data.require_rows()
    if not 0 < holdout < 1:
        raise InputError(f"holdout is {holdout}; it must lie between 0 and 1", "for example holdout: 0.1")
    order = np.random.default_rng(seed)
    if largest_group is not None and (group is None or not 0 < largest_group <= 1):
        raise InputError(f"largest_group is {largest_group}: a share between 0 and 1, and it needs a `group`")
    held = _held_groups(data, group, holdout, largest_group, order) if group else _held_rows(len(data), holdout, order)
    if held.all() or not held.any():
        empty = "holdout" if not held.any() else "train"
        raise InputError(
            f"holdout={holdout} of {held.size} rows{f' by {group!r}' if group else ''} leaves {empty} empty",
            "take another share, or a column with more and smaller groups",
        )
    start = 0
    with DatasetWriter(out) as writer:
        for _, table in shard_tables(data):
            side = held[start : start + len(table)]
            for part, mask in (("train", ~side), ("holdout", side)):
                if mask.any():
                    writer.carry(table.filter(pa.array(mask)), part=part)
            start += len(table)
    return counted(writer, holdout_share=float(held.mean()))


def _held_rows(rows: int, share: float, order: np.random.Generator) -> np.ndarray:
    import numpy as np

    held = np.zeros(rows, dtype=bool)
    held[order.permutation(rows)[: round(share * rows)]] = True
    return held


def _held_groups(
    data: Dataset, group: str, share: float, largest: float | None, order: np.random.Generator
) -> np.ndarray:
    """Which rows are held out, whole groups at a time."""
    import numpy as np

    data.require(group)
    values: list[Any] = [v for table in data.tables([group]) for v in table.column(group).to_pylist()]
    names = sorted(set(map(repr, values)))  # not in order of appearance: a moved row must not move its group
    number = {name: i for i, name in enumerate(names)}
    group_of = np.array([number[repr(v)] for v in values])  # (rows,)
    sizes = np.bincount(group_of, minlength=len(names))
    wanted, taken = share * len(values), 0
    limit = wanted * (OVERSHOOT if largest is None else largest)
    held = np.zeros(len(names), dtype=bool)
    for i in order.permutation(len(names)):
        if taken >= wanted:
            break
        if sizes[i] <= limit and taken + sizes[i] <= OVERSHOOT * wanted:
            held[i] = True
            taken += int(sizes[i])
    chosen: np.ndarray = held[group_of]
    return chosen
