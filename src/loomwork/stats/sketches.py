"""What can be said of a stream of numbers in bounded memory: its quantiles, and how many different ones it has."""

from __future__ import annotations

import math

import numpy as np

WIDTH = math.log(1.01)  # of a bin, on the scale log(1 + x)


class LogHistogram:
    """Counts of whole numbers from 0, in bins one hundredth wide: below about 100 each number has its own.

    `total` numbers were added, their sum is `sum`, the least and largest `low` and `high` (exact).
    """

    def __init__(self) -> None:
        self.counts = np.zeros(0, np.int64)  # (bins,)
        self.total, self.sum, self.low, self.high = 0, 0, 0, 0

    def add(self, values: np.ndarray) -> None:
        """Add numbers, 0 or more.  # (n,)"""
        if values.size == 0:
            return
        low, high = int(values.min()), int(values.max())
        self.low, self.high = (min(self.low, low), max(self.high, high)) if self.total else (low, high)
        new = np.bincount(_bin(values))
        size = max(new.size, self.counts.size)
        self.counts = np.pad(self.counts, (0, size - self.counts.size)) + np.pad(new, (0, size - new.size))
        self.total += values.size
        self.sum += int(values.sum(dtype=np.int64))

    @property
    def mean(self) -> float:
        return self.sum / self.total if self.total else 0.0

    def quantile(self, share: float) -> int:
        """The smallest number that at least this share of the numbers does not exceed, within 1 %."""
        if not self.total:
            return 0
        place = int(np.searchsorted(np.cumsum(self.counts), share * self.total - 1e-9))
        return min(max(int(_largest(np.array([place]))[0]), self.low), self.high)

    def bars(self, edges: np.ndarray) -> np.ndarray:
        """Counts between edges, the last one included: a bin counts where its largest number lies.  # (edges - 1,)"""
        largest = np.clip(_largest(np.arange(self.counts.size)), self.low, self.high)
        return np.histogram(largest, bins=edges, weights=self.counts)[0].astype(np.int64)


def _largest(bins: np.ndarray) -> np.ndarray:
    """The largest whole number of each bin."""
    return np.floor(np.expm1((bins + 1) * WIDTH) - 1e-9)


def _bin(values: np.ndarray) -> np.ndarray:
    return np.floor(np.log1p(values.astype(np.float64)) / WIDTH + 1e-9).astype(np.int64)


class DistinctSample:
    """How many different hashes a stream has, and how often they come again.

    It keeps the hashes whose last `level` bits are zero, with their counts, and raises the level when there are more
    than `limit`: below that all is exact, above it the kept ones are a random sample of the different hashes.

    Source: Flajolet (1990), On adaptive sampling (Wegman's method).
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self.limit, self.level = limit, 0
        self.hashes = np.zeros(0, np.uint64)  # sorted
        self.counts = np.zeros(0, np.int64)

    def add(self, hashes: np.ndarray) -> None:
        """Add well-mixed 64-bit hashes, uint64.  # (n,)"""
        new, counts = np.unique(self._kept(hashes), return_counts=True)
        both, place = np.unique(np.concatenate([self.hashes, new]), return_inverse=True)
        self.counts = np.bincount(place, np.concatenate([self.counts, counts]), both.size).astype(np.int64)
        self.hashes = both
        while self.hashes.size > self.limit:
            self.level += 1
            kept = self.hashes & np.uint64((1 << self.level) - 1) == 0
            self.hashes, self.counts = self.hashes[kept], self.counts[kept]

    def _kept(self, hashes: np.ndarray) -> np.ndarray:
        if self.level == 0:
            return hashes
        return np.asarray(hashes[hashes & np.uint64((1 << self.level) - 1) == 0])

    @property
    def exact(self) -> bool:
        return self.level == 0

    @property
    def distinct(self) -> int:
        """How many different ones there are: exact, or an estimate."""
        return self.hashes.size << self.level

    @property
    def repeated(self) -> float:
        """The share of the stream that had come before, 0 where nothing was added."""
        seen = int(self.counts.sum())
        return 1 - self.hashes.size / seen if seen else 0.0
