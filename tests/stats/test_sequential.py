from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from loomwork.core.errors import InputError
from loomwork.stats.sequential import anytime_p, first_decided, log_e_values

RUNS, ALPHA = 2000, 0.05
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


def paired_runs(generator, changes, difference, n, runs=RUNS):
    """Running wins and losses of runs of n items.  # (runs, n), (runs, n)"""
    u = generator.random((runs, n), dtype=np.float32)
    won, lost = u < (changes + difference) / 2, (u >= (changes + difference) / 2) & (u < changes)
    return np.cumsum(won, axis=1, dtype=np.int32), np.cumsum(lost, axis=1, dtype=np.int32)


@pytest.mark.parametrize("side", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("shape", [1.0, 5.0])
def test_false_alarms_over_looks_at_every_item(side, shape):
    wins, losses = paired_runs(np.random.default_rng(1), 0.2, 0.0, 1000)
    alarms = (first_decided(log_e_values(wins, losses, side=side, shape=shape), ALPHA) >= 0).mean()
    assert 0.005 < alarms <= ALPHA + MONTE_CARLO
    m = np.maximum(wins + losses, 1)
    naive = (np.abs(wins - losses) / np.sqrt(m) > 1.96) & (m >= 10)
    assert naive[:, ::25].any(axis=1).mean() > 0.2  # what looking without it would do


def test_a_true_difference_of_four_points_is_decided_early():
    """Of 10,000 items with 20 % changes the decision needs fewer than 1,500 on average."""
    generator = np.random.default_rng(2)
    needed, right = [], 0
    for _ in range(4):
        wins, losses = paired_runs(generator, 0.2, 0.04, 10_000, runs=100)
        at = first_decided(log_e_values(wins, losses), ALPHA)
        needed += np.where(at >= 0, at + 1, 10_000).tolist()
        right += sum(wins[i, t] > losses[i, t] for i, t in enumerate(at) if t >= 0)
    assert np.mean(needed) < 1500
    assert right / 400 > 0.97


def test_rare_changes_and_alike_neighbours_do_not_break_it():
    wins, losses = paired_runs(np.random.default_rng(3), 0.01, 0.0, 3000)
    assert (first_decided(log_e_values(wins, losses), ALPHA) >= 0).mean() <= ALPHA + MONTE_CARLO


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.5, 1.0, 3.0]))
def test_e_values_are_their_mixture(wins, losses, shape):
    prior = stats.beta(shape, shape)
    for side, bounds, weight in (("two-sided", (0, 1), 1), ("greater", (0.5, 1), 2), ("less", (0, 0.5), 2)):
        value = np.exp(log_e_values(wins, losses, side=side, shape=shape))

        def ratio(rate, weight=weight):
            return weight * prior.pdf(rate) * np.exp(wins * np.log(2 * rate) + losses * np.log(2 * (1 - rate)))

        assert value == pytest.approx(quad(ratio, *bounds, limit=200)[0], rel=1e-3)


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_p_values_never_rise_and_decide_as_the_evidence_does(won):
    wins = np.cumsum(won)
    log_e = log_e_values(wins, np.arange(1, len(won) + 1) - wins)
    p = anytime_p(log_e)
    assert (np.diff(p) <= 0).all()
    assert (p > 0).all()
    assert (p <= 1).all()
    at = first_decided(log_e, ALPHA)
    assert (at >= 0) == (p[-1] <= ALPHA)


def test_negative_counts_are_refused():
    with pytest.raises(InputError, match="counts"):
        log_e_values([-1], [0])
