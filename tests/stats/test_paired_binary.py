from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables

from loomwork.core.errors import InputError
from loomwork.stats.paired_binary import difference_bounds, difference_p, is_exact, mcnemar, score_z

ALPHA = 0.05


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from(["two-sided", "greater", "less"]))
def test_mcnemar_is_the_binomial_test(wins, losses, alternative):
    if wins + losses == 0:
        assert mcnemar(0, 0, alternative) == 1
        return
    expected = stats.binomtest(wins, wins + losses, 0.5, alternative=alternative).pvalue
    assert mcnemar(wins, losses, alternative) == pytest.approx(expected)
    if alternative == "two-sided":
        theirs = contingency_tables.mcnemar([[5, wins], [losses, 9]], exact=True).pvalue
        assert mcnemar(wins, losses) == pytest.approx(theirs, abs=1e-12)


def test_the_score_has_the_likeliest_rates_under_its_hypothesis():
    """The closed form of the restricted rates against a search."""
    b, c, n = 7, 12, 90
    for d in (-0.2, -0.03, 0.0, 0.1):
        q = np.linspace(max(0, -d) + 1e-6, (1 - d) / 2 - 1e-6, 400_001)
        best = q[(b * np.log(q + d) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - d)).argmax()]
        expected = (b - c - n * d) / np.sqrt(n * (2 * best + d - d * d))
        assert score_z(b, c, n, d) == pytest.approx(expected, abs=1e-3)


def test_without_a_margin_the_score_is_mcnemars():
    assert score_z(30, 12, 500, 0.0) == pytest.approx(18 / 42**0.5)
    assert np.isnan(score_z([5, 0], [3, 0], 40, 0.0)).sum() == 0


@pytest.mark.parametrize(
    ("n", "margin"), [(30, 0.0), (60, 0.05), (100, 0.02), (100, 0.1), (200, 0.01)]
)  # every rate of changes, no chance: the probabilities of all outcomes are summed
def test_the_error_rate_holds_exactly_at_every_rate_of_changes(n, margin):
    rates = [r for r in (0.01, 0.02, 0.03, 0.05, 0.08, 0.12) if r >= margin]
    most = int(n * max(rates) + 8 * (n * max(rates)) ** 0.5)
    tables = [(b, c) for c in range(most + 1) for b in range(most + 1 - c) if b + c <= n]
    near = [(b, c) for b, c in tables if b - c + n * margin > 0]
    passes = np.array([difference_p(b, c, n, -margin) <= ALPHA for b, c in near])
    score = np.array([score_z(b, c, n, -margin) >= stats.norm.ppf(1 - ALPHA) for b, c in near])
    errors, score_errors = [], []
    for rate in rates:
        shares = [(rate - margin) / 2, (rate + margin) / 2, 1 - rate]
        chance = stats.multinomial.pmf([(b, c, n - b - c) for b, c in near], n, shares)
        errors.append(chance[passes].sum())
        score_errors.append(chance[score].sum())
    assert max(errors) <= ALPHA
    assert max(score_errors) >= max(errors)  # the score test alone is looser
    if margin:
        assert max(errors) > 0.01  # and not by never passing


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(24, 200), st.sampled_from([0.01, 0.025, 0.05]))
def test_bounds_hold_the_estimate_and_agree_with_the_p_value(wins, losses, n, tail):
    low, high = difference_bounds(wins, losses, n, tail)
    assert -1 <= low <= (wins - losses) / n <= high <= 1
    assert difference_p(wins, losses, n, low - 1e-5) <= tail
    assert difference_p(wins, losses, n, low + 1e-5) > tail
    turned = difference_bounds(losses, wins, n, tail)
    assert turned == pytest.approx((-high, -low))
    more = difference_bounds(wins * 4, losses * 4, n * 4, tail)
    assert more[1] - more[0] < high - low


def test_bounds_cover():
    generator = np.random.default_rng(5)
    for n, won, lost in ((80, 0.01, 0.03), (200, 0.06, 0.03), (3000, 0.03, 0.05)):
        runs = 2000 if n == 80 else 150
        counts = generator.multinomial(n, [won, lost, 1 - won - lost], runs)[:, :2]
        tables, times = np.unique(counts, axis=0, return_counts=True)
        truth = won - lost
        found = [difference_bounds(int(b), int(c), n, ALPHA / 2) for b, c in tables]
        covered = np.array([low <= truth <= high for low, high in found]) @ times / times.sum()
        assert covered >= 0.95 - 3 * (0.05 * 0.95 / times.sum()) ** 0.5


def test_exact_and_score_meet_where_there_is_much_data():
    assert is_exact(50, 60, 2000)
    assert not is_exact(50, 60, 2001)
    exact = difference_p(150, 170, 2000, -0.03)
    assert exact == pytest.approx(stats.norm.sf(score_z(150, 170, 2000, -0.03)), rel=0.25, abs=2e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(20, 60))
def test_more_wins_and_fewer_losses_are_better(wins, losses, n):
    here = difference_p(wins, losses, n, -0.05)
    if here > 0.5:  # where nothing is decided, the range of rates that is searched moves it a little
        return
    assert difference_p(wins + 1, losses, n, -0.05) <= here + 1e-6
    assert difference_p(wins, losses + 1, n, -0.05) >= here - 1e-6
    assert difference_p(wins, losses, n, -0.08) <= here + 1e-9


def test_impossible_counts_are_refused():
    with pytest.raises(InputError, match="no paired comparison"):
        difference_p(5, 6, 10, 0.0)
    with pytest.raises(InputError, match="no paired comparison"):
        mcnemar(-1, 2)
