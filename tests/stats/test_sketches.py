"""Streamed quantiles and distinct counts against what is held whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.stats.sketches import DistinctSample, LogHistogram


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**9), max_size=40), min_size=1, max_size=5).filter(any))
def test_quantiles_are_within_one_percent_whatever_the_batches(batches):
    histogram = LogHistogram()
    for batch in batches:
        histogram.add(np.array(batch, np.int64))
    values = np.sort(np.concatenate([np.array(b, np.int64) for b in batches]))
    assert (histogram.total, histogram.sum) == (values.size, values.sum())
    assert (histogram.low, histogram.high) == (values[0], values[-1])
    for share in (0.01, 0.25, 0.5, 0.9, 1.0):
        exact = values[max(0, int(np.ceil(share * values.size - 1e-9)) - 1)]
        assert exact <= histogram.quantile(share) * 1.0001 + 1
        assert histogram.quantile(share) <= exact * 1.01 + 1


def test_small_numbers_have_bins_of_their_own():
    histogram = LogHistogram()
    histogram.add(np.arange(60))
    assert [histogram.quantile((i + 1) / 60) for i in range(60)] == list(range(60))
    assert histogram.bars(np.array([0, 10, 60])).tolist() == [10, 50]


def hashes(order: np.random.Generator, count: int) -> np.ndarray:
    return order.integers(0, 1 << 64, count, dtype=np.uint64)


def test_below_its_limit_the_distinct_count_is_exact():
    pool = hashes(np.random.default_rng(0), 500)
    sample = DistinctSample(limit=1000)
    for _ in range(3):
        sample.add(pool)
    assert (sample.exact, sample.distinct) == (True, 500)
    assert sample.repeated == pytest.approx(2 / 3)


def test_above_its_limit_it_is_near_and_memory_stays_bounded():
    order = np.random.default_rng(1)
    pool = hashes(order, 200_000)
    sample = DistinctSample(limit=10_000)
    for _ in range(40):
        sample.add(order.choice(pool, 20_000))
    seen = 200_000 * (1 - np.exp(-4))
    assert not sample.exact
    assert sample.hashes.size <= 10_000
    assert sample.distinct == pytest.approx(seen, rel=0.05)
    assert sample.repeated == pytest.approx(1 - seen / 800_000, abs=0.01)
