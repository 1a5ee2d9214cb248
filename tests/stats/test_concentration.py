"""Entropy and its relatives against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from loomwork.stats.concentration import effective_number, entropy, imbalance, normalised_entropy

counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any)


@given(counts)
def test_entropy_is_scipys_and_the_effective_number_is_its_exponential(given_counts):
    assert entropy(given_counts) == pytest.approx(scipy_entropy(given_counts), abs=1e-12)
    assert effective_number(given_counts) == pytest.approx(np.exp(scipy_entropy(given_counts)))
    assert 1 - 1e-9 <= effective_number(given_counts) <= np.count_nonzero(given_counts) + 1e-6


def test_even_and_uneven_classes():
    assert normalised_entropy([5, 5, 5, 5]) == pytest.approx(1)
    assert effective_number([5, 5, 5, 5]) == pytest.approx(4)
    assert normalised_entropy([7, 0, 0]) == 0
    assert normalised_entropy([7]) == 0
    assert imbalance([30, 3, 0]) == 10


@pytest.mark.parametrize("wrong", [[], [0, 0], [1, -1]])
def test_nothing_to_count_is_refused(wrong):
    with pytest.raises(ValueError, match="counts"):
        entropy(wrong)
