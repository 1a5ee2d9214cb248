from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.stats.correlation import correlation

ORACLES = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
TRUTHS = {
    "pearson": lambda r: r,
    "spearman": lambda r: 6 / np.pi * np.arcsin(r / 2),
    "kendall": lambda r: 2 / np.pi * np.arcsin(r),
}


@pytest.mark.parametrize("kind", ORACLES)
def test_the_value_is_scipys_with_and_without_ties(kind):
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=60), rng.integers(0, 4, 60).astype(float), rng.normal(size=60) * 1e-6 + 1e6):
        y = x + x.std() * rng.normal(size=60)
        value, interval = correlation(x, y, kind)
        assert value == pytest.approx(ORACLES[kind](x, y)[0], abs=1e-7)
        assert -1 <= interval.low < value < interval.high <= 1


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("clusters", [None, np.repeat(np.arange(12), 3)])
def test_each_value_without_a_unit_is_scipys_of_the_rest(kind, clusters):
    from loomwork.stats.correlation import _kendall_left_out, _left_out

    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, 36).astype(float)
    y = x + rng.normal(size=36)
    units = np.arange(36) if clusters is None else clusters
    order = rng.permutation(36)  # units need not lie together
    x, y, units = x[order], y[order], units[order]
    _, left = _kendall_left_out(x, y, units) if kind == "kendall" else _left_out(x, y, kind, units)
    assert left == pytest.approx([ORACLES[kind](x[units != u], y[units != u])[0] for u in range(units.max() + 1)])


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize(("n", "r"), [(12, 0.5), (40, 0.0), (40, 0.9)])
def test_the_interval_covers_the_true_value_as_often_as_it_says(kind, n, r):
    rng, hits, runs = np.random.default_rng(2), 0, 400
    for _ in range(runs):
        x = rng.normal(size=n)
        _, interval = correlation(x, r * x + (1 - r * r) ** 0.5 * rng.normal(size=n), kind)
        hits += interval.low <= TRUTHS[kind](r) <= interval.high
    assert hits / runs > 0.95 - 3 * (0.05 * 0.95 / runs) ** 0.5


@pytest.mark.parametrize("kind", ORACLES)
def test_clusters_are_the_units(kind):
    """Each item thrice is no more evidence than once."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)
    once, thrice = (
        correlation(x, y, kind),
        correlation(x.repeat(3), y.repeat(3), kind, clusters=np.arange(30).repeat(3)),
    )
    width = [found.high - found.low for _, found in (once, thrice)]
    assert width[1] == pytest.approx(width[0], rel=0.05)
    assert "cluster jackknife" in thrice[1].method


def test_complete_agreement_still_leaves_doubt_about_ranks():
    x = np.arange(10.0)
    for kind in ("spearman", "kendall"):
        value, interval = correlation(x, x**3, kind)
        assert (value, interval.high) == (pytest.approx(1), 1)
        assert 0.6 < interval.low < 0.99
        _, turned = correlation(x, -x, kind)
        assert (turned.low, turned.high) == (-1, pytest.approx(-interval.low))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2], "two lists of one length"),
        ([1, 2, 3, 4, np.nan], [1, 2, 3, 4, 5], "finite"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "at least 5 independent"),
        ([1] * 6, range(6), "first side of the correlation is 1 everywhere"),
        ([1] * 6 + [2], range(7), "without one item a side"),
    ],
)
def test_what_has_no_correlation_is_refused(x, y, message):
    with pytest.raises(InputError, match=message):
        correlation(list(x), list(y), "spearman")
