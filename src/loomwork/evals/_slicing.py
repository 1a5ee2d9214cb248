"""Items put into slices: by a column, by the language or the length of a text."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.evals._pairing import rows_by_name

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("text", "question", "query", "source", "passage", "document")  # whose length and language count
INSTEAD = ("references", "reference", "tokens")  # where there is none of these
LENGTH, LANGUAGE = "length", "language"
MOST_VALUES = 50
OTHER = "(other)"


def slice_labels(items: pa.Table, data: Dataset | None, by: Sequence[str], bins: int) -> dict[str, list[str | None]]:
    """The slice of each item, for each column; None where the item has no value.

    Args:
        items: of a scores artifact, with `row_id`.
        data: the rows that were scored, for columns that the items lack.
        by: columns of either. "language" and "length" (in characters) are made from a text where there is no such
            column; of a source that is not known the first reference stands for it.
        bins: into how many parts of equal size numbers are cut, where there are more different ones.

    Raises:
        InputError: there is no such column, or the items are not rows of the data.
    """
    columns = _columns(items, data, by)
    return {name: _cut(values, bins) for name, values in columns.items()}


def _columns(items: pa.Table, data: Dataset | None, by: Sequence[str]) -> dict[str, list[Any]]:
    have = list(items.column_names) + (data.schema.names if data is not None and data.shards() else [])
    text = next((name for name in (*TEXTS, *INSTEAD) if name in have), None)
    wanted: dict[str, str] = {}
    for name in by:
        if name in have:
            wanted[name] = name
        elif name in (LENGTH, LANGUAGE) and text is not None:
            wanted[name] = text
        else:
            hint = did_you_mean(name, have) if data is not None else "give the rows that were scored as `data`"
            raise InputError(f"there is no column {name!r} to slice by", hint)
    found = {name: _values(items, data, column) for name, column in wanted.items()}
    for name, column in wanted.items():
        if name == column:
            continue
        shown = [_as_text(column, v) for v in found[name]]
        if name == LENGTH:
            found[name] = [None if text is None else len(text) for text in shown]
        else:
            from loomwork.text.language import identify

            found[name] = list(identify(shown).codes)
    return found


def _as_text(column: str, value: Any) -> str | None:
    """What is measured of a value: of several references the first, of tokens all."""
    if isinstance(value, list):
        value = (" ".join(map(str, value)) or None) if column == "tokens" else next(iter(value), None)
    return None if value is None else str(value)


def _values(items: pa.Table, data: Dataset | None, column: str) -> list[Any]:
    """A column of the items, or of the rows that they are of."""
    if column in items.column_names:
        return list(items.column(column).to_pylist())
    assert data is not None
    rows, names = rows_by_name(items, data, column)
    missing = sum(name not in rows for name in names)
    if missing:
        raise InputError(
            f"{missing} of {len(names)} items are no rows of `data`", "give the very dataset, and part, that was scored"
        )
    return [rows[name] for name in names]


def _cut(values: list[Any], bins: int) -> list[str | None]:
    """Values as names of slices: numbers in parts of equal size, the many rare ones of text as one."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values if v is not None)
    if numbers and len({v for v in values if v is not None}) > bins:
        return _quantiles(values, bins)
    texts = [None if v is None else str(v) for v in values]
    common = [name for name, _ in Counter(t for t in texts if t is not None).most_common(MOST_VALUES)]
    return [None if t is None else t if t in common else OTHER for t in texts]


def _quantiles(values: list[Any], bins: int) -> list[str | None]:
    import numpy as np

    known = np.array([v for v in values if v is not None], dtype=np.float64)
    edges = np.unique(np.quantile(known[np.isfinite(known)], np.linspace(0, 1, bins + 1)))
    shown = [f"{edge:.6g}" for edge in edges]
    if len(edges) < 3:
        return [None if v is None else shown[0] for v in values]
    names = [f"{low} to {high}" for low, high in itertools.pairwise(shown)]
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    place = np.clip(np.searchsorted(edges, numbers, "right") - 1, 0, None)
    return [
        None if v is None or not np.isfinite(v) else names[min(int(p), len(names) - 1)]
        for v, p in zip(values, place, strict=True)
    ]
