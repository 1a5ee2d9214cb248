"""Distances of histograms, and their permutation tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from loomwork.stats.divergence import (
    MEASURES,
    grouped_permutation_p,
    jensen_shannon,
    ks,
    permutation_p,
    psi,
)

histograms = arrays(np.int64, 6, elements=st.integers(0, 50)).filter(lambda a: a.sum() > 0)


@given(histograms, histograms)
def test_agrees_with_scipy(a, b):
    assert jensen_shannon(a, b) == pytest.approx(jensenshannon(a, b, base=2) ** 2, abs=1e-9)
    values = [np.repeat(np.arange(6), counts) for counts in (a, b)]
    assert ks(a, b) == pytest.approx(ks_2samp(*values).statistic)


@given(histograms, histograms)
def test_symmetric_and_zero_for_equal(a, b):
    for distance in MEASURES.values():
        assert distance(a, a) == pytest.approx(0, abs=1e-12)
        assert distance(a, b) == pytest.approx(distance(b, a))
        assert distance(a, b) >= 0


def test_known_values():
    assert jensen_shannon([1, 0], [0, 3]) == pytest.approx(1)
    # by hand: shares .5/.5 and .75/.25 over many items; (.25) ln 1.5 + (-.25) ln .5
    assert psi([50_000, 50_000], [75_000, 25_000]) == pytest.approx(0.25 * np.log(1.5) + 0.25 * np.log(2), abs=1e-4)
    assert psi([10, 0], [0, 10]) < np.inf


def test_many_draws_at_once():
    a, b = np.random.default_rng(0).integers(1, 9, (2, 5, 6))
    for distance in MEASURES.values():
        assert distance(a, b) == pytest.approx([distance(x, y) for x, y in zip(a, b, strict=True)])


@pytest.mark.parametrize("measure", sorted(MEASURES))
def test_false_alarms_are_at_most_alpha(measure):
    order = np.random.default_rng(5)
    shares = np.array([0.6, 0.2, 0.1, 0.07, 0.03])
    pairs = [(order.multinomial(200, shares), order.multinomial(80, shares)) for _ in range(2000)]
    p = np.array([permutation_p(a, b, measure, draws=99, order=order) for a, b in pairs])
    assert np.mean(p <= 0.05) < 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5
    assert np.mean(p <= 0.05) > 0.02  # nor is it a test that never speaks
    moved = order.multinomial(80, [0.4, 0.3, 0.15, 0.1, 0.05])
    assert permutation_p(order.multinomial(200, shares), moved, measure, draws=999, order=order) < 0.05


def test_groups_are_dealt_whole():
    # 40 authors, each with one favourite bin: rows are not independent, and a test of rows would cry wolf
    order = np.random.default_rng(3)
    by_rows, by_groups = [], []
    for _ in range(300):
        counts = np.zeros((40, 5), np.int64)
        counts[np.arange(40), order.integers(0, 5, 40)] = 25
        is_after = np.arange(40) < 15
        by_rows.append(permutation_p(counts[~is_after].sum(0), counts[is_after].sum(0), "psi", draws=99, order=order))
        sparse = grouped_permutation_p(csr_array(counts), is_after, "psi", draws=99, order=order)
        by_groups.append(sparse)
    assert np.mean(np.array(by_rows) <= 0.05) > 0.5
    assert np.mean(np.array(by_groups) <= 0.05) < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
