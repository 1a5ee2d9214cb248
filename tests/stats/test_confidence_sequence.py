from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.stats.confidence_sequence import asymptotic_sequence, bernstein_sequence, betting_sequence

RUNS, ALPHA = 2000, 0.05
BOUNDED = [betting_sequence, bernstein_sequence]


@pytest.mark.parametrize(("kind", "draw", "truth"), [
    ("rare", lambda g, n: (g.random(n) < 0.03).astype(float), 0.03),
    ("even", lambda g, n: (g.random(n) < 0.5).astype(float), 0.5),
    ("graded", lambda g, n: g.beta(0.5, 0.2, n), 0.5 / 0.7),
])  # fmt: skip
@pytest.mark.parametrize("sequence", BOUNDED)
def test_the_truth_stays_inside_at_all_times(sequence, kind, draw, truth):
    runs, n = (2000, 300) if sequence is bernstein_sequence else (300, 300)
    generator = np.random.default_rng(1)
    left = 0
    for _ in range(runs):
        found = sequence(draw(generator, n))
        left += bool(((found.low > truth) | (found.high < truth)).any())
    assert left / runs <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5


def test_asymptotic_sequences_hold_for_skewed_values_and_say_that_it_is_in_the_limit():
    generator = np.random.default_rng(2)
    left = 0
    for _ in range(RUNS):
        found = asymptotic_sequence(generator.exponential(1.0, 500))
        left += bool(((found.low > 1) | (found.high < 1)).any())
    assert left / RUNS <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5
    assert "in the limit only" in found.method
    assert np.isinf(found.high[:29]).all()  # nothing is claimed of a few items
    assert np.isfinite(found.high[29:]).all()


def test_looking_often_at_a_fixed_interval_is_wrong():
    generator = np.random.default_rng(3)
    x = (generator.random((RUNS, 1000)) < 0.5).cumsum(axis=1)
    n = np.arange(1, 1001)
    share = x / n
    outside = np.abs(share - 0.5) > 1.96 * np.sqrt(share * (1 - share) / n)
    assert outside[:, 29:].any(axis=1).mean() > 0.25


def test_betting_is_tighter_than_bernstein_and_both_shrink():
    generator = np.random.default_rng(4)
    for share in (0.5, 0.05):
        x = (generator.random(4000) < share).astype(float)
        tight, wide = betting_sequence(x), bernstein_sequence(x)
        widths = [(s.high - s.low)[[200, 1000, 3999]] for s in (tight, wide)]
        assert (widths[0] <= widths[1]).all()
        assert all((np.diff(w) < 0).all() for w in widths)
        fixed = 2 * 1.96 * (share * (1 - share) / 4000) ** 0.5
        assert fixed < widths[0][-1] < 3 * fixed


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=60), st.sampled_from(BOUNDED))
def test_bounds_never_widen_and_move_with_the_range(values, sequence):
    found = sequence(values)
    assert (np.diff(found.low) >= 0).all()
    assert (np.diff(found.high) <= 0).all()
    assert (found.low >= 0).all()
    assert (found.high <= 1).all()
    turned = sequence([2 * v - 1 for v in values], within=(-1.0, 1.0))
    assert turned.low == pytest.approx(2 * found.low - 1, abs=1e-2)
    mirrored = sequence([1 - v for v in values])
    assert mirrored.high == pytest.approx(1 - found.low, abs=5e-3)


def test_a_long_run_is_not_narrower_than_its_grid():
    found = betting_sequence(np.tile([0.0, 1.0], 20_000))
    assert found.low[-1] <= 0.5 <= found.high[-1]
    assert 0 < found.high[-1] - found.low[-1] < 0.03


def test_values_outside_their_range_are_refused():
    with pytest.raises(InputError, match="outside their range"):
        betting_sequence([0.5, 1.5])
    with pytest.raises(InputError, match="finite"):
        asymptotic_sequence([1.0, np.nan])
