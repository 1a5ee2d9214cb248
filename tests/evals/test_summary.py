from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.summary import summary

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")


@pytest.fixture(scope="module")
def rows(cranfield):
    """Abstracts, "summarised" by their first words, against their titles."""
    found = []
    for row in cranfield[:60]:
        words = row["passage"].split()
        found.append({"prediction": "\n".join([" ".join(words[:9]), " ".join(words[9:15])]), "reference": row["query"]})
    return found


@pytest.mark.parametrize("stemmer", [False, True])
def test_the_scores_are_rouge_scores(stemmer, rows, make_dataset, run_step):
    found, _ = run_step(summary, data=make_dataset(rows), stemmer=stemmer)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=stemmer)
    expected = [scorer.score(r["reference"], r["prediction"]) for r in rows]
    for score in found.scores:
        values = [e[score.name].fmeasure for e in expected]
        assert found.items().column(score.name).to_pylist() == pytest.approx(values)
        assert score.value == pytest.approx(np.mean(values))
        assert score.interval.low < score.value < score.interval.high
        recall = [e[score.name].recall for e in expected]
        assert found.items().column(f"{score.name}_recall").to_pylist() == pytest.approx(recall)
    assert [s.name for s in found.scores] == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert found.score("rouge1").value > found.score("rouge2").value > 0


def test_the_best_of_several_references_counts(make_dataset, run_step):
    rows = [{"prediction": "the cat sat", "reference": ["a dog ran", "the cat sat"], "page": i // 2} for i in range(6)]
    found, card = run_step(summary, data=make_dataset(rows), metrics=["rougeL"], cluster="page")
    assert found.scores[0].value == 1
    assert found.scores[0].interval.low < 1
    assert (found.scores[0].n_clusters, card.metrics["references"]) == (3, 2)


def test_rows_may_have_unequal_numbers_of_references(make_dataset, run_step):
    references = ["the cat sat", ["a dog ran", "the cat sat"], ["a dog", "a fox", "a hen"]]
    rows = [{"prediction": "the cat sat", "reference": [r] if isinstance(r, str) else r} for r in references]
    found, card = run_step(summary, data=make_dataset(rows), metrics=["rouge1"])
    assert found.items().column("rouge1").to_pylist() == [1, 1, 0]
    assert found.items().column("references").to_pylist()[2] == references[2]
    assert card.notes == ["rows have 1 to 3 references: the best of many is easily better than the best of few"]


def test_other_scripts_and_empty_summaries_are_counted(make_dataset, run_step):
    rows = [{"prediction": "今天", "reference": "今天"}, {"prediction": "", "reference": "the cat"}]
    found, card = run_step(summary, data=make_dataset(rows), metrics=["rouge1"])
    assert found.scores[0].value == 0
    assert card.notes == ["1 summaries are empty; 1 references have no Latin letter or digit, and score 0"]


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"prediction": "a", "reference": "b"}], {}, "one row gives no interval"),
        ([{"prediction": None, "reference": "b"}] * 2, {}, "row 0 has no text in 'prediction'"),
        ([{"prediction": "a", "reference": "b"}] * 2, {"metrics": ["rouge1", "rouge1"]}, "name each measure once"),
        ([{"summary": "a", "reference": "b"}] * 2, {}, "no column 'prediction'"),
    ],
)
def test_bad_rows_are_refused(rows, settings, message, make_dataset, run_step):
    with pytest.raises(InputError, match=message):
        run_step(summary, data=make_dataset(rows), **settings)
