"""What a gate needs of a metric of sums: the statistics of each item, and which function of their sums it is.

They stand beside the other items in the column "METRIC:sums"; its field names the function in loomwork.metrics, so that
evals.compare can compute the metric of every resample. A score of some of the items ("acc, clean subset",
"acc [task=a]") needs no column of its own: it is the whole one's, on those items.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from loomwork.core.errors import InputError
from loomwork.evals._contamination import CLEAN, IS_CLEAN

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from loomwork.stats.sums import Statistic

HOME = "loomwork.metrics."


def with_sums(items: pa.Table, name: str, sums: Any, statistic: Statistic, scale: float = 1.0) -> pa.Table:
    """The items with the column "NAME:sums", which replaces one of that name.

    Args:
        items: one row an item.
        name: of the score.
        sums: sufficient statistics of each item; NaN for one that was not answered.  # (n, k)
        statistic: a function of loomwork.metrics: the metric of their sums.
        scale: what the score is of that metric; 100 for per cent.
    """
    import numpy as np
    import pyarrow as pa

    module, function = statistic.__module__, statistic.__qualname__
    if not module.startswith(HOME) or "." in function or "<" in function:
        raise InputError(f"{module}.{function} is no function of loomwork.metrics", "a gate could not find it again")
    stated = {"statistic": f"{module}.{function}", "scale": repr(float(scale))}
    column = f"{name}:sums"
    if column in items.column_names:
        items = items.drop_columns([column])
    rows = np.asarray(sums, np.float64)
    values = pa.array(rows.tolist(), pa.list_(pa.float64()), mask=np.isnan(rows).any(axis=1))
    return items.append_column(pa.field(column, values.type, metadata=stated), values)


def sums_of(items: pa.Table, name: str) -> tuple[np.ndarray, Statistic] | None:
    """The statistics of each item, NaN where it has none, and the metric of their sums; None for a score of no sums.

    Raises:
        InputError: the column does not name a function of loomwork.metrics.
    """
    import numpy as np

    whole, inside = part_of(items, name)
    column = f"{whole}:sums"
    if column not in items.column_names:
        return None
    stated = items.schema.field(column).metadata or {}
    path = stated.get(b"statistic", b"").decode()
    module, _, function = path.rpartition(".")
    if not module.startswith(HOME) or not function.isidentifier() or function.startswith("_"):
        raise InputError(f"the items' column {column!r} names no function of loomwork.metrics: {path!r}")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{path!r}, which the items' column {column!r} names, is not there") from error
    scale = float(stated.get(b"scale", b"1"))

    def metric(sums: Any) -> Any:
        return scale * found(sums)

    rows = items.column(column).to_pylist()
    width = next((len(row) for row in rows if row is not None), 1)
    sums = np.array([[np.nan] * width if row is None else row for row in rows], dtype=np.float64)
    if whole in items.column_names:  # an item without a value was not answered, even if sums of zero stand there
        inside = inside & ~np.isnan(_floats(items, whole))
    return np.where(inside[:, None], sums, np.nan), found if scale == 1 else metric


def item_values(items: pa.Table, name: str) -> np.ndarray:
    """What each item scores by itself: its column, or the metric of its own sums; NaN where it has none.  # (items,)

    Raises:
        InputError: the items hold neither.
    """
    import numpy as np

    if not has_items(items, name):
        raise no_items(name)
    whole, inside = part_of(items, name)
    if whole in items.column_names:
        return np.where(inside, _floats(items, whole), np.nan)
    given = sums_of(items, name)
    assert given is not None
    scored = ~np.isnan(given[0]).any(axis=1)
    values = np.full(len(items), np.nan)
    with np.errstate(over="ignore"):  # the perplexity of one text of few words
        values[scored] = given[1](given[0][scored])
    return values


def has_items(items: pa.Table, name: str) -> bool:
    """Whether single items have a share in a score, so that it can be paired and sliced."""
    whole, _ = part_of(items, name)
    return not {whole, f"{whole}:sums"}.isdisjoint(items.column_names)


def no_items(name: str, whose: str = "", others: Sequence[str] = ()) -> InputError:
    """What to say of a score in which single items have no share."""
    hint = f"choose one that has: {', '.join(others)}" if others else "choose another of the scores"
    return InputError(
        f"{whose + ' ' if whose else ''}{name!r} is a number of all items together, such as one of ranks: "
        "no single item has a share in it, so it can be neither paired nor sliced",
        f"{hint}; where an earlier version scored, score again",
    )


def part_of(items: pa.Table, name: str) -> tuple[str, np.ndarray]:
    """The score of which this one is a part, itself where it is whole, and which items are in it.  # bool (items,)"""
    import numpy as np

    whole, mark, rest = name.rpartition(" [")
    by, _, value = rest.removesuffix("]").partition("=")
    column = f"slice: {by}" if f"slice: {by}" in items.column_names else by
    if name.endswith(CLEAN) and IS_CLEAN in items.column_names:
        whole, here = name.removesuffix(CLEAN), items.column(IS_CLEAN).to_pylist()
    elif mark and column in items.column_names:
        here = [str(v) == value for v in items.column(column).to_pylist()]
    else:
        return name, np.ones(len(items), dtype=bool)
    found, inside = part_of(items, whole)
    return found, inside & np.array(here, dtype=bool)


def _floats(items: pa.Table, column: str) -> np.ndarray:
    import numpy as np

    return np.asarray(items.column(column).to_numpy(zero_copy_only=False), dtype=np.float64)
