"""Do the stated error rates hold? Retrieval-like differences in unequal clusters, 2,000 test sets each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from loomwork.stats.bootstrap import bootstrap_draws, bounds, one_sided_p
from loomwork.stats.cluster import cluster_mean
from loomwork.stats.paired import Margin, not_worse_than

RUNS, ALPHA = 2000, 0.05
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5  # three standard errors
Sample = tuple[np.ndarray, np.ndarray]


def reciprocal_ranks(generator: np.random.Generator, n: int) -> np.ndarray:
    ranks = generator.geometric(0.45, n)
    return np.where(ranks <= 10, 1 / ranks, 0.0)


def ranking_changes(clusters: int, spread: float, moved: float, inequality: float) -> Callable[..., Sample]:
    """Some queries' ranks move, and each module has a shift of its own; the true difference is 0."""

    def draw(generator: np.random.Generator) -> Sample:
        sizes = np.clip(np.round(np.exp(generator.normal(2.5, inequality, clusters))), 1, 200).astype(int)
        module = np.repeat(np.arange(clusters), sizes)
        n = len(module)
        change = reciprocal_ranks(generator, n) - reciprocal_ranks(generator, n)
        change = np.where(generator.random(n) < moved, change, 0.0)
        return change + generator.normal(0, spread, clusters)[module], module

    return draw


def rare_losses(clusters: int, rate: float) -> Callable[..., Sample]:
    """A few items go from right to wrong, the others do not change: as skewed as differences get."""

    def draw(generator: np.random.Generator) -> Sample:
        sizes = np.clip(np.round(np.exp(generator.normal(2.5, 1.2, clusters))), 1, 200).astype(int)
        module = np.repeat(np.arange(clusters), sizes)
        return rate - (generator.random(len(module)) < rate), module

    return draw


@pytest.mark.parametrize(
    ("draw", "percentile_fails"),
    [
        pytest.param(ranking_changes(28, 0.05, 0.25, 1.2), True, id="28 clusters, very unequal"),
        pytest.param(ranking_changes(60, 0.05, 0.25, 1.2), True, id="60 clusters, very unequal"),
        pytest.param(rare_losses(28, 0.02), True, id="28 clusters, rare losses"),
    ],
)
def test_a_gate_at_its_edge_passes_at_most_alpha_and_intervals_cover(
    draw: Callable[..., Sample], percentile_fails: bool
) -> None:
    generator = np.random.default_rng(11)
    passed = covered = percentile_passed = 0
    for run in range(RUNS):
        difference, module = draw(generator)  # of true mean 0: exactly at the edge
        mean = cluster_mean(difference, clusters=module)
        means, t_values = bootstrap_draws(mean, draws=999, seed=run)
        passed += one_sided_p(mean, t_values, 0.0) <= ALPHA
        low, high = bounds(mean, t_values, ALPHA / 2)
        covered += low <= 0 <= high
        percentile_passed += np.quantile(means, ALPHA) > 0
    assert passed / RUNS <= ALPHA + MONTE_CARLO, passed / RUNS
    assert 0.95 - MONTE_CARLO <= covered / RUNS <= 0.99, covered / RUNS
    assert (percentile_passed / RUNS > ALPHA + MONTE_CARLO) == percentile_fails, percentile_passed / RUNS


def test_the_decision_itself_holds_at_the_edge_of_its_margin() -> None:
    generator = np.random.default_rng(3)
    draw = ranking_changes(28, 0.03, 0.25, 0.8)
    outcomes = []
    for run in range(400):
        difference, module = draw(generator)
        base = reciprocal_ranks(generator, len(difference))
        candidate = base + difference - 0.01  # truly worse by the whole margin
        outcomes.append(not_worse_than(candidate, base, Margin(0.01), clusters=module, seed=run).outcome)
    assert outcomes.count("pass") / 400 <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / 400) ** 0.5
    assert 0.4 < outcomes.count("refuse") / 400 < 0.6  # the estimate falls on either side evenly


def test_independent_items_too() -> None:
    generator = np.random.default_rng(5)
    passed = covered = 0
    for run in range(RUNS):
        sample = generator.exponential(1.0, 60) - 1.0
        mean = cluster_mean(sample)
        _, t_values = bootstrap_draws(mean, draws=999, seed=run)
        passed += one_sided_p(mean, t_values, 0.0) <= ALPHA
        low, high = bounds(mean, t_values, ALPHA / 2)
        covered += low <= 0 <= high
    assert passed / RUNS <= ALPHA + MONTE_CARLO
    assert 0.95 - MONTE_CARLO <= covered / RUNS <= 0.99
