"""Learning-rate schedules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.learn.schedule import SHAPES, make_schedule


@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 300), st.integers(0, 300), st.sampled_from([0.0, 0.1]))
def test_factors_lie_in_0_1_and_none_is_zero(shape, steps, warmup, floor):
    factor = make_schedule(shape, steps=steps, warmup_steps=warmup, floor=floor)
    values = [factor(s) for s in range(steps)]
    assert all(0 < v <= 1 for v in values)
    rising = values[:warmup]
    assert rising == sorted(rising)
    falling = values[warmup:]
    assert falling == sorted(falling, reverse=True)


def test_published_shapes():
    half = {"linear": 0.5, "cosine": 0.5, "constant": 1.0, "wsd": 1.0}
    for shape, value in half.items():
        assert make_schedule(shape, steps=100)(50) == pytest.approx(value)
    assert make_schedule("wsd", steps=100)(90) == pytest.approx(1 - 0.5**0.5)
    assert make_schedule(lambda s: 0.25, steps=10, warmup_steps=2)(0) == pytest.approx(0.125)
