"""Classification metrics as functions of sums over items, so that intervals can be drawn from the sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


def class_name(value: Any) -> str | None:
    """A class as text, spelled alike whatever its column's type: 1 and 1.0 are "1". Of what is missing, None.

    A column of whole numbers becomes one of fractions where pandas finds a value missing in it.
    """
    if value is None or value != value or not str(value).strip():
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def binary_cells(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> Floats:
    """Each item as true positive, false positive, false negative or true negative.

    Args:
        gold, predicted: whether each item is, and is said to be, of the positive class.  # (n,)

    Returns: a one in the item's column.  # (n, 4)
    """
    is_, said = np.asarray(gold, dtype=bool), np.asarray(predicted, dtype=bool)
    return np.stack([is_ & said, ~is_ & said, is_ & ~said, ~is_ & ~said], axis=1).astype(np.float64)


def binary_f1(sums: Floats) -> Floats:
    """F1 of the positive class; 0 where nothing is positive.  # (..., 4) -> (...)"""
    right, wrong, missed = sums[..., 0], sums[..., 1], sums[..., 2]
    return _share(2 * right, 2 * right + wrong + missed)


def f1_of_share(share: float) -> float:
    """F1 where such a share of the hits, false alarms and misses are hits: of TP / (TP + FP + FN)."""
    return 2 * share / (1 + share)


def matthews(sums: Floats) -> Floats:
    """Matthews' correlation; 0 where all items, or all predictions, are of one class.  # (..., 4) -> (...)

    Source: Matthews (1975), Biochimica et Biophysica Acta 405(2).
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    size = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return _share(tp * tn - fp * fn, size)


def class_matthews(sums: Floats) -> Floats:
    """Matthews' correlation for any number of classes, from `class_counts`; 0 as in `matthews`, which it is for two.

    # (..., 3 * classes) -> (...)

    Source: Gorodkin (2004), Computational Biology and Chemistry 28(5-6).
    """
    hits, said, members = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    items, right = members.sum(axis=-1), hits.sum(axis=-1)
    rest = (items**2 - (side**2).sum(axis=-1) for side in (said, members))
    size = np.sqrt(np.maximum(next(rest), 0)) * np.sqrt(np.maximum(next(rest), 0))
    return _share(right * items - (said * members).sum(axis=-1), size)


def class_counts(gold: Ints, predicted: Ints, classes: int) -> Floats:
    """What each item adds to the hits, predictions and members of each class.

    Args:
        gold, predicted: the class of each item; -1 is a prediction of no class.  # (n,)

    Returns: hits of each class, then predictions, then members.  # (n, 3 * classes)
    """
    counts = np.zeros((len(gold), 3 * classes))
    rows = np.arange(len(gold))
    said = predicted >= 0
    counts[rows[said], classes + predicted[said]] = 1
    counts[rows, 2 * classes + gold] = 1
    hit = gold == predicted
    counts[rows[hit], gold[hit]] = 1
    return counts


def class_f1(sums: Floats) -> Floats:
    """F1 of each class from `class_counts`; 0 for a class that is neither there nor predicted.

    # (..., 3 * classes) -> (..., classes)
    """
    hits, said, members = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    return _share(2 * hits, said + members)


def macro_f1(sums: Floats) -> Floats:
    """The mean of the classes' F1.  # (..., 3 * classes) -> (...)"""
    return np.asarray(class_f1(sums).mean(axis=-1))


def micro_f1(sums: Floats) -> Floats:
    """F1 of all classes' decisions together; the accuracy, where every item has a prediction."""
    hits, said, members = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    return _share(2 * hits.sum(axis=-1), said.sum(axis=-1) + members.sum(axis=-1))


def confusion(gold: Ints, predicted: Ints, classes: int) -> npt.NDArray[np.int64]:
    """How many members of each class (row) are predicted as each (column); the last column: as none.

    # (n,), (n,) -> (classes, classes + 1)
    """
    column = np.where(predicted < 0, classes, predicted)
    flat = np.bincount(gold * (classes + 1) + column, minlength=classes * (classes + 1))
    return np.asarray(flat.reshape(classes, classes + 1))


def brier(probabilities: Floats, gold: Ints) -> Floats:
    """Each item's squared distance of its probabilities from certainty of the right class; 0 to 2.

    Source: Brier (1950), Monthly Weather Review 78(1).
    """
    wanted = np.zeros_like(probabilities)
    wanted[np.arange(len(gold)), gold] = 1
    return np.asarray(((probabilities - wanted) ** 2).sum(axis=1))


def calibration_counts(confidence: Floats, right: npt.ArrayLike, bins: int) -> Floats:
    """What each item adds to its bin's items, confidence and right answers; bins of equal width, (low, high].

    # (n,), (n,) -> (n, 3 * bins)
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.zeros((len(confidence), 3 * bins))
    rows = np.arange(len(confidence))
    counts[rows, place] = 1
    counts[rows, bins + place] = confidence
    counts[rows, 2 * bins + place] = np.asarray(right, dtype=np.float64)
    return counts


def calibration_error(sums: Floats) -> Floats:
    """Expected calibration error: the mean distance of a bin's confidence from its accuracy, by items.

    # (..., 3 * bins) -> (...)

    Source: Guo et al. (2017), On calibration of modern neural networks, arXiv 1706.04599.
    """
    items, confidence, right = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    return _share(np.abs(confidence - right).sum(axis=-1), items.sum(axis=-1))


def index_of(labels: Sequence[str | None], names: Sequence[str]) -> Ints:
    """The place of each label among the names; -1 for one that is not there."""
    place = {name: i for i, name in enumerate(names)}
    return np.array([-1 if label is None else place.get(label, -1) for label in labels], dtype=np.intp)


def _share(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
