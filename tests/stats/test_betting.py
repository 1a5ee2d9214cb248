from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.stats.betting import STAKES, WEIGHTS, log_wealth, log_wealth_of_clusters, rare_lower, rare_p
from loomwork.stats.cluster import cluster_mean
from loomwork.stats.paired import Margin, not_worse_than

RUNS, ALPHA = 2000, 0.05
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


def test_stakes_are_shares_of_one_coin():
    assert WEIGHTS.sum() == pytest.approx(1)
    assert 0 < STAKES.min() < STAKES.max() == 1


def test_looking_at_every_item_alarms_in_at_most_alpha():
    """A gate with a margin of 2 points, looked at after each item, where the candidate is worse by just that."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(RUNS):
        gain = (generator.random(300) < 0.03) * 1.0 - (generator.random(300) < 0.05)
        alarms += bool((log_wealth(np.maximum(gain, -1), -0.02, -1.0) >= np.log(1 / ALPHA)).any())
    assert alarms / RUNS <= ALPHA + MONTE_CARLO


def test_a_true_gain_is_found_early():
    generator = np.random.default_rng(1)
    gain = generator.choice([1.0, 0.0, -1.0], p=[0.12, 0.8, 0.08], size=(40, 6000))
    at = [np.argmax(log_wealth(row, 0.0, -1.0) >= np.log(20)) for row in gain]
    assert 0 < np.median(at) < 2000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50), st.floats(-0.9, 0.9))
def test_the_last_look_is_the_fixed_test_and_order_does_not_matter_there(values, threshold):
    mean = cluster_mean(values)
    last = log_wealth(values, threshold, -1.0)[-1]
    assert log_wealth_of_clusters(mean, threshold, -1.0) == pytest.approx(last, abs=1e-6)
    low = rare_lower(mean, -1.0, ALPHA)
    assert -1 <= low <= mean.value + 1e-9
    assert rare_p(mean, low - 1e-5, -1.0) <= ALPHA or low <= -1 + 1e-4


def whole_clusters_lost(generator, clusters, rate):
    size = np.clip(np.round(np.exp(generator.normal(2.5, 0.8, clusters))), 1, 200).astype(int)
    of = np.repeat(np.arange(clusters), size)
    lost = (generator.random(clusters) < rate / 0.8)[of] & (generator.random(len(of)) < 0.8)
    return lost.astype(float), of


def test_gates_of_rare_changes_hold_in_clusters_and_out_of_them():
    generator = np.random.default_rng(2)
    passed = {"graded": 0, "clusters": 0, "common": 0}
    for run in range(RUNS):
        base = generator.uniform(0.9, 1.0, 200)
        lost = np.where(generator.random(200) < 0.015, generator.uniform(0, 0.8, 200), 0.0)
        passed["graded"] += not_worse_than(base - lost, base, Margin(0.006), seed=run).outcome == "pass"
        lost, of = whole_clusters_lost(generator, 60, 0.02)
        ones = np.ones(len(of))
        passed["clusters"] += not_worse_than(1 - lost, ones, Margin(0.02), clusters=of, seed=run).outcome == "pass"
        if run < 500:
            lost, of = whole_clusters_lost(generator, 60, 0.2)
            ones = np.ones(len(of))
            passed["common"] += not_worse_than(1 - lost, ones, Margin(0.2), clusters=of, seed=run).outcome == "pass"
    assert passed["graded"] / RUNS <= ALPHA + MONTE_CARLO
    assert passed["clusters"] / RUNS <= ALPHA + MONTE_CARLO
    assert passed["common"] / 500 <= ALPHA + 2 * MONTE_CARLO


def test_nothing_lost_in_enough_items_is_proof():
    clean = cluster_mean(np.zeros(600))
    assert rare_p(clean, -0.01, -1.0) < ALPHA  # 0.99 ** 600 is 0.0024
    assert rare_p(cluster_mean(np.zeros(100)), -0.01, -1.0) > ALPHA
    assert rare_p(cluster_mean(np.zeros(600), clusters=np.arange(600) % 20), -0.01, -1.0) > ALPHA


def test_values_below_the_lowest_are_refused():
    with pytest.raises(InputError, match="at least"):
        log_wealth([0.0, -2.0], 0.0, -1.0)
    with pytest.raises(InputError, match="not above the lowest"):
        log_wealth([0.0], -1.0, -1.0)
