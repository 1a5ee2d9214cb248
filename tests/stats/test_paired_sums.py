from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.stats.paired import Margin
from loomwork.stats.paired_sums import decide_sums

RUNS, ALPHA = 2000, 0.05
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


def f1(sums):
    """Sums: hits, found, wanted."""
    hits, found, wanted = np.moveaxis(np.asarray(sums), -1, 0)
    return np.divide(2 * hits, found + wanted, out=np.zeros_like(hits), where=found + wanted > 0)


def systems(generator, n, first, second, hard=1.0):
    """Two taggers on the same items, each right on its share of them."""
    gold = generator.random(n) < 0.3
    for right in (first, second):
        guess = np.where(generator.random(n) < right * hard, gold, ~gold)
        yield np.column_stack([gold & guess, guess, gold]).astype(float)


@pytest.mark.parametrize("clusters", [None, 30])
def test_a_gate_on_f1_at_its_edge_passes_at_most_alpha(clusters):
    generator = np.random.default_rng(1 if clusters is None else clusters)
    big = 3_000_000
    hard = 1.0 if clusters is None else generator.beta(12, 1, big)
    new, base = (f1(s.sum(axis=0)) for s in systems(generator, big, 0.8, 0.84, hard))
    margin = Margin(float(base - new))
    passed = {"absolute": 0, "relative": 0}
    for run in range(RUNS):
        groups, hard = None, 1.0
        if clusters is not None:
            groups = generator.integers(0, clusters, 200)
            hard = generator.beta(12, 1, clusters)[groups]
        sides = list(systems(generator, 200, 0.8, 0.84, hard))
        options = {"clusters": groups, "draws": 199, "seed": run}
        passed["absolute"] += decide_sums(*sides, f1, margin, "not worse than", **options)[1].outcome == "pass"
        if run < 300:
            relative = Margin(margin.value / float(base), relative=True)
            passed["relative"] += decide_sums(*sides, f1, relative, "not worse than", **options)[1].outcome == "pass"
    assert 0.02 < passed["absolute"] / RUNS <= ALPHA + MONTE_CARLO
    assert passed["relative"] / 300 <= ALPHA + 2.6 * MONTE_CARLO


def test_bound_and_decision_agree():
    generator = np.random.default_rng(2)
    for n in (40, 300):  # with and without the t interval
        sides = list(systems(generator, n, 0.85, 0.8))
        for margin in np.linspace(0, 0.3, 13):
            found, decision = decide_sums(*sides, f1, Margin(float(margin)), "not worse than", draws=999)
            assert found.low <= found.difference <= found.high
            assert (decision.outcome == "pass") == (found.low > -margin)
            better, decision = decide_sums(*sides, f1, Margin(float(margin)), "better than", draws=999)
            assert (decision.outcome == "pass") == (better.low > margin)
            assert (decision.outcome == "refuse") == (better.difference <= margin)
        assert found.minimum_detectable_effect > 0
        assert "paired BCa item bootstrap of sums" in found.method


def test_a_clear_loss_is_refused_and_a_clear_gain_passes():
    generator = np.random.default_rng(3)
    good, bad = systems(generator, 800, 0.95, 0.7)
    assert decide_sums(good, bad, f1, Margin(0.05), "better than")[1].outcome == "pass"
    assert decide_sums(bad, good, f1, Margin.parse("5%"), "not worse than")[1].outcome == "refuse"
    with pytest.raises(InputError, match="is no test"):
        decide_sums(good, bad, f1, Margin(0.05), "equal to")


def test_few_changes_may_hide_more():
    """A system that loses one item in 100 loses nowhere in many small samples; that is no proof."""
    generator = np.random.default_rng(4)
    passed, runs = 0, 600
    for run in range(runs):
        gold = generator.random(150) < 0.5
        lost = gold & (generator.random(150) < 0.02)
        base = np.column_stack([gold, gold, gold]).astype(float)
        new = np.column_stack([gold & ~lost, gold & ~lost, gold]).astype(float)
        margin = Margin(1 - 2 * 0.98 / (1 + 0.98))  # what is truly lost
        passed += decide_sums(new, base, f1, margin, "not worse than", draws=199, seed=run)[1].outcome == "pass"
    assert passed / runs <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5
    same = [np.ones((2000, 3))] * 2
    assert decide_sums(*same, f1, Margin(0.01), "not worse than", draws=99)[1].outcome == "pass"
    small = [np.ones((50, 3))] * 2
    found, decision = decide_sums(*small, f1, Margin(0.01), "not worse than", draws=99)
    assert (decision.outcome, found.difference) == ("undecided", 0)
    assert found.low < -0.01
    assert "leave unseen" in found.method
    options = {"draws": 99, "same_system": True}
    assert decide_sums(*small, f1, Margin(0.01), "not worse than", **options)[1].outcome == "pass"
