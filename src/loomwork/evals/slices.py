"""A score in slices: by language, length, label, source, or any column."""

from __future__ import annotations

from collections import Counter
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
        clean: the score of those items that were not found in the training data, where others of the slice were.
    """

    by: str
    value: str
    score: Score
    difference: float
    p_value: float
    adjusted: float
    method: str
    clean: Score | None = None


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
        by: columns. "length" (in characters) and "language" are made from the text where there is no such column: of a
            translation from the source where the files have it, else from the first reference.
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
    values = item_values(items, base.name)
    told = told_of(labels, ~np.isnan(values))
    if not found:
        what = [f"no slice has {enough(base, least)}: those of {small} values have less"] if small else []
        raise InputError(
            "; ".join([*what, *told]), "slice by another column, lower `least`, or score with finer clusters"
        )
    settings = {"of": base.settings, "by": by, "bins": bins, "least": least}
    stated = digest(settings)
    made = [replace(one, settings=stated) for s in found for one in (s.score, s.clean) if one is not None]
    for name, column in labels.items():
        items = _with_labels(items, f"slice: {name}", column)
    for s in found:
        inside = np.array([v == s.value for v in labels[s.by]])
        items = items.append_column(s.score.name, pa.array(np.where(inside, values, np.nan), from_pandas=True))
    rows = [{**asdict(s), "score": s.score.name, "clean": s.clean and s.clean.name} for s in found]
    write_scores(out, made, items, {"settings": settings, "slices": rows, "left_out": small})
    notes = [in_words(base, found, alpha), *told]
    if small:
        notes.append(f"{small} slices without {enough(base, least)} are left out")
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

    from loomwork.evals._contamination import CLEAN, of_some
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
            if inside.sum() < least or given.only(inside).units(int(inside.sum())) < 2:
                small += 1
                continue
            if (scored & ~inside).sum() < 2:  # one slice holds everything
                continue
            mine, clean = of_some(items, inside, given)
            name = f"{base.name} [{by}={value}]"
            score = _score(base, name, sums, statistic, values, inside, mine.only(inside))
            rest = (
                clean if clean is None else _score(base, name + CLEAN, sums, statistic, values, clean, mine.only(clean))
            )
            labels_here = None if clusters is None else clusters[scored]
            test = apart(sums[scored], inside[scored], statistic, clusters=labels_here, seed=given.seed)
            found.append(Slice(by, value, score, turn * test.difference, test.p_value, 1.0, test.method, rest))
    adjusted = holm([s.p_value for s in found])
    told = [replace(s, adjusted=p) for s, p in zip(found, adjusted, strict=True)]
    return sorted(told, key=lambda s: turn * s.score.value), small


def enough(base: Score, least: int) -> str:
    """What a slice must have, in words."""
    return f"{least} items" + (f" in two clusters ({base.cluster_unit})" if base.n_clusters < base.n else "")


def told_of(labels: dict[str, list[str | None]], scored: npt.NDArray[np.bool_]) -> list[str]:
    """What the slices do not show: columns that have one value in all scored items, and items without a value."""
    told = []
    for by, column in labels.items():
        here = [value for value, counts in zip(column, scored.tolist(), strict=True) if counts]
        sizes = Counter(value for value in here if value is not None)
        value, most = next(iter(sizes.most_common(1)), (None, 0))
        if not most:
            told.append(f"{by}: none of {len(here)} items has a value")
        elif len(here) - most < 2:
            but = "" if most == len(here) else " but one"
            told.append(f"{by}: all {len(here)} items{but} are {value}, so there is nothing to compare them with")
        if most and (missing := len(here) - sizes.total()):
            told.append(f"{by}: {missing} of {len(here)} items have no value, and are in no slice")
    return told


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
