from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krippendorff import alpha as krippendorffs
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from loomwork.core.errors import InputError
from loomwork.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

DRAWS = 399


@pytest.fixture
def pandalm(test_data):
    rows = json.loads((test_data / "judge" / "pandalm" / "testset-v1.json").read_text("utf-8"))
    return [[row[f"annotator{i}"] for row in rows] for i in (1, 2, 3)]


def test_pandalms_published_kappas(pandalm):
    published = {(0, 1): 0.8520, (0, 2): 0.8789, (1, 2): 0.8617}
    for (a, b), kappa in published.items():
        found = cohen_kappa(pandalm[a], pandalm[b], draws=DRAWS)
        assert found.value == pytest.approx(kappa, abs=5e-5)
        assert found.interval.low < kappa < found.interval.high
        assert found.interval.high - found.interval.low < 0.08  # 999 items
    assert krippendorff_alpha(pandalm, draws=DRAWS).value == pytest.approx(0.8642, abs=5e-5)


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.6914), ("ordinal", 0.8067), ("interval", 0.8108)])
def test_krippendorffs_own_example(scale, alpha, test_data):
    text = (test_data / "agreement" / "krippendorff_book.csv").read_text("utf-8")
    rows = [[None if v == "*" else int(v) for v in row] for row in csv.reader(text.split())]
    found = krippendorff_alpha(rows, scale=scale, draws=DRAWS)
    assert found.value == pytest.approx(alpha, abs=5e-5)
    assert found.n == 12  # of 15 units, those with two ratings
    assert found.interval.low < alpha < found.interval.high
    theirs = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float)
    assert found.value == pytest.approx(krippendorffs(reliability_data=theirs, level_of_measurement=scale))


RATED = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(RATED, min_size=2, max_size=4), st.sampled_from(["nominal", "ordinal", "interval", "ratio"]))
def test_alpha_is_that_of_the_package_krippendorff(rows, scale):
    """With ratings left out, on every scale."""
    pairable = [u for u in zip(*rows, strict=True) if sum(v is not None for v in u) > 1]
    if len(pairable) < 2 or len({v for u in pairable for v in u if v is not None}) < 2:
        return  # nothing to compare
    theirs = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float)
    expected = krippendorffs(reliability_data=theirs, level_of_measurement=scale)
    assert krippendorff_alpha(rows, scale=scale, draws=20).value == pytest.approx(expected, abs=1e-9)


def test_fleiss_own_example():
    """Fleiss (1971): 30 patients, 6 psychiatrists, 5 diagnoses; kappa .430."""
    counts = """0 0 0 6 0, 0 3 0 0 3, 0 1 4 0 1, 0 0 0 0 6, 0 3 0 3 0, 2 0 4 0 0, 0 0 4 0 2, 2 0 3 1 0, 2 0 0 4 0,
        0 0 0 0 6, 1 0 0 5 0, 1 1 0 4 0, 0 3 3 0 0, 1 0 0 5 0, 0 2 0 3 1, 0 0 5 0 1, 3 0 0 1 2, 5 1 0 0 0, 0 2 0 4 0,
        1 0 2 0 3, 0 0 0 0 6, 0 1 0 5 0, 0 2 0 1 3, 2 0 0 4 0, 1 0 0 4 1, 0 5 0 1 0, 4 0 0 0 2, 0 2 0 4 0, 1 0 5 0 0,
        0 0 0 0 6"""
    table = np.array([[int(x) for x in row.split()] for row in counts.split(",")])
    found = fleiss_kappa(table, draws=DRAWS)
    assert found.value == pytest.approx(0.430, abs=5e-4)
    assert found.observed == pytest.approx(0.5556, abs=5e-4)
    assert found.value == pytest.approx(inter_rater.fleiss_kappa(table))
    assert 0.2 < found.interval.low < 0.430 < found.interval.high < 0.7


LABELS = st.integers(4, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n) for _ in range(2)])
)


@settings(max_examples=40, deadline=None)
@given(LABELS, st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_is_scikit_learns(labels, weighting):
    first, second = labels
    if len({*first, *second}) < 2:
        return
    found = cohen_kappa(first, second, weighting=weighting, categories=range(4), draws=50)
    expected = cohen_kappa_score(
        first, second, weights=None if weighting == "none" else weighting, labels=list(range(4))
    )
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.interval.low - 1e-12 <= found.value <= found.interval.high + 1e-12
    turned = cohen_kappa(second, first, weighting=weighting, categories=range(4), draws=50)
    assert turned.value == pytest.approx(found.value)


def brute_alpha(rows, distance):
    """Krippendorff's alpha by its definition over pairs of values, nothing tabulated."""
    units = [[v for v in unit if v is not None] for unit in zip(*rows, strict=True)]
    units = [u for u in units if len(u) > 1]
    every = [v for u in units for v in u]
    seen = sum(distance(a, b) / (len(u) - 1) for u in units for i, a in enumerate(u) for j, b in enumerate(u) if i != j)
    chance = sum(distance(a, b) for i, a in enumerate(every) for j, b in enumerate(every) if i != j)
    return 1 - (seen / len(every)) / (chance / (len(every) * (len(every) - 1)))


@pytest.mark.parametrize(
    ("scale", "distance"),
    [
        ("nominal", lambda a, b: a != b),
        ("interval", lambda a, b: (a - b) ** 2),
        ("ratio", lambda a, b: ((a - b) / (a + b)) ** 2),
    ],
)
def test_alpha_is_its_definition(scale, distance):
    generator = np.random.default_rng(1)
    truth = generator.integers(1, 6, 40)
    rows = [
        [int(v) if generator.random() < 0.8 else None for v in np.clip(truth + generator.integers(-1, 2, 40), 1, 5)]
        for _ in range(4)
    ]
    assert krippendorff_alpha(rows, scale=scale, draws=50).value == pytest.approx(brute_alpha(rows, distance))


def test_intervals_cover_the_true_kappa():
    """Two raters who agree with the truth 4 times in 5: 300 samples of 100 items."""
    generator = np.random.default_rng(2)

    def rated(n):
        truth = generator.random(n) < 0.4
        return [np.where(generator.random(n) < 0.8, truth, ~truth).astype(int) for _ in range(2)]

    true = cohen_kappa(*rated(400_000), draws=2).value
    covered = 0
    for run in range(300):
        found = cohen_kappa(*rated(100), draws=DRAWS, seed=run).interval
        covered += found.low <= true <= found.high
    assert 0.95 - 3 * (0.05 * 0.95 / 300) ** 0.5 <= covered / 300 <= 0.995


def test_perfect_and_empty_agreement():
    assert cohen_kappa([0, 1, 0, 1], [0, 1, 0, 1]).value == 1
    assert krippendorff_alpha([["a", "b", "a"], ["a", "b", "a"]]).value == 1
    assert cohen_kappa([1, 1, 1], [1, 1, 1]).value == 0  # one label only says nothing of agreement


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="same ones"):
        cohen_kappa([1, 2], [1])
    with pytest.raises(InputError, match="in no category"):
        cohen_kappa([1, 2], [1, 7], categories=[1, 2])
    with pytest.raises(InputError, match="same number of raters"):
        fleiss_kappa([[2, 1], [2, 2]])
    with pytest.raises(InputError, match="at least two"):
        krippendorff_alpha([[1, None, 2], [1, 2, None]])
    with pytest.raises(InputError, match="need numbers"):
        krippendorff_alpha([["a", "b"], ["a", "b"]], scale="interval")
