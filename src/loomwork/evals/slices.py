"""A score in slices: by language, length, label, source, or any column."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, MinLen

from loomwork.core.artifact import digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level
from loomwork.core.score import Score, Scores, write_scores
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True)
class Slice:
    """One slice of a score.

    Args:
        by, value: the column, and what the items of the slice have in it.
        score: of these items.
        difference: from the rest of the items, positive where the slice is better.
        p_value: two-sided, of "it is as the rest"; `adjusted` over all slices of the score (Holm).
        method: of the test.
    """

    by: str
    value: str
    score: Score
    difference: float
    p_value: float
    adjusted: float
    method: str


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"])
def slices(
    scores: Scores,
    data: Dataset | None = None,
    *,
    by: Annotated[list[str], MinLen(1)],
    metric: str = "",
    bins: Annotated[int, Ge(2)] = 4,
    least: Annotated[int, Ge(2)] = 10,
    alpha: Level = 0.05,
    out: Path,
) -> Card:
    """Give a score for every slice of its items, each tested against the rest, and name the worst.

    Slices of one score are many looks at one sample: p-values are adjusted by Holm's method, so that at most alpha of
    all samples in which no slice differs show one that seems to. The scores are called "acc [label=yes]".

    Args:
        scores: of any step that keeps its items.
        data: the rows that were scored, for columns that the items lack.
        by: columns. "length" (in characters) and "language" are made from the text where there is no such column.
        metric: which score; "" takes the first.
        bins: into how many slices of equal size numbers are cut.
        least: slices of fewer items are left out, and counted.
        alpha: of what is called different.

    Raises:
        InputError: there is no such column or score, or no slice has enough items.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.evals._slicing import slice_labels
    from loomwork.evals._sums import item_values

    base, items = scores.score(metric), scores.items()
    labels = slice_labels(items, data, by, bins)
    found, small = sliced(base, items, labels, least)
    if not found:
        raise InputError(f"no slice has {least} items", "slice by something coarser, or lower `least`")
    stated = digest({"of": base.settings, "by": by, "bins": bins, "least": least})
    made = [replace(s.score, settings=stated) for s in found]
    for name, column in labels.items():
        items = _with_labels(items, f"slice: {name}", column)
    values = item_values(items, base.name)
    for s in found:
        inside = np.array([v == s.value for v in labels[s.by]])
        items = items.append_column(s.score.name, pa.array(np.where(inside, values, np.nan), from_pandas=True))
    told = [{**asdict(s), "score": s.score.name} for s in found]
    write_scores(out, made, items, {"slices": told, "left_out": small})
    notes = [in_words(base, found, alpha)]
    if small:
        notes.append(f"{small} slices of fewer than {least} items are left out")
    return Card(metrics={"slices": len(found), "slices_too_small": small}, scores=made, notes=notes)


def sliced(base: Score, items: pa.Table, labels: dict[str, list[str | None]], least: int) -> tuple[list[Slice], int]:
    """All slices of a score, the worst first, and how many were too small.

    Args:
        base: the score of all items.
        items: with the column of the score, or of its sums.
        labels: for each column the slice of each item.
        least: the fewest items of a slice.
    """
    import numpy as np

    from loomwork.evals._mean_score import Provenance
    from loomwork.evals._pairing import clusters_in
    from loomwork.stats.apart import apart
    from loomwork.stats.multiple import holm

    sums, statistic, values = _statistics(base, items)
    clusters = clusters_in(items)
    scored = ~np.isnan(values)
    given = Provenance(
        data=base.data,
        model=base.model,
        settings=base.settings,
        cluster_unit=base.cluster_unit,
        clusters=None if clusters is None else clusters.tolist(),
        contamination=base.contamination,
        note=base.contamination_note,
        level=base.interval.level,
        seed=base.seed or 0,
    )
    turn = 1.0 if base.direction == "higher is better" else -1.0
    found, small = [], 0
    for by, column in labels.items():
        names = np.array([v if v is not None else "\0" for v in column], dtype=object)
        for value in dict.fromkeys(v for v in column if v is not None):
            inside = scored & (names == value)
            kept = given.only(inside)
            if inside.sum() < least or kept.units(int(inside.sum())) < 2:
                small += 1
                continue
            if (scored & ~inside).sum() < 2:  # one slice holds everything
                continue
            score = _score(base, f"{base.name} [{by}={value}]", sums, statistic, values, inside, kept)
            labels_here = None if clusters is None else clusters[scored]
            test = apart(sums[scored], inside[scored], statistic, clusters=labels_here, seed=given.seed)
            found.append(Slice(by, value, score, turn * test.difference, test.p_value, 1.0, test.method))
    adjusted = holm([s.p_value for s in found])
    told = [replace(s, adjusted=p) for s, p in zip(found, adjusted, strict=True)]
    return sorted(told, key=lambda s: turn * s.score.value), small


def in_words(base: Score, found: list[Slice], alpha: float) -> str:
    """The worst slice, and what the test says of it."""
    worst = found[0]
    told = f"worst slice of {base.name}: {worst.by}={worst.value}, {worst.score} over {worst.score.n} items"
    told += f", {worst.difference:+.4f} from the rest (plus is better)"
    if worst.adjusted <= alpha:
        return f"{told}; that is more than chance: p = {worst.adjusted:.3g}, adjusted over {len(found)} slices"
    return f"{told}; chance may do that: p = {worst.adjusted:.3g}, adjusted over {len(found)} slices"


def _statistics(base: Score, items: pa.Table) -> tuple[npt.NDArray[np.float64], Any, npt.NDArray[np.float64]]:
    """Sums of each item, the metric of sums, and the items' own values."""
    import numpy as np

    from loomwork.evals._sums import item_values, sums_of
    from loomwork.stats.apart import mean_of_sums

    values = item_values(items, base.name)
    given = sums_of(items, base.name)
    if given is not None:
        return given[0], given[1], values
    weights = np.ones(len(values))
    if "weight" in items.column_names:
        weights = np.asarray(items.column("weight").to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.stack([np.nan_to_num(values) * weights, weights], axis=1), mean_of_sums, values


def _score(
    base: Score,
    name: str,
    sums: npt.NDArray[np.float64],
    statistic: Any,
    values: npt.NDArray[np.float64],
    inside: npt.NDArray[np.bool_],
    given: Any,
) -> Score:
    """The score of the items inside, by the method that fits them."""
    import numpy as np

    from loomwork.evals._mean_score import mean_score, sums_score
    from loomwork.stats.apart import mean_of_sums
    from loomwork.stats.interval import choose_interval

    if statistic is not mean_of_sums:
        return sums_score(name, sums[inside], statistic, base.unit, base.direction, given, (-np.inf, np.inf))
    within = (min(0.0, float(np.nanmin(values))), max(1.0, float(np.nanmax(values))))
    weights = sums[inside, 1]
    if np.ptp(weights) == 0:
        return mean_score(name, values[inside], base.unit, base.direction, given, within)
    chosen = choose_interval(
        values[inside], weights=weights, clusters=given.clusters, level=given.level, seed=given.seed, within=within
    )
    size = int(inside.sum())
    return given.score(name, chosen.value, chosen.interval, base.unit, base.direction, size)  # type: ignore[no-any-return]


def _with_labels(items: pa.Table, name: str, column: list[str | None]) -> pa.Table:
    import pyarrow as pa

    return items.append_column(name, pa.array(column, pa.string()))
