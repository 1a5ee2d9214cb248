from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from loomwork.core.errors import InputError
from loomwork.metrics.classification import f1_of_share
from loomwork.stats.interval import (
    choose_interval,
    clopper_pearson,
    korn_graubard,
    mean_interval,
    t_interval,
    unmoved,
    wilson,
)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (1, 7), (7, 7), (30, 200), (199, 200), (5000, 10000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_proportions_match_scipy_and_statsmodels(successes: int, trials: int, level: float) -> None:
    reference = stats.binomtest(successes, trials)
    for ours, method, name in ((wilson, "wilson", "wilson"), (clopper_pearson, "exact", "beta")):
        found, expected = ours(successes, trials, level), reference.proportion_ci(level, method)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-10)
        theirs = proportion_confint(successes, trials, alpha=1 - level, method=name)
        assert (found.low, found.high) == pytest.approx(theirs, abs=1e-10)


def test_t_matches_scipy() -> None:
    values = np.random.default_rng(0).normal(3, 2, 17)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = t_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_method_fits_the_values() -> None:
    right = np.array([1.0] * 30 + [0.0] * 70)
    assert mean_interval(right).method == "Wilson score"
    assert mean_interval(right[20:50]).method == "Clopper-Pearson"
    assert "cluster bootstrap" in mean_interval(right, clusters=np.arange(100) % 11).method
    assert "item bootstrap" in mean_interval(np.linspace(0, 1, 50)).method


def test_all_right_is_not_certain() -> None:
    sure = mean_interval(np.ones(700), clusters=np.arange(700) % 28)
    assert sure.high == 1
    assert sure.low == pytest.approx(stats.binomtest(28, 28).proportion_ci(0.95).low)


def test_an_interval_stays_in_the_range_of_its_metric() -> None:
    values = np.array([1.0] * 25 + [0.5, 0.0])
    found = mean_interval(values, clusters=np.arange(27) % 5)
    assert 0 <= found.low <= values.mean() <= found.high <= 1


def test_every_choice_says_what_it_took_and_why() -> None:
    generator = np.random.default_rng(0)
    right = (generator.random(400) < 0.7).astype(float)
    graded = generator.beta(2, 2, 400)
    skewed = generator.random(400) ** 40
    cluster = np.arange(400) % 40
    few = np.where(cluster < 3, right, 1.0)  # wrong items in three clusters only
    cases = [
        (choose_interval(right[:30]), "Clopper-Pearson", "30 independent right-or-wrong items, fewer than 40"),
        (choose_interval(right), "Wilson score", "400 independent right-or-wrong items"),
        (choose_interval(right, clusters=cluster), "studentised cluster bootstrap", "400 items in 40 clusters"),
        (choose_interval(few, clusters=cluster), "effective items (Korn-Graubard)", "only 3 hold the rarer outcome"),
        (choose_interval(graded), "Student's t", "400 independent graded items, of skewness"),
        (choose_interval(skewed), "studentised item bootstrap", "400 items"),
        (choose_interval(graded, weights=graded + 1), "studentised item bootstrap", "400 items"),
        (choose_interval(np.ones(400), clusters=cluster), "Clopper-Pearson", "40 clusters as trials"),
        (choose_interval(np.zeros(25)), "Clopper-Pearson", "25 items as trials"),
    ]
    for found, method, why in cases:
        assert method in found.interval.method
        assert why in found.why
        assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
        assert found.interval.low < found.interval.high


def test_metrics_of_sums_are_chosen_for_too() -> None:
    def f1(sums: np.ndarray) -> np.ndarray:
        hits, errors = sums[..., 0], sums[..., 1]
        return np.divide(2 * hits, 2 * hits + errors, out=np.zeros_like(hits), where=hits + errors > 0)

    counts = np.array([[1, 0]] * 70 + [[0, 1]] * 30 + [[0, 0]] * 100, float)  # hits, errors; correct rejections
    found = choose_interval(counts, f1)
    assert found.value == pytest.approx(140 / 170)
    assert "BCa item bootstrap of sums" in found.interval.method
    assert found.interval.low < found.value < found.interval.high
    perfect = choose_interval(counts[:70], f1, trials=70)
    assert (perfect.value, perfect.interval.high) == (1.0, 1.0)
    assert perfect.interval.low == pytest.approx(stats.binomtest(70, 70).proportion_ci(0.95).low)
    assert "no resampling shows a spread" in perfect.why


def beta_binomial(generator: np.random.Generator, clusters: int, share: float, alike: float) -> tuple[np.ndarray, ...]:
    """Right-or-wrong items in unequal clusters, alike within each (intra-class correlation)."""
    size = np.clip(np.round(np.exp(generator.normal(2.5, 0.8, clusters))), 1, 200).astype(int)
    of = np.repeat(np.arange(clusters), size)
    rate = generator.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), clusters)
    return (generator.random(len(of)) < rate[of]).astype(float), of


