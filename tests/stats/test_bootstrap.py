from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loomwork.stats.bootstrap import bootstrap_draws, bootstrap_interval, bounds, one_sided_p, ratio_interval
from loomwork.stats.cluster import cluster_mean

UNIT = st.floats(0, 1, allow_subnormal=False)


def sandwich(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Bell and McCaffrey's jackknife error and degrees of freedom, by their matrix definition."""
    design = np.ones((len(values), 1))
    bread = np.linalg.inv(design.T @ design)
    hat = design @ bread @ design.T
    residual = values - hat @ values
    groups = np.unique(clusters)
    meat, columns = 0.0, []
    for group in groups:
        rows = np.flatnonzero(clusters == group)
        inverse = np.linalg.inv(np.eye(len(rows)) - hat[np.ix_(rows, rows)])  # CR3 adjustment
        weight = inverse @ design[rows] @ bread
        meat += float((residual[rows] @ weight).item() ** 2)
        columns.append(((np.eye(len(values)) - hat)[rows].T @ weight).ravel())
    columns_matrix = np.stack(columns)  # (clusters, n)
    gram = columns_matrix @ columns_matrix.T
    shrink = (len(groups) - 1) / len(groups)
    return float(np.sqrt(shrink * meat)), float(np.trace(gram) ** 2 / (gram**2).sum())


def test_error_and_degrees_of_freedom_match_the_matrix_definition() -> None:
    generator = np.random.default_rng(4)
    clusters = np.repeat(np.arange(9), [1, 2, 3, 5, 8, 13, 2, 30, 1])
    values = generator.random(len(clusters)) + 0.3 * generator.random(9)[clusters]
    error, freedom = sandwich(values, clusters)
    mean = cluster_mean(values, clusters=clusters)
    assert (mean.standard_error, mean.degrees_of_freedom) == pytest.approx((error, freedom))
    assert mean.value == pytest.approx(values.mean())


def test_clusters_of_one_are_students_case() -> None:
    values = np.random.default_rng(1).normal(size=30)
    mean = cluster_mean(values)
    assert mean.standard_error == pytest.approx(stats.sem(values))
    assert mean.degrees_of_freedom == pytest.approx(29)


def test_draws_match_scipys_bootstrap() -> None:
    values = np.random.default_rng(2).gamma(2, 1, 300)
    draws, _ = bootstrap_draws(cluster_mean(values), draws=9999, seed=1)
    reference = stats.bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=0, batch=500)
    expected = reference.confidence_interval
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([expected.low, expected.high], abs=0.01)
    assert draws.std(ddof=1) == pytest.approx(reference.standard_error, rel=0.03)


def test_whole_clusters_are_drawn() -> None:
    """Copying every item within its cluster adds nothing; as independent items it would halve the variance."""
    generator = np.random.default_rng(3)
    clusters = np.arange(200) % 25
    values = generator.random(200)
    once = bootstrap_interval(values, clusters=clusters)
    twice = bootstrap_interval(np.tile(values, 2), clusters=np.tile(clusters, 2))
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), rel=1e-9)
    alone = bootstrap_interval(np.tile(values, 2))
    assert alone.high - alone.low < once.high - once.low


def test_ratio_of_sums_matches_direct_resampling() -> None:
    generator = np.random.default_rng(6)
    size = generator.integers(50, 4000, 150).astype(float)
    bits = size * generator.normal(2.0, 0.3, 150)
    documents = np.arange(150)
    rows = generator.integers(0, 150, (9999, 150))
    direct = np.quantile(bits[rows].sum(1) / size[rows].sum(1), [0.025, 0.975])
    found = ratio_interval(bits, size, clusters=documents)
    assert found.low <= bits.sum() / size.sum() <= found.high
    assert (found.low, found.high) == pytest.approx(direct, abs=0.25 * (direct[1] - direct[0]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(UNIT, st.integers(0, 6)), min_size=3, max_size=60).filter(lambda x: len({c for _, c in x}) > 1),
    st.randoms(use_true_random=False),
)
def test_invariants(items: list[tuple[float, int]], shuffler: object) -> None:
    values, clusters = (np.array(x) for x in zip(*items, strict=True))
    found = bootstrap_interval(values, clusters=clusters)
    assert found.low - 1e-12 <= values.mean() <= found.high + 1e-12
    order = list(range(len(items)))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    moved = bootstrap_interval(values[order], clusters=clusters[order])
    assert (moved.low, moved.high) == pytest.approx((found.low, found.high), rel=1e-6, abs=1e-9)
    again = bootstrap_interval(values, clusters=clusters)
    assert again == found


def test_it_shrinks_with_n() -> None:
    values = np.random.default_rng(8).random(6400)
    widths = [i.high - i.low for i in (bootstrap_interval(values[:n]) for n in (100, 400, 1600, 6400))]
    assert all(0.4 < b / a < 0.6 for a, b in itertools.pairwise(widths))


def test_p_value_and_bound_agree() -> None:
    generator = np.random.default_rng(9)
    for seed in range(60):
        values = generator.exponential(1, 40) - 1.25
        mean = cluster_mean(values, clusters=np.arange(40) % 13)
        _, t_values = bootstrap_draws(mean, seed=seed)
        low, _ = bounds(mean, t_values, 0.05)
        for threshold in np.linspace(low - 0.1, low + 0.1, 8):
            assert (one_sided_p(mean, t_values, threshold) <= 0.05) == (low > threshold)


def test_equal_items_have_no_spread() -> None:
    found = bootstrap_interval(np.full(50, 0.1), clusters=np.arange(50) % 7)
    assert found.low == found.high == pytest.approx(0.1)
