"""Balancing of classes, sources or languages within one dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.ranges import Seed
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, refuse_idle, shard_tables
from loomwork.stats.mixture import apportion, mixture_shares

if TYPE_CHECKING:
    import numpy as np

WEIGHT = "weight"


@step(makes="dataset", uses=["numpy"])
def balance(
    data: Dataset,
    *,
    column: str,
    method: Literal["weights", "undersample", "oversample"] = "weights",
    shares: dict[str, Annotated[float, Gt(0)]] | None = None,
    temperature: Annotated[float, Gt(0)] | None = None,
    most_repeats: Annotated[int, Ge(1)] | None = None,
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Bring the values of a column to wanted shares: by weights, by leaving rows out, or by repeating rows.

    `weights` adds a column `weight`, share * rows / rows of the class, so that the mean weight is 1; train.classify
    reads it (weights: weight). `undersample` drops rows at random, as few as the shares allow. `oversample` repeats
    rows at random, as few as the shares allow; a repeated row keeps its id. Rows without a value are dropped; among
    weights they weigh 0.

    Args:
        data: rows with the column.
        column: the class, source or language of a row.
        method: how.
        shares: the wanted share of each value, up to a factor. None: they follow from `temperature`.
        temperature: shares proportional to count ** (1 / temperature); None makes all equal.
        most_repeats: with `oversample`, no row stands more often than this; a rare class may then stay below its share.
        seed: of the choice of rows.

    Raises:
        InputError: the column is missing or empty, or the shares do not fit its values; both shares and a
            temperature are given.

    Source: temperature, Arivazhagan et al. (2019); the use of a cap on repeats, Muennighoff et al. (2023), Scaling
    data-constrained language models (up to four epochs are nearly as good as new data).
    """
    import numpy as np

    if shares is not None:
        refuse_idle("shares say how much there is of each value", "leave one of the two out", temperature=temperature)
    data.require_rows()
    data.require(column)
    if most_repeats is not None and method != "oversample":
        raise InputError(f"most_repeats is {most_repeats}: it needs method: oversample", f"method is {method}")
    sizes = [len(table) for table in data.tables(["row_id"])]
    classes = [None if v is None else str(v) for t in data.tables([column]) for v in t.column(column).to_pylist()]
    names = sorted({c for c in classes if c is not None})
    if not names:
        raise InputError(f"column {column!r} holds no value", "balance by a column that every row has")
    number = {name: i for i, name in enumerate(names)}
    class_of = np.array([number.get(c, -1) if c is not None else -1 for c in classes])  # (rows,)
    counts = {name: int((class_of == i).sum()) for name, i in number.items()}
    try:
        wanted = mixture_shares(counts, weights=shares, temperature=temperature)
    except ValueError as error:
        raise InputError(f"{column!r} cannot be balanced: {error}") from None
    with DatasetWriter(out) as writer:
        if method == "weights":
            _weigh(data, writer, class_of, sizes, [wanted[n] / counts[n] for n in names])
            after = counts
        else:
            after = _targets(counts, wanted, method, most_repeats)
            times = _times(class_of, [after[n] for n in names], np.random.default_rng(seed))
            _repeat(data, writer, class_of, times, [f"undersampled: {column} {n}" for n in names])
    total = sum(after.values())
    return counted(writer, classes=len(names), smallest_share=min(after.values()) / total)


def _targets(
    counts: Mapping[str, int], wanted: Mapping[str, float], method: str, most_repeats: int | None
) -> dict[str, int]:
    """How many rows of each class the result has."""
    if method == "undersample":
        total = min(counts[n] / wanted[n] for n in counts)
        return {n: max(1, min(k, counts[n])) for n, k in apportion(wanted, int(total + 1e-6)).items()}
    total = max(counts[n] / wanted[n] for n in counts)
    most = {n: counts[n] * most_repeats if most_repeats else None for n in counts}
    full = {n: max(k, counts[n]) for n, k in apportion(wanted, round(total)).items()}
    return {n: k if (limit := most[n]) is None else min(k, limit) for n, k in full.items()}


def _times(class_of: np.ndarray, targets: list[int], order: np.random.Generator) -> np.ndarray:
    """How often each row stands in the result, int64 (rows,): equally often within a class, but for the remainder."""
    import numpy as np

    times = np.zeros(class_of.size, np.int64)
    for i, target in enumerate(targets):
        rows = order.permutation(np.flatnonzero(class_of == i))
        times[rows] = target // rows.size
        times[rows[: target % rows.size]] += 1
    return times


def _repeat(data: Dataset, writer: DatasetWriter, class_of: np.ndarray, times: np.ndarray, reasons: list[str]) -> None:
    import numpy as np
    import pyarrow as pa

    start = 0
    for _, table in shard_tables(data):
        span = slice(start, start + len(table))
        writer.carry(table.take(pa.array(np.repeat(np.arange(len(table)), times[span]))))
        gone = np.flatnonzero(times[span] == 0)
        why = [reasons[c] if c >= 0 else "no value" for c in class_of[span][gone]]
        writer.drop(table.take(pa.array(gone)), why)
        start += len(table)


def _weigh(
    data: Dataset, writer: DatasetWriter, class_of: np.ndarray, sizes: list[int], share_per_row: list[float]
) -> None:
    import numpy as np
    import pyarrow as pa

    rows = int((class_of >= 0).sum())
    of_class: Any = np.array([*share_per_row, 0.0]) * rows  # the last one is for class -1, rows without a value
    start = 0
    for shard, size in zip(data.shards(), sizes, strict=True):
        mine = class_of[start : start + size]
        columns = pa.table({WEIGHT: pa.array(of_class[mine], pa.float64())})
        writer.extend(shard, columns, WEIGHT)
        start += size
