"""Slices against the rest, and intervals of any function: against exact tests and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from loomwork.core.errors import InputError
from loomwork.metrics.classification import binary_cells, binary_f1
from loomwork.stats.apart import apart
from loomwork.stats.resampled import function_interval


def pairs(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_right_or_wrong_items_get_fishers_test():
    values = np.array([1.0] * 9 + [0.0] * 3 + [1.0] * 20 + [0.0] * 30)
    inside = np.arange(62) < 12
    found = apart(pairs(values), inside)
    assert found.difference == pytest.approx(9 / 12 - 20 / 50)
    assert found.p_value == pytest.approx(fisher_exact([[9, 3], [20, 30]]).pvalue)


def test_other_metrics_are_bootstrapped_with_their_clusters():
    generator = np.random.default_rng(1)
    values = generator.normal(size=200) + np.repeat(generator.normal(size=20), 10)
    inside = np.arange(200) < 100
    far = apart(pairs(values + 3 * inside), inside, clusters=np.repeat(np.arange(20), 10))
    assert far.p_value < 0.01
    assert "cluster bootstrap" in far.method
    gold, said = generator.random(300) < 0.5, generator.random(300) < 0.5
    said[:150] = gold[:150]
    assert apart(binary_cells(gold, said), np.arange(300) < 150, binary_f1).p_value < 0.01
    with pytest.raises(InputError, match="no rest"):
        apart(pairs(values), np.ones(200, bool))


def test_equal_groups_are_called_different_in_at_most_alpha():
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        values = generator.gamma(2.0, size=120)
        wrong += apart(pairs(values), np.arange(120) < 40).p_value <= 0.05
    assert wrong <= 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_the_interval_of_any_function():
    generator = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        sample = generator.exponential(size=80).tolist()
        value, interval = function_interval(sample, np.median, draws=199, seed=seed)
        assert value == np.median(sample)
        inside += interval.low <= np.log(2) <= interval.high
    assert 200 * 0.95 - 3 * np.sqrt(200 * 0.05 * 0.95) - 4 <= inside
    wide = function_interval([1.0, 2.0, 3.0, 4.0], np.mean, clusters=["a", "a", "b", "b"], draws=99)[1]
    assert (wide.low, wide.high) == (1.5, 3.5)
    with pytest.raises(InputError, match="at least two"):
        function_interval([1.0], np.mean)
    with pytest.raises(InputError, match="not finite"):
        function_interval([1.0, 2.0], lambda x: float("nan"))
