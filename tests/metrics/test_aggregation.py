"""Aggregations against scikit-learn, sacrebleu's own defaults and lm-eval's code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.metrics.aggregation import AGGREGATIONS

FLOATS = st.floats(-50, 0)
BINARY = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60)
CLASSES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60)


@settings(deadline=None)
@given(BINARY)
def test_f1_is_scikit_learns(items) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    gold, predicted = zip(*items, strict=True)
    assert AGGREGATIONS["f1"](items) == pytest.approx(metrics.f1_score(gold, predicted, zero_division=0), abs=1e-12)


@settings(deadline=None)
@given(CLASSES)
def test_matthews_correlation_is_scikit_learns(items) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    gold, predicted = zip(*items, strict=True)
    assert AGGREGATIONS["matthews_corrcoef"](items) == pytest.approx(
        metrics.matthews_corrcoef(gold, predicted), abs=1e-9
    )


@settings(deadline=None)
@given(st.lists(st.tuples(FLOATS, st.integers(1, 90)), min_size=1, max_size=40))
def test_weighted_ones_need_only_their_sums(items) -> None:
    total, weight = sum(i[0] for i in items), sum(i[1] for i in items)
    assert AGGREGATIONS["weighted_perplexity"](items) == pytest.approx(math.exp(-total / weight))
    assert AGGREGATIONS["bits_per_byte"](items) == pytest.approx(-total / weight / math.log(2))
    assert AGGREGATIONS["weighted_perplexity"]([(total, weight)]) == pytest.approx(math.exp(-total / weight))


def test_all_are_lm_evals() -> None:
    theirs = pytest.importorskip("lm_eval.api.metrics", reason="lm-eval is not installed")
    pytest.importorskip("sacrebleu")
    pairs = [("the cat sat on the mat", "the cat sat on a mat"), ("two dogs ran", "two dogs ran far"), ("x", "")]
    numbers, weighted = [-3.0, -1.5, -0.25, -9.0], [(-3.0, 4), (-1.5, 2), (-7.0, 9)]
    for name in ("mean", "median", "perplexity"):
        assert AGGREGATIONS[name](numbers) == pytest.approx(getattr(theirs, name)(numbers), rel=1e-12)
    for name in ("weighted_perplexity", "bits_per_byte"):
        assert AGGREGATIONS[name](weighted) == pytest.approx(getattr(theirs, name)(weighted), rel=1e-12)
    for name, function in (("bleu", "bleu"), ("chrf", "chrf"), ("chrf++", "chrfpp"), ("ter", "ter")):
        assert AGGREGATIONS[name](pairs) == pytest.approx(getattr(theirs, function)(pairs), rel=1e-12)
    assert AGGREGATIONS["nanmean"]([1.0, math.nan, 3.0]) == theirs.nanmean([1.0, math.nan, 3.0]) == 2
    assert math.isnan(AGGREGATIONS["nanmean"]([math.nan]))


def test_several_references() -> None:
    pytest.importorskip("sacrebleu")
    items = [(["the cat sat down", "a cat sat on the mat"], "a cat sat on the mat")]
    assert AGGREGATIONS["bleu"](items) == pytest.approx(100)
    with pytest.raises(InputError, match="different numbers of references"):
        AGGREGATIONS["bleu"]([*items, (["one"], "one")])


def test_what_has_no_number() -> None:
    with pytest.raises(InputError, match="two classes"):
        AGGREGATIONS["f1"]([(0, 2)])
    with pytest.raises(InputError, match="no words or bytes"):
        AGGREGATIONS["bits_per_byte"]([(-1.0, 0)])
    assert AGGREGATIONS["matthews_corrcoef"]([(1, 1), (1, 0)]) == 0
    assert np.isnan(AGGREGATIONS["mean"]([math.nan, 1.0]))
