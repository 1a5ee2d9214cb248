"""The items of a comparison, by which of the systems does better on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset
from loomwork.core.score import Scores
from loomwork.evals._pairing import order_of, rows_by_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

TEXTS = ("question", "text", "query", "source")
ANSWERS = ("answer", "prediction")
TARGETS = ("target", "label", "gold", "reference", "answers")
SHOWN_CHARACTERS = 400


def browsed(
    scores: Mapping[str, Scores], items: Mapping[str, pa.Table], data: Dataset | None, metric: str, examples: int
) -> dict[str, Any]:
    """Items on which a system does better or worse than the first, the largest differences first; those on which all
    are alike; and those that some system has no value of. Where two differ, one of them differs from the first, so
    that with many systems an item may stand in several groups."""
    import numpy as np

    from loomwork.evals._sums import item_values

    names = list(scores)
    base, shown = names[0], items[names[0]]
    orders = {n: order_of(shown, items[n]) if n != base else np.arange(len(shown)) for n in names}
    values = {n: item_values(items[n], metric)[orders[n]] for n in names}
    turn = 1.0 if scores[base].score(metric).direction == "higher is better" else -1.0
    kinds: dict[str, npt.NDArray[np.intp]] = {}
    for name in names[1:]:
        gain = turn * (values[name] - values[base])
        for ours, theirs, more in ((name, base, gain), (base, name, -gain)):
            better = np.flatnonzero(more > 0)
            kinds[f"{ours} does better than {theirs}"] = better[np.argsort(-more[better], kind="stable")]
    every = np.stack(list(values.values()))  # (systems, items)
    kinds["all alike" if len(names) > 2 else "both alike"] = np.flatnonzero((every == every[0]).all(axis=0))
    if np.isnan(every).any():
        kinds["not answered by all"] = np.flatnonzero(np.isnan(every).any(axis=0))
    texts = _texts(shown, data)
    said = {n: _strings(items[n], ANSWERS, orders[n]) for n in names}
    wanted = _strings(shown, TARGETS, orders[base])
    ids = _ids(shown)
    groups = {
        kind: [
            {
                "row_id": ids[i],
                "text": texts[i],
                "target": wanted[i],
                "answers": {n: said[n][i] for n in names},
                "values": {n: float(values[n][i]) if np.isfinite(values[n][i]) else None for n in names},
            }
            for i in rows[:examples].tolist()
        ]
        for kind, rows in kinds.items()
    }
    return {"metric": metric, "counts": {kind: len(rows) for kind, rows in kinds.items()}, "groups": groups}


def _ids(items: pa.Table) -> list[str]:
    """The rows' names: the hash of a dataset's row, or what a file calls its item."""
    return [i.hex() if isinstance(i, bytes) else str(i) for i in items.column("row_id").to_pylist()]


def _texts(items: pa.Table, data: Dataset | None) -> list[str]:
    """What each item is, for people: a text of the items, or of the rows that they are of."""
    column = next((c for c in TEXTS if c in items.column_names), None)
    if column is not None:
        return [_short(v) for v in items.column(column).to_pylist()]
    if data is not None and (column := next((c for c in TEXTS if c in data.schema.names), None)):
        rows, names = rows_by_name(items, data, column)
        return [_short(rows.get(name)) for name in names]
    return [name[:12] for name in _ids(items)]


def _strings(items: pa.Table, columns: Sequence[str], order: npt.NDArray[np.int64]) -> list[str]:
    column = next((c for c in columns if c in items.column_names), None)
    if column is None:
        return [""] * len(items)
    values = items.column(column).to_pylist()
    return [_short(values[i]) for i in order.tolist()]


def _short(value: Any) -> str:
    """The end of a text: a question's examples stand before it."""
    value = "; ".join(dict.fromkeys(map(str, value))) if isinstance(value, list) else value
    text = "" if value is None else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else "…" + text[1 - SHOWN_CHARACTERS :]
