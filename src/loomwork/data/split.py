"""Splitting a dataset into `train`, `validation` and `holdout`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.ranges import Seed
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text, shard_tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FAR = 0.2  # of a part's share, that is worth a note
TRAIN, VALIDATION, HOLDOUT = "train", "validation", "holdout"


def _parts(settings: Mapping[str, Any]) -> list[str]:
    return [TRAIN, HOLDOUT, *([VALIDATION] if settings.get("validation") else [])]


@step(makes="dataset", uses=["numpy", "scipy"], parts=_parts)
def split(
    data: Dataset,
    *,
    holdout: Annotated[float, Gt(0), Lt(1)] = 0.1,
    validation: Annotated[float, Ge(0), Lt(1)] = 0.0,
    group: str | None = None,
    largest_group: Annotated[float, Gt(0), Le(1)] | None = None,
    stratify: str | None = None,
    time: str | None = None,
    disjoint_words: Annotated[int, Ge(2)] | None = None,
    column: str = "text",
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Split rows into the parts `train` and `holdout`, and `validation` where asked; rows and ids stay as they are.

    At random; or with `group` by whole groups; or with `stratify` so that every value has its share in every part;
    or with both; or with `time` so that the latest rows are the holdout, and those just before them the validation
    part. With `disjoint_words` rows that share a run of so many words, directly or in a chain, are a group too, so
    that no held-out text stands in the training part. Groups are drawn in random order until a part has its share,
    and one so large that it would take the part beyond 1.5 times its share is passed over.

    Args:
        data: the rows to split.
        holdout: the share of rows that is held out, between 0 and 1.
        validation: the share of rows for choosing settings; 0 for none.
        group: a column; rows that agree in it are not separated.
        largest_group: the largest share of the holdout that one group may be, so that a score by group rests on many
            of them; larger groups stay in `train`.
        stratify: a column, such as the label; its values keep their shares in all parts.
        time: a column of dates, times or numbers; rows of one time are not separated.
        disjoint_words: the length of a run of words that no two parts share, without case and punctuation; 8 or 13
            are usual; needs Numba.
        column: the text column, for `disjoint_words`.
        seed: of the random order.

    Raises:
        InputError: a part would be empty, or settings do not go together.
        MissingDependency: `disjoint_words` is given and Numba is not installed.
    """
    import numpy as np

    data.require_rows()
    _check(data, holdout, validation, group, largest_group, stratify, time, disjoint_words)
    order = np.random.default_rng(seed)
    rows = len(data)
    groups = _numbered(data, group) if group else None
    if disjoint_words:
        require_text(data, column)
        groups = _sharing(data, column, disjoint_words, groups, out)
    strata = _numbered(data, stratify) if stratify else None
    times = _times(data, time) if time else None
    part_of = np.zeros(rows, np.int8)  # 0 train, 1 validation, 2 holdout
    for number, share in ((2, holdout), (1, validation)):
        left = np.flatnonzero(part_of == 0)
        if share and left.size:
            g, s, t = (None if a is None else a[left] for a in (groups, strata, times))
            held = _held(left.size, min(1.0, share * rows / left.size), g, s, t, largest_group, order)
            part_of[left[held]] = number
    names = {0: TRAIN, 2: HOLDOUT} | ({1: VALIDATION} if validation else {})
    for number, name in names.items():
        if not (part_of == number).any():
            by = "".join(f" by {c!r}" for c in (group, stratify, time) if c)
            by += f" by shared runs of {disjoint_words} words" if disjoint_words else ""
            raise InputError(
                f"holdout={holdout}, validation={validation} of {rows} rows{by} leaves {name} empty",
                "take another share, or a column with more and smaller groups",
            )
    start = 0
    with DatasetWriter(out) as writer:
        for _, table in shard_tables(data):
            mine = part_of[start : start + len(table)]
            for number in sorted(names):
                if (mine == number).any():
                    writer.carry(table.filter(mine == number), part=names[number])
            start += len(table)
    found = {} if groups is None else {"groups": float(groups.max() + 1)}
    shares = found | {f"{name}_share": float((part_of == number).mean()) for number, name in names.items() if number}
    card = counted(writer, **shares)
    for name, wanted in ((HOLDOUT, holdout), (VALIDATION, validation)):
        found_share = shares.get(f"{name}_share", wanted)
        if abs(found_share - wanted) > FAR * wanted and rows * wanted >= 1:
            kept = group or stratify or time or f"runs of {disjoint_words} words"
            card.notes.append(
                f"{name} holds {found_share:.1%} of the rows, where {wanted:.1%} was asked: {kept} has large groups"
            )
    return card


