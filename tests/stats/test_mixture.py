"""Shares of mixtures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.stats.mixture import apportion, mixture_shares

sizes = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10**6), min_size=1, max_size=8)


def test_published_temperature_sampling():
    # Arivazhagan et al. (2019): T=1 keeps the data's shares, T=5 raises low resources, T=100 is nearly uniform
    counts = {"high": 1_000_000, "low": 1_000}
    assert mixture_shares(counts)["low"] == pytest.approx(1 / 1001)
    assert mixture_shares(counts, temperature=5)["low"] == pytest.approx(1 / (1 + 1000**0.2))
    assert mixture_shares(counts, temperature=100)["low"] == pytest.approx(0.5, abs=0.02)
    assert mixture_shares(counts, temperature=None) == {"high": 0.5, "low": 0.5}


def test_weights_are_shares_up_to_a_factor():
    assert mixture_shares({"a": 9, "b": 1}, weights={"a": 2, "b": 6}) == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    "arguments",
    [
        {"weights": {"a": 1.0}},
        {"weights": {"a": 1.0, "b": 0.0}},
        {"weights": {"a": 1.0, "b": math.nan}},
        {"temperature": 0.0},
        {"temperature": math.inf},
    ],
)
def test_refused(arguments):
    with pytest.raises(ValueError, match=r"weights|temperature"):
        mixture_shares({"a": 1, "b": 2}, **arguments)


@given(sizes, st.floats(0.01, 1e6))
def test_shares_sum_to_one_and_keep_the_order_of_sizes(counts, temperature):
    shares = mixture_shares(counts, temperature=temperature)
    assert math.fsum(shares.values()) == pytest.approx(1)
    for a in counts:
        for b in counts:
            assert counts[a] > counts[b] or shares[a] <= shares[b]


@given(sizes, st.integers(0, 10**6))
def test_apportioned_numbers_sum_to_the_total(counts, total):
    shares = mixture_shares(counts)
    whole = apportion(shares, total)
    assert sum(whole.values()) == total
    assert all(abs(whole[n] - shares[n] * total) < 1 for n in whole)
