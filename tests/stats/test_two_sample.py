"""The two-sample test: its level, its power, and coverage against its own expectation."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.stats.auc import auc_interval
from loomwork.stats.two_sample import by_fold, coverage, coverage_of_equals, cross_fitted, folds_of_groups


def auc_of(x: np.ndarray, is_second: np.ndarray, order: np.random.Generator, groups: np.ndarray | None = None):
    fold_of = folds_of_groups(np.arange(len(x)) if groups is None else groups, 5, order)
    return auc_interval(list(by_fold(cross_fitted(x, is_second, fold_of), is_second, fold_of)), cross_fitted=True)


def test_one_distribution_is_within_the_interval_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        order = np.random.default_rng(seed)
        _, interval = auc_of(order.normal(size=(200, 10)), np.arange(200) % 2 == 0, order)
        held += interval.low <= 0.5 <= interval.high
    assert held >= 54  # 57 expected. With the variance as it is, not doubled, it is 51


def test_a_shift_is_found():
    order = np.random.default_rng(0)
    x = order.normal(size=(400, 10))
    x[200:, 0] += 1.5
    value, interval = auc_of(x, np.arange(400) >= 200, order)
    assert interval.low > 0.7
    assert value == pytest.approx(0.856, abs=0.05)  # of the best classifier: the normal law at 1.5 / sqrt(2)


def test_copies_on_both_sides_do_not_fool_it():
    """Each item twice, once on each side: without groups the fold's own copies would be learned by heart."""
    order = np.random.default_rng(0)
    x = np.repeat(order.normal(size=(150, 400)), 2, axis=0)
    _, interval = auc_of(x, np.arange(300) % 2 == 0, order, groups=np.repeat(np.arange(150), 2))
    assert interval.low <= 0.5 <= interval.high


def test_groups_stay_in_one_fold_and_folds_are_even():
    groups = np.random.default_rng(0).integers(0, 50, 500)
    fold_of = folds_of_groups(groups, 5, np.random.default_rng(1))
    assert all(len(set(fold_of[groups == g])) == 1 for g in range(50))
    assert sorted(np.bincount([fold_of[groups == g][0] for g in range(50)])) == [10] * 5


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_coverage_of_one_distribution_is_as_expected_and_of_another_is_not():
    order = np.random.default_rng(0)
    found = []
    for _ in range(20):
        data, target = unit(order.normal(size=(100, 3))), unit(order.normal(size=(150, 3)))
        found.append(coverage(target @ target.T, target @ data.T).mean())
    assert np.mean(found) == pytest.approx(coverage_of_equals(100, 150), abs=0.02)
    corner = unit(np.abs(order.normal(size=(100, 3))) + 3)
    target = unit(order.normal(size=(150, 3)))
    assert coverage(target @ target.T, target @ corner.T).mean() < 0.3


def test_coverage_by_definition():
    target = np.array([0.0, 1.0, 2.0, 10.0])[:, None]
    data = np.array([0.5, 30.0])[:, None]
    covered = coverage(-np.abs(target - target.T), -np.abs(target - data.T), neighbours=1)
    assert covered.tolist() == [True, True, False, False]  # radii 1, 1, 1, 8; distances 0.5, 0.5, 1.5, 9.5
