"""The items of two scores brought into one order, so that each is compared with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loomwork.core.errors import InputError
from loomwork.core.score import Score

if TYPE_CHECKING:
    import pyarrow as pa


def same_system(candidate: Score, baseline: Score) -> bool:
    return candidate.model == baseline.model != "none" and candidate.settings == baseline.settings


def same_measurement(candidate: Score, baseline: Score) -> None:
    for what in ("data", "direction", "cluster_unit"):
        ours, theirs = getattr(candidate, what), getattr(baseline, what)
        if ours != theirs:
            raise InputError(
                f"{candidate.name!r} of the two was not measured alike: {what} is {ours} and {theirs}",
                "score both models on the same data with the same settings",
            )


def order_of(items: pa.Table, others: pa.Table) -> Any:
    """For each of the candidate's items the row of the baseline's that it pairs with."""
    import numpy as np

    for table, whose in ((items, "candidate"), (others, "baseline")):
        if "row_id" not in table.column_names:
            raise InputError(f"the {whose}'s items have no column 'row_id'")
    ours, theirs = items.column("row_id").to_pylist(), others.column("row_id").to_pylist()
    place: dict[bytes, list[int]] = {}
    for row, name in enumerate(theirs):
        place.setdefault(name, []).append(row)
    missing = [name for name in ours if not place.get(name)]
    if missing or len(ours) != len(theirs):
        only = len(set(theirs) - set(ours))
        raise InputError(
            f"the two scores are not of the same items: {len(ours)} and {len(theirs)}, "
            f"{len(missing)} only in the candidate, {only} only in the baseline",
            "score both models on the same part of the same data",
        )
    taken = {name: iter(rows) for name, rows in place.items()}  # equal rows pair in their order
    order = np.array([next(taken[name], -1) for name in ours])
    if (order < 0).any():
        raise InputError("the two scores are not of the same items: a row is repeated in one of them only")
    return order


def clusters_in(items: pa.Table) -> Any:
    """The cluster of each item, or None where items are independent.

    Raises:
        InputError: some items have a cluster and some have none.
    """
    import numpy as np

    missing = items.column("cluster").null_count if "cluster" in items.column_names else len(items)
    if missing == len(items):
        return None
    if missing:  # taken for independent they would make the interval too narrow
        raise InputError(
            f"{missing} of {len(items)} items have no 'cluster', the others have one",
            "give each item one, its own where it stands alone",
        )
    return np.asarray(items.column("cluster").to_pylist(), dtype=str)


def paired_items(items: pa.Table, others: pa.Table, metric: str) -> dict[str, Any]:
    """The two value columns in one order, and the weights and clusters that go with them."""
    import numpy as np

    for table, whose in ((items, "candidate"), (others, "baseline")):
        if metric not in table.column_names:
            raise InputError(f"the {whose}'s items have no columns 'row_id' and {metric!r}")
    order = order_of(items, others)
    data: dict[str, Any] = {
        "candidate": items.column(metric).to_numpy(),
        "baseline": others.column(metric).to_numpy()[order],
    }
    if (clusters := clusters_in(items)) is not None:
        data["clusters"] = clusters
    if "weight" in items.column_names:
        data["weights"] = items.column("weight").to_numpy()
    scored = ~np.isnan(data["candidate"])  # a score of a subset leaves the other items empty
    if (scored != ~np.isnan(data["baseline"])).any():
        raise InputError(f"{metric!r} leaves different items out in the candidate and in the baseline")
    return {name: values[scored] for name, values in data.items()}