@pytest.mark.parametrize(("clusters", "share"), [(6, 0.1), (28, 0.02), (60, 0.1)])
def test_clustered_proportions_are_covered(clusters: int, share: float) -> None:
    generator = np.random.default_rng(clusters)
    missed, runs = 0, 500
    for run in range(runs):
        x, of = beta_binomial(generator, clusters, share, 0.2)
        found = mean_interval(x, clusters=of, seed=run)
        missed += not found.low <= share <= found.high
    assert missed / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


@pytest.mark.parametrize(("n", "share"), [(12, 0.05), (30, 0.9), (60, 0.02), (300, 0.5), (1000, 0.97)])
def test_proportions_are_covered_exactly(n: int, share: float) -> None:
    """Not simulated: the coverage summed over all outcomes."""
    found = [mean_interval(np.r_[np.ones(k), np.zeros(n - k)]) for k in range(n + 1)]
    covered = np.array([i.low <= share <= i.high for i in found])
    assert stats.binom.pmf(np.arange(n + 1), n, share) @ covered >= (0.95 if n < 40 else 0.92)


def test_graded_means_are_covered() -> None:
    generator = np.random.default_rng(4)
    values = generator.beta(0.6, 0.4, (2000, 200))
    mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / 200**0.5
    chosen = [choose_interval(v) for v in values[:50]]
    assert all(c.interval.method == "Student's t" for c in chosen)
    assert chosen[0].interval.high == pytest.approx(mean[0] + stats.t.ppf(0.975, 199) * error[0])
    covered = (np.abs(mean - 0.6) <= stats.t.ppf(0.975, 199) * error).mean()
    assert abs(covered - 0.95) <= 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_korn_graubard_is_clopper_pearson_for_independent_items() -> None:
    n, k = 80, 9
    spread = (k / n * (1 - k / n) / n) ** 0.5
    found, exact = korn_graubard(k / n, spread, n, n), clopper_pearson(k, n)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert korn_graubard(k / n, 2 * spread, n, 20).low < exact.low


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="no proportion"):
        wilson(3, 2)
    with pytest.raises(InputError, match="at least two"):
        mean_interval(np.array([0.5, 0.6]), clusters=["only", "only"])
    with pytest.raises(InputError, match="finite"):
        mean_interval(np.array([0.5, np.nan]))


def test_a_metric_that_no_resample_moves_is_not_certain():
    """A class that is never predicted: F1 is 0 of 11 decisions, whatever else the 79 items are."""
    from loomwork.metrics.classification import binary_cells, binary_f1, matthews

    gold = np.arange(79) < 11
    cells = binary_cells(gold, np.zeros(79, bool))
    found = choose_interval(cells, binary_f1, trials=11, of_share=f1_of_share)
    assert (found.value, found.interval.low) == (0.0, 0.0)
    share = clopper_pearson(0, 11).high
    assert found.interval.high == pytest.approx(2 * share / (1 + share))
    found = choose_interval(cells, matthews, within=(-1.0, 1.0), trials=11)
    assert (found.value, found.interval.high) == (0.0, pytest.approx(2 * clopper_pearson(0, 11).high))
    assert found.interval.low == -found.interval.high
    assert "no resample moves" in found.why


@pytest.mark.parametrize(
    ("wanted", "recall", "alarms"), [(66, 0.05, 0.0), (20, 0.1, 3.0), (66, 0.06, 40.0), (9, 0.3, 0.5)]
)
def test_f1_of_no_hit_is_covered(wanted: int, recall: float, alarms: float) -> None:
    """Of samples with no hit the interval holds the true F1 but for 2.5 % of all samples; the bound of the share of
    hits, taken for one of F1, misses it in far more."""
    generator = np.random.default_rng(wanted)
    runs = 20_000
    hits = generator.binomial(wanted, recall, runs)
    false = generator.poisson(alarms, runs)
    truth = 2 * wanted * recall / (wanted + wanted * recall + alarms)
    none = false[hits == 0]
    bounds = {int(n): unmoved(0.0, wanted + int(n), 0.95, (0.0, 1.0), f1_of_share).high for n in np.unique(none)}
    missed = sum(bounds[int(n)] < truth for n in none) / runs
    assert missed <= 0.025 + 3 * (0.025 * 0.975 / runs) ** 0.5
    if alarms < 1:  # few are found: F1 is nearly twice the share
        shares = {int(n): clopper_pearson(0, wanted + int(n)).high for n in np.unique(none)}
        assert sum(shares[int(n)] < truth for n in none) / runs > 0.03


def test_f1_that_no_resample_moves_is_bounded_by_its_steepest_slope() -> None:
    found = unmoved(0.5, 30, 0.95, (0.0, 1.0), f1_of_share)
    share = clopper_pearson(0, 30).high
    assert (found.low, found.high) == pytest.approx((0.5 - f1_of_share(share), 0.5 + f1_of_share(share)))
    assert unmoved(1.0, 30, 0.95, (0.0, 1.0), f1_of_share).low == pytest.approx(
        f1_of_share(clopper_pearson(30, 30).low)
    )
