"""Is there a difference between two samples that a classifier can learn?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def folds_of_groups(groups: np.ndarray, folds: int, order: np.random.Generator) -> np.ndarray:
    """A fold for each item, equal groups together, so that no copy of a held-out item is trained on.

    Args:
        groups: integers from 0.  # (items,)
        folds: how many.
        order: where chance comes from.

    Returns: integers from 0 to folds - 1.  # (items,)
    """
    of_group = np.arange(int(groups.max()) + 1) % folds
    return np.asarray(order.permutation(of_group)[groups])


def cross_fitted(features: Any, is_second: np.ndarray, fold_of: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
    """The score of each item by a logistic regression that saw neither the item nor its fold.

    Args:
        features: dense, or a scipy sparse matrix; rows of length about 1.  # (items, features)
        is_second: which items belong to the second sample, bool.  # (items,)
        fold_of: each item's fold, from 0.  # (items,)
        strength: the inverse of the regularisation (scikit-learn's C).

    Returns: log-odds of the second sample, float64; they compare within a fold only.  # (items,)

    Source: Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests; cross-fitting in place of one split.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    found = np.empty(len(is_second))
    with threadpool_limits(1):  # its vectors are short: threads cost more than they give, and change the last bits
        for fold in range(int(fold_of.max()) + 1):
            held = fold_of == fold
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=200, tol=1e-3)
            model.fit(features[~held], is_second[~held])
            found[held] = model.decision_function(features[held])
    return found


def by_fold(scores: np.ndarray, is_second: np.ndarray, fold_of: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores and labels of one fold after the other, as `auc_interval` takes them."""
    for fold in range(int(fold_of.max()) + 1):
        yield scores[fold_of == fold], is_second[fold_of == fold]


def coverage(within: np.ndarray, across: np.ndarray, neighbours: int = 5) -> np.ndarray:
    """Which items of the target have an item of the data near them: nearer than their k-th neighbour in the target.

    Two samples of one distribution cover each other to `coverage_of_equals`.

    Args:
        within: similarities of the target's items, more than `neighbours` of them.  # (targets, targets)
        across: similarities of the target's items to the data's.  # (targets, rows)
        neighbours: k.

    Returns: bool.  # (targets,)

    Source: Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models, equation 5.
    """
    others = np.where(np.eye(len(within), dtype=bool), -np.inf, within)
    radius = np.partition(others, -neighbours, axis=1)[:, -neighbours]
    return np.asarray(across.max(axis=1) >= radius)


def coverage_of_equals(rows: int, targets: int, neighbours: int = 5) -> float:
    """The coverage to expect where both are samples of one distribution.

    Source: Naeem et al. (2020), proposition 1 (lemma 2 of its appendix).
    """
    chance = 1.0  # that the k nearest of all others are all target items
    for i in range(1, neighbours + 1):
        chance *= (targets - i) / (rows + targets - i)
    return 1 - chance
