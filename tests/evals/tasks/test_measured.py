"""Items of a metric become scores: intervals that can be, at the ends of the range too, and items that failed."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.core.score import Score
from loomwork.evals._mean_score import Provenance
from loomwork.evals._sums import item_values, sums_of, with_sums
from loomwork.evals.slices import sliced
from loomwork.evals.tasks.measured import Measured, measure
from loomwork.evals.tasks.task import Metric
from loomwork.metrics.aggregation import AGGREGATIONS

GIVEN = Provenance("d", "m", "s", "item", None, "unknown", "", 0.95, 0)
RIGHT = ["the cat sat on the mat", "a dog ran over the hill", "we saw two birds in the sun", "it was a fine day"] * 5
WRONG = ["zz qq", "jj", "xx kk zz", "qq"] * 5
EXACT = float(stats.binomtest(0, 20).proportion_ci(0.95, "exact").high)  # of nothing in 20


def scored(measured: Measured) -> Score:
    return measured.score(np.ones(len(measured.values), bool), GIVEN)


@pytest.mark.parametrize("name", ["bleu", "chrf", "chrf++", "ter"])
@pytest.mark.parametrize("said", [RIGHT, WRONG], ids=["all right", "all wrong"])
def test_translations_that_are_all_right_or_all_wrong_have_scores(name: str, said: list[str]) -> None:
    items = list(zip(RIGHT, said, strict=True))
    score = scored(measure(Metric(name, name), name, items))
    assert score.value == pytest.approx(AGGREGATIONS[name](items))
    assert score.interval.low <= score.value <= score.interval.high
    if score.value in (0.0, 100.0):  # TER of the wrong ones is neither
        assert score.interval.high - score.interval.low == pytest.approx(100 * EXACT)
    assert (score.value == 0) == ((name == "ter") == (said is RIGHT))


def test_ter_above_100_is_inside_of_its_interval() -> None:
    items = [("a", "b c d e")] * 20
    score = scored(measure(Metric("ter", "ter"), "ter", items))
    assert score.value == 400.0
    assert score.interval.low < 400.0 <= score.interval.high


def test_perplexity_is_bounded_on_the_scale_of_nats() -> None:
    """Against Student's interval of the mean surprise, exponentiated; a raw scale gives a bound below 0."""
    surprise = np.random.default_rng(3).normal(30, 9, 60).clip(1)
    score = scored(measure(Metric("perplexity", "perplexity"), "perplexity", list(-surprise)))
    assert score.value == pytest.approx(math.exp(surprise.mean()))
    wanted = stats.t.interval(0.95, 59, surprise.mean(), stats.sem(surprise))
    found = math.log(score.interval.low), math.log(score.interval.high)
    assert found == pytest.approx(wanted, abs=0.15 * (wanted[1] - wanted[0]))
    assert "exponentiated" in score.interval.method


@pytest.mark.parametrize("name", ["byte_perplexity", "bits_per_byte"])
def test_few_uneven_texts_do_not_have_impossible_likelihoods(name: str) -> None:
    by = "bits_per_byte" if name == "bits_per_byte" else "weighted_perplexity"
    items = [(-1.0, 900), (-900.0, 300), (-2.0, 800)]
    score = scored(measure(Metric(name, by), name, items))
    assert score.value == pytest.approx(AGGREGATIONS[by](items))
    assert score.interval.low >= (0 if name == "bits_per_byte" else 1)
    assert score.interval.high > score.value


def test_a_text_without_bytes_counts_with_its_log_probability() -> None:
    items = [(-8.0, 0), *[(-10.0 - i, 5 + i) for i in range(9)]]
    score = scored(measure(Metric("bits_per_byte", "bits_per_byte"), "b", items))
    assert score.value == pytest.approx(AGGREGATIONS["bits_per_byte"](items))
    assert score.interval.low < score.value < score.interval.high
    with pytest.raises(InputError, match="no words or bytes"):
        scored(measure(Metric("bits_per_byte", "bits_per_byte"), "b", [(-8.0, 0), (-7.0, 0)]))


def test_a_perplexity_that_no_number_holds_is_refused_and_its_bound_is_cut() -> None:
    with pytest.raises(InputError, match="take the accuracy"):
        scored(measure(Metric("perplexity", "perplexity"), "p", [-800.0, -900.0]))
    high = scored(measure(Metric("perplexity", "perplexity"), "p", [-650.0, -700.0, -740.0]))
    assert math.isfinite(high.interval.high)


