"""Statistics of a column, gathered shard by shard."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.stats.sketches import DistinctSample

if TYPE_CHECKING:
    import polars as pl

DISTINCT_KEPT = 1 << 16  # hashes of a column that are held; above it the number of values is an estimate
BARS = 24  # of a column's histogram
SHOWN_VALUES = 8


class ColumnTally:
    """Counts of one column over all rows; of numbers also their range, mean and spread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.types: set[str] = set()
        self.rows = self.nulls = self.not_finite = self.numbers = 0
        self.low: Any = None
        self.high: Any = None
        self.mean = self.squares = 0.0  # squares: the sum of squared distances from the mean
        self.values: DistinctSample | None = DistinctSample(DISTINCT_KEPT)

    def add(self, series: pl.Series) -> None:
        """Count a shard's values."""
        from loomwork.text.lexical import scatter_bits

        self.types.add(str(series.dtype))
        self.rows += len(series)
        self.nulls += series.null_count()
        known = series.drop_nulls()
        if series.dtype.is_nested():
            self.values = None
        elif self.values is not None:
            self.values.add(scatter_bits(known.hash().to_numpy()))
        if series.dtype.is_numeric():
            self._add_numbers(known)
        elif series.dtype.is_temporal() and len(known):
            low, high = known.min(), known.max()
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)

    def _add_numbers(self, known: pl.Series) -> None:
        x = known.cast(float).to_numpy()
        finite = x[np.isfinite(x)]
        self.not_finite += x.size - finite.size
        if finite.size == 0:
            return
        self.low = min(float(finite.min()), np.inf if self.low is None else self.low)
        self.high = max(float(finite.max()), -np.inf if self.high is None else self.high)
        mean, total = float(finite.mean()), self.numbers + finite.size
        apart = mean - self.mean
        self.squares += float(((finite - mean) ** 2).sum()) + apart * apart * self.numbers * finite.size / total
        self.mean += apart * finite.size / total
        self.numbers = total

    def to_json(self, sample: pl.Series | None) -> dict[str, Any]:
        """All that is known of the column.

        Args:
            sample: values of some rows, for the histogram and the frequent values; None for a nested column.
        """
        found: dict[str, Any] = {"type": " or ".join(sorted(self.types)), "rows": self.rows, "nulls": self.nulls}
        if self.values is not None:
            found["distinct"] = self.values.distinct
            found["distinct_is_exact"] = self.values.exact
        if self.not_finite:
            found["not_finite"] = self.not_finite
        if self.numbers:
            found |= {"low": self.low, "high": self.high, "mean": self.mean}
            found["standard_deviation"] = (self.squares / max(1, self.numbers - 1)) ** 0.5
        elif self.low is not None:
            found |= {"low": str(self.low), "high": str(self.high)}
        if sample is not None:
            found |= _of_sample(sample.drop_nulls(), bool(self.numbers), self.low, self.high)
        return found


def _of_sample(sample: pl.Series, numbers: bool, low: Any, high: Any) -> dict[str, Any]:
    """A histogram of numbers that have many values; else the most frequent values."""
    if numbers and sample.n_unique() > SHOWN_VALUES and high > low:
        x = sample.cast(float).to_numpy()
        x = x[np.isfinite(x)]
        edges = np.linspace(low, high, BARS + 1)
        median = {"median": float(np.median(x))} if x.size else {}
        return median | {"histogram": {"edges": edges.tolist(), "counts": np.histogram(x, edges)[0].tolist()}}
    if len(sample) == 0:
        return {}
    counts = sorted(Counter(map(str, sample.to_list())).items(), key=lambda pair: (-pair[1], pair[0]))
    if counts[0][1] == 1:
        return {}  # nothing comes twice: no value is frequent
    return {"frequent": [[value[:80], n] for value, n in counts[:SHOWN_VALUES]], "frequent_of": len(sample)}
