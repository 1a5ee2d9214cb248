"""AUC and its interval against scikit-learn, all pairs, the binormal law, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from loomwork.core.errors import InputError
from loomwork.stats.auc import auc_interval


def drawn(seed: int, positives: int, negatives: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed)
    scores = np.concatenate([order.normal(shift, 1, positives), order.normal(0, 1, negatives)])
    return scores, np.arange(positives + negatives) < positives


def test_the_value_is_scikit_learns_with_ties_too():
    for seed in range(5):
        scores, positive = drawn(seed, 40, 70, 0.7)
        for values in (scores, np.round(scores)):
            assert auc_interval([(values, positive)])[0] == pytest.approx(roc_auc_score(positive, values), abs=1e-12)


def test_the_variance_is_delongs_by_its_definition_over_all_pairs():
    scores, positive = drawn(3, 30, 45, 0.8)
    scores = np.round(scores, 1)
    a, b = scores[positive], scores[~positive]
    won = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    value = won.mean()
    deviation = np.sqrt(won.mean(axis=1).var(ddof=1) / len(a) + won.mean(axis=0).var(ddof=1) / len(b))
    middle, half = np.log(value / (1 - value)), 1.959963985 * deviation / (value * (1 - value))
    _, interval = auc_interval([(scores, positive)])
    expected = [1 / (1 + np.exp(-(middle + s * half))) for s in (-1, 1)]
    assert [interval.low, interval.high] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_interval_covers_the_true_value_about_as_often_as_it_says(shift):
    true = norm.cdf(shift / np.sqrt(2))
    held = 0
    for seed in range(400):
        folds = [drawn(1000 * fold + seed, 30, 40, shift) for fold in range(3)]
        interval = auc_interval(folds)[1]
        held += interval.low <= true <= interval.high
    assert 0.92 <= held / 400 <= 0.98


def test_folds_are_compared_within_themselves_only():
    scores, positive = drawn(0, 50, 50, 1)
    one = auc_interval([(scores, positive)])[0]
    assert auc_interval([(scores, positive), (scores + 100, positive)])[0] == pytest.approx(one)


def test_a_perfect_order_still_has_an_interval():
    value, interval = auc_interval([(np.arange(40.0), np.arange(40) >= 20)])
    assert (value, interval.high) == (1, 1)
    assert 0.8 < interval.low < 0.9  # Clopper-Pearson, 20 of 20: 0.832
    assert auc_interval([(-np.arange(40.0), np.arange(40) >= 20)])[1].low == 0


def test_a_fold_without_two_of_each_is_refused():
    with pytest.raises(InputError, match="two items"):
        auc_interval([(np.arange(3.0), np.array([True, False, False]))])