@pytest.mark.parametrize(
    ("aggregation", "items", "wanted"),
    [
        ("median", [0.0] * 20, (0, EXACT)),
        ("median", [1.0] * 20, (1 - EXACT, 1)),
        ("median", [0.0] * 19 + [10.0], (0, 10 * EXACT)),  # resamples move, their quantiles do not
        ("matthews_corrcoef", [(0, 2), (1, 2), (2, 2), (3, 2)] * 5, (-2 * EXACT, 2 * EXACT)),
        (lambda found: sum(found) / len(found), [0.5] * 20, (0.5 - EXACT, 0.5 + EXACT)),
        (lambda found: 100.0 * min(found), [1.0] * 20, (100 - 100 * EXACT, 100)),
    ],
)
def test_what_no_resample_moves_is_not_certain(aggregation, items, wanted) -> None:
    score = scored(measure(Metric("mine", aggregation), "mine", items))
    assert (score.interval.low, score.interval.high) == pytest.approx(wanted)
    assert score.interval.low <= score.value <= score.interval.high
    assert "999 draws" in score.interval.method
    assert score.seed == 0


def test_brier_scores_of_numbers_and_of_pairs() -> None:
    """As lm-evaluation-harness aggregates them, which takes pairs."""
    pairs = [(0, [0.7, 0.3]), (1, [0.9, 0.1]), (1, [0.0, 1.0])]
    each = [0.18, 1.62, 0.0]
    for items in (pairs, each):
        measured = measure(Metric("brier_score", "brier_score"), "brier_score", items)
        assert measured.values.tolist() == pytest.approx(each)
        assert scored(measured).value == pytest.approx(0.6)
        assert (measured.within, measured.direction) == ((0.0, 2.0), "lower is better")
    with pytest.raises(InputError, match="or of pairs of the right class and the probabilities"):
        measure(Metric("brier_score", "brier_score"), "brier_score", ["high"])


def test_a_median_of_what_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="a median is taken of numbers"):
        measure(Metric("bleu", "median"), "bleu", [("a", "b")] * 3)


def test_items_that_failed_are_null_in_all_columns_and_counted_in_the_score() -> None:
    pairs = [(i % 2, i % 3 % 2) for i in range(20)]
    found = [None if i in (3, 7) else pair for i, pair in enumerate(pairs)]
    failed = np.array([f is None for f in found])
    measured = measure(Metric("f1", "f1"), "f1", found)
    chosen = np.arange(20) < 5
    score = measured.score(np.ones(20, bool), GIVEN, failed=failed)
    assert (score.n, score.failed) == (18, 2)
    part = measured.score(chosen, GIVEN, " [first]", failed)
    assert (part.n, part.failed) == (4, 1)
    ids = pa.array([bytes([i]) * 16 for i in range(20)], pa.binary(16))
    items = measured.add_to(pa.table({"row_id": ids}))
    for column in ("f1", "f1:sums"):
        assert [i for i, v in enumerate(items.column(column).to_pylist()) if v is None] == [3, 7]
    sums, statistic = sums_of(items, "f1")  # type: ignore[misc]
    assert np.isnan(sums).any(axis=1).tolist() == failed.tolist()
    assert statistic(sums[~failed].sum(axis=0)) == pytest.approx(score.value)
    alone = item_values(items.drop_columns(["f1"]), "f1")
    assert np.isnan(alone).tolist() == failed.tolist()
    again = with_sums(items, "f1", sums, statistic)  # as read, so written
    assert again.column("f1:sums").to_pylist() == items.column("f1:sums").to_pylist()
    slices, _ = sliced(score, items, {"half": ["a" if i < 10 else "b" for i in range(20)]}, least=2)
    assert {s.value: s.score.n for s in slices} == {"a": 8, "b": 10}


def test_perplexity_of_an_item_that_failed_is_none() -> None:
    measured = measure(Metric("perplexity", "perplexity"), "perplexity", [-1.0, None, -2.0])
    items = measured.add_to(pa.table({"row_id": pa.array([b"x" * 16] * 3, pa.binary(16))}))
    assert np.isnan(item_values(items.drop_columns(["perplexity"]), "perplexity")).tolist() == [False, True, False]