def _check(
    data: Dataset,
    holdout: float,
    validation: float,
    group: str | None,
    largest_group: float | None,
    stratify: str | None,
    time: str | None,
    disjoint_words: int | None,
) -> None:
    if validation >= 1 - holdout:
        raise InputError(f"holdout is {holdout} and validation is {validation}: they leave no rows to train on")
    if largest_group is not None and not (group or disjoint_words):
        raise InputError(f"largest_group is {largest_group}, and it needs a `group` or `disjoint_words`")
    if time and (group or stratify or disjoint_words):
        raise InputError("a split by time takes the latest rows: it cannot also keep groups or strata")
    data.require(*(c for c in (group, stratify, time) if c))


def _held(
    rows: int,
    share: float,
    groups: np.ndarray | None,
    strata: np.ndarray | None,
    times: np.ndarray | None,
    largest: float | None,
    order: np.random.Generator,
) -> np.ndarray:
    """Which of the rows are held out, bool (rows,)."""
    from loomwork.stats.partition import hold_groups, hold_latest, hold_random, hold_strata

    if times is not None:
        return hold_latest(times, share)
    if groups is not None:
        return hold_groups(groups, share, order, largest=largest, stratum_of=strata)
    return hold_random(rows, share, order) if strata is None else hold_strata(strata, share, order)


def _numbered(data: Dataset, column: str) -> np.ndarray:
    """Each row's value as a number, in order of the values' spelling: a moved row does not move its group."""
    import numpy as np

    values = [repr(v) for table in data.tables([column]) for v in table.column(column).to_pylist()]
    number = {name: i for i, name in enumerate(sorted(set(values)))}
    return np.array([number[v] for v in values])


def _sharing(data: Dataset, column: str, words: int, groups: np.ndarray | None, folder: Path) -> np.ndarray:
    """Each row's group: rows that share a run of words, and those that a group has already, are joined."""
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    from loomwork.data._runs import Runs, require_kernels

    require_kernels("data.split with disjoint_words")
    runs = Runs(data, column, words, folder)
    edges = [] if groups is None else [np.stack([np.arange(groups.size), groups + groups.size])]
    try:
        row_of = np.repeat(np.arange(runs.row_sizes.size), runs.row_sizes)  # of each word
        for places, first in runs.groups():
            owners = row_of[places[first]][np.cumsum(first) - 1]  # the row where each run stands first
            edges.append(np.unique(np.stack([row_of[places], owners]), axis=1))
    finally:
        runs.close()
    nodes = runs.row_sizes.size + (0 if groups is None else int(groups.max()) + 1)
    joined = np.concatenate([np.empty((2, 0), np.int64), *edges], axis=1)
    graph = csr_array((np.ones(joined.shape[1], np.int8), (joined[0], joined[1])), shape=(nodes, nodes))
    labels: np.ndarray = connected_components(graph, directed=False)[1][: runs.row_sizes.size]
    return np.unique(labels, return_inverse=True)[1]


def _times(data: Dataset, column: str) -> np.ndarray:
    """Each row's time, as Arrow sorts it.

    Raises:
        InputError: a row has none, or the column holds what has no order, or text that is not ISO 8601.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values = pa.chunked_array([c for t in data.tables([column]) for c in t.column(column).chunks])
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = _parsed(values)
        if values.null_count or (pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py()):
            raise InputError(f"{values.null_count} rows have no {column!r}", "filter them out before a split by time")
        ranks: np.ndarray = pc.rank(values, tiebreaker="min").to_numpy()
    except pa.ArrowException as error:
        raise InputError(f"column {column!r} cannot be put in order of time: {error}") from None
    return ranks


def _parsed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of texts in ISO 8601; one without a zone is taken as UTC."""
    import pyarrow as pa

    moments = {}
    for text in values.unique().to_pylist():
        try:
            moment = None if text is None else datetime.fromisoformat(text.strip())
        except ValueError:
            raise InputError(f"{text!r} is no time", "write times in ISO 8601, as in 2026-11-21T08:00:00Z") from None
        moments[text] = moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
    return pa.chunked_array([pa.array([moments[v] for v in values.to_pylist()], pa.timestamp("us", "UTC"))])
