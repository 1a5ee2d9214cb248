from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.stats.interval import clopper_pearson, mean_interval, t_interval, wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (1, 7), (7, 7), (30, 200), (199, 200), (5000, 10000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_proportions_match_scipy(successes: int, trials: int, level: float) -> None:
    reference = stats.binomtest(successes, trials)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        found, expected = ours(successes, trials, level), reference.proportion_ci(level, method)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_t_matches_scipy() -> None:
    values = np.random.default_rng(0).normal(3, 2, 17)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = t_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_method_fits_the_values() -> None:
    right = np.array([1.0] * 30 + [0.0] * 70)
    assert mean_interval(right).method == "Wilson score"
    assert mean_interval(right[20:50]).method == "Clopper-Pearson"
    assert "cluster bootstrap" in mean_interval(right, clusters=np.arange(100) % 9).method
    assert "item bootstrap" in mean_interval(np.linspace(0, 1, 50)).method


def test_all_right_is_not_certain() -> None:
    sure = mean_interval(np.ones(700), clusters=np.arange(700) % 28)
    assert sure.high == 1
    assert sure.low == pytest.approx(stats.binomtest(28, 28).proportion_ci(0.95).low)


def test_an_interval_stays_in_the_range_of_its_metric() -> None:
    values = np.array([1.0] * 25 + [0.5, 0.0])
    found = mean_interval(values, clusters=np.arange(27) % 5)
    assert 0 <= found.low <= values.mean() <= found.high <= 1


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="no proportion"):
        wilson(3, 2)
    with pytest.raises(InputError, match="at least two"):
        mean_interval(np.array([0.5, 0.6]), clusters=["only", "only"])
    with pytest.raises(InputError, match="finite"):
        mean_interval(np.array([0.5, np.nan]))
