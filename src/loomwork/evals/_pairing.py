"""The items of two scores brought into one order, so that each is compared with itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loomwork.core.errors import InputError
from loomwork.core.score import Score

if TYPE_CHECKING:
    import pyarrow as pa

    from loomwork.core.dataset import Dataset
    from loomwork.stats.cluster import Floats
    from loomwork.stats.paired import Decision, Margin, Paired
    from loomwork.stats.paired_sums import Test
    from loomwork.stats.sums import Statistic

NAMED_BY = b"named_by"  # of the items' field row_id: the column of the data that names them, where one does


def same_system(candidate: Score, baseline: Score) -> bool:
    return candidate.model == baseline.model != "none" and candidate.settings == baseline.settings


def same_measurement(candidate: Score, baseline: Score) -> None:
    for what in ("data", "direction", "cluster_unit"):
        ours, theirs = getattr(candidate, what), getattr(baseline, what)
        if ours != theirs:
            hint = "score both models on the same data with the same settings"
            if what == "data":
                ours, theirs = ours[:12], theirs[:12]
                hint += "; evals.classification compares predictions of two files by id=COLUMN"
            raise InputError(
                f"{candidate.name!r} of the two was not measured alike: {what} is {ours} and {theirs}", hint
            )


def order_of(items: pa.Table, others: pa.Table) -> Any:
    """For each of the candidate's items the row of the baseline's that it pairs with."""
    import numpy as np

    for table, whose in ((items, "candidate"), (others, "baseline")):
        if "row_id" not in table.column_names:
            raise InputError(f"the {whose}'s items have no column 'row_id'")
    ours, theirs = items.column("row_id").to_pylist(), others.column("row_id").to_pylist()
    place: dict[bytes | str, list[int]] = {}
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


def named_by(items: pa.Table, column: str) -> pa.Table:
    """The items, whose `row_id` says that it is what stands in a column of the data: see `rows_by_name`."""
    place = items.schema.get_field_index("row_id")
    field = items.schema.field(place).with_metadata({NAMED_BY: column})
    return items.set_column(place, field, items.column(place))


def rows_by_name(items: pa.Table, data: Dataset, column: str) -> tuple[dict[Any, Any], list[Any]]:
    """A column of the data by what its rows are called in the items; and what each item is called.

    Items are called by the data's own row ids, or by a column of names. These hold in other files of the same items
    too, whose rows have other ids: their predictions are others.

    Raises:
        InputError: the data has not the column that names the items.
    """
    from loomwork.metrics.classification import class_name

    stated = (items.schema.field("row_id").metadata or {}).get(NAMED_BY)
    key = stated.decode() if stated else "row_id"
    data.require(key, column)
    rows: dict[Any, Any] = {}
    for table in data.tables(list(dict.fromkeys([key, column]))):
        names = table.column(key).to_pylist()
        values = table.column(column).to_pylist()
        rows.update(zip(map(class_name, names) if stated else names, values, strict=True))
    return rows, items.column("row_id").to_pylist()


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


@dataclass(frozen=True)
class Pairs:
    """The items that two scores have in common, in one order.

    Args:
        metric: the name of the scores.
        candidate, baseline: of each item its value, or where there is a `statistic` what it adds to the sums.
            # (n,) or (n, k)
        statistic: the metric of sums; None for a mean.
        weights, clusters: of the items, or None.  # (n,)
        missing: items without a value (not answered, or not in the clean subset) in the candidate only, in the baseline
            only, and in both.
    """

    metric: str
    candidate: Floats
    baseline: Floats
    statistic: Statistic | None
    weights: Any
    clusters: Any
    missing: tuple[int, int, int]

    def turned(self) -> Pairs:
        """The same with the two sides exchanged."""
        ours, theirs, both = self.missing
        return replace(self, candidate=self.baseline, baseline=self.candidate, missing=(theirs, ours, both))

    def values(self) -> tuple[float, float]:
        """What each side scores on these items."""
        if self.statistic is not None:
            return float(self.statistic(self.candidate.sum(axis=0))), float(self.statistic(self.baseline.sum(axis=0)))
        import numpy as np

        candidate, baseline = (np.average(x, weights=self.weights) for x in (self.candidate, self.baseline))
        return float(candidate), float(baseline)

    def decide(
        self, test: Test, margin: Margin, *, higher_is_better: bool, alpha: float, same_system: bool
    ) -> tuple[Paired, Decision]:
        """The difference, positive where the candidate is better, and what it says of a margin."""
        from loomwork.stats import paired
        from loomwork.stats.paired_sums import decide_sums

        turn = 1.0 if higher_is_better else -1.0
        options: dict[str, Any] = {"clusters": self.clusters, "alpha": alpha, "same_system": same_system}
        if (statistic := self.statistic) is not None:
            return decide_sums(
                self.candidate, self.baseline, lambda sums: turn * statistic(sums), margin, test, **options
            )
        sides = turn * self.candidate, turn * self.baseline
        options["weights"] = self.weights
        decision = paired.not_worse_than if test == "not worse than" else paired.better_than
        return paired.paired_difference(*sides, **options), decision(*sides, margin, **options)

    def left_out(self, candidate: str, baseline: str) -> str:
        """Which items were left out, in words, with names for the sides; "" where none were."""
        if not any(self.missing):
            return ""
        return (
            f"left out: {self.missing[0]:,} items without {self.metric} in {candidate}, "
            f"{self.missing[1]:,} in {baseline}, {self.missing[2]:,} in both"
        )


def paired_items(items: pa.Table, others: pa.Table, metric: str) -> Pairs:
    """The items of which both scores have a value.

    Raises:
        InputError: the items are not of the same rows, no item has a value in both, or they hold nothing of the metric.
    """
    import numpy as np

    from loomwork.evals._sums import has_items, item_values, no_items, part_of, sums_of

    for table, whose in ((items, "the candidate's"), (others, "the baseline's")):
        if not has_items(table, metric):
            raise no_items(metric, whose)
    order = order_of(items, others)
    sums = sums_of(items, metric), sums_of(others, metric)
    statistic = None
    if sums[0] is not None and sums[1] is not None:
        ours, theirs, statistic = sums[0][0], sums[1][0], sums[0][1]
    elif sums[0] is None and sums[1] is None:
        ours, theirs = item_values(items, metric), item_values(others, metric)
    else:
        whose = "baseline's" if sums[1] is None else "candidate's"
        raise InputError(
            f"the {whose} items have no column '{metric}:sums', which the other's have",
            "score both models with the same version of the step",
        )
    theirs = theirs[order]
    have, others_have = (~np.isnan(x).reshape(len(x), -1).any(axis=1) for x in (ours, theirs))
    meant = part_of(items, metric)[1] | part_of(others, metric)[1][order]
    both = have & others_have
    if not both.any():
        raise InputError(f"no item has {metric!r} in both the candidate and the baseline", "score both once more")
    clusters = clusters_in(items)
    weighted = statistic is None and "weight" in items.column_names
    return Pairs(
        metric,
        ours[both],
        theirs[both],
        statistic,
        items.column("weight").to_numpy()[both] if weighted else None,
        None if clusters is None else clusters[both],
        (int((others_have & ~have).sum()), int((have & ~others_have).sum()), int((meant & ~have & ~others_have).sum())),
    )
