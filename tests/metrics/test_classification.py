from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.metrics.classification import (
    binary_cells,
    binary_f1,
    brier,
    calibration_counts,
    calibration_error,
    class_counts,
    class_f1,
    confusion,
    index_of,
    macro_f1,
    matthews,
    micro_f1,
)

pytest.importorskip("sklearn")
from sklearn import metrics as sk

labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_binary_metrics_are_scikit_learns(pairs):
    gold, said = np.array(pairs).T
    sums = binary_cells(gold, said).sum(axis=0)
    assert float(binary_f1(sums)) == pytest.approx(sk.f1_score(gold, said, zero_division=0))
    assert float(matthews(sums)) == pytest.approx(sk.matthews_corrcoef(gold, said), abs=1e-12)


@given(labels)
def test_metrics_of_several_classes_are_scikit_learns(pairs):
    gold, said = np.array(pairs).T
    sums = class_counts(gold, said, 4).sum(axis=0)
    names = dict(labels=range(4), zero_division=0)
    assert class_f1(sums) == pytest.approx(sk.f1_score(gold, said, average=None, **names))
    assert float(macro_f1(sums)) == pytest.approx(sk.f1_score(gold, said, average="macro", **names))
    assert float(micro_f1(sums)) == pytest.approx(sk.accuracy_score(gold, said))
    table = confusion(gold, said, 4)
    assert (table[:, :4] == sk.confusion_matrix(gold, said, labels=range(4))).all()
    assert not table[:, 4].any()


def test_a_prediction_of_no_class_is_missed_not_wrong():
    gold, said = index_of(["a", "a", "b"], ["a", "b"]), index_of(["a", "other", None], ["a", "b"])
    assert said.tolist() == [0, -1, -1]
    assert float(micro_f1(class_counts(gold, said, 2).sum(axis=0))) == pytest.approx(2 * 1 / (1 + 3))
    assert confusion(gold, said, 2).tolist() == [[1, 0, 1], [0, 0, 1]]


def test_many_rows_of_sums_at_once_are_each_alone():
    rng = np.random.default_rng(0)
    sums = rng.integers(0, 9, (7, 12)).astype(float)
    assert macro_f1(sums) == pytest.approx([float(macro_f1(row)) for row in sums])
    assert matthews(sums[:, :4]) == pytest.approx([float(matthews(row)) for row in sums[:, :4]])


def test_brier_is_scikit_learns_and_calibration_is_by_the_book():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([1, 1, 1], 200)
    gold = rng.integers(0, 3, 200)
    assert brier(probabilities, gold).mean() == pytest.approx(
        sk.brier_score_loss(gold, probabilities, labels=[0, 1, 2], scale_by_half=False)
    )
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == gold
    expected = 0.0
    for k in range(10):
        inside = (confidence > k / 10) & (confidence <= (k + 1) / 10)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    sums = calibration_counts(confidence, right, 10).sum(axis=0)
    assert float(calibration_error(sums)) == pytest.approx(expected)


def test_bins_hold_their_upper_end():
    counts = calibration_counts(np.array([0.0, 0.1, 0.1000001, 1.0]), np.ones(4), 10)
    assert counts[:, :10].argmax(axis=1).tolist() == [0, 0, 1, 9]
