"""What a gate needs of a metric of sums: the statistics of each item, and which function of their sums it is.

They stand beside the other items in the column "METRIC:sums"; its field names the function in loomwork.metrics, so that
evals.compare can compute the metric of every resample.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from loomwork.core.errors import InputError

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
        sums: sufficient statistics of each item; a row with NaN is an item that has none, and becomes null.  # (n, k)
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
    """The statistics of each item and the metric of their sums; None where this score is no metric of sums.

    An item without any, such as one that was not answered, is a row of NaN.

    Raises:
        InputError: the column does not name a function of loomwork.metrics.
    """
    import numpy as np

    column = f"{name}:sums"
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
    nothing = [np.nan] * next((len(row) for row in rows if row is not None), 0)
    return np.array([nothing if row is None else row for row in rows], np.float64), found if scale == 1 else metric


def item_values(items: pa.Table, name: str) -> np.ndarray:
    """What each item scores by itself: its column, or the metric of its own sums; NaN where it has none.  # (items,)

    Raises:
        InputError: the items hold neither.
    """
    import numpy as np

    if name in items.column_names:
        return np.asarray(items.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)
    given = sums_of(items, name)
    if given is None:
        raise InputError(f"the items have no column {name!r}", "score the model again with this version")
    sums, metric = given
    return np.where(np.isnan(sums).any(axis=1), np.nan, metric(sums))
