from __future__ import annotations

import json

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.compare import compare
from loomwork.evals.squad import squad
from tests.metrics.test_answers import official_f1, official_normalised

# As measured with the official normalisation: exact match, F1, missing predictions.
KNOWN = {
    "bert-ensemble": (86.2062, 92.1956, 0),
    "logreg-baseline": (40.1419, 50.9815, 13),
    "match-lstm": (67.6348, 76.7556, 0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_numbers_of_squad_1_1(name, test_data, run_step):
    folder = test_data / "squad"
    found, card = run_step(squad, data=folder / "dev-v1.1.json", predictions=folder / f"predictions-v1.1-{name}.json")
    exact, f1 = found.scores
    assert [s.name for s in found.scores] == ["exact_match", "f1"]
    assert (round(exact.value, 4), round(f1.value, 4), card.metrics["missing_predictions"]) == KNOWN[name]
    assert (exact.n, exact.n_clusters, exact.cluster_unit) == (10570, 48, "article")
    assert exact.interval.low < exact.value < exact.interval.high
    assert exact.direction == "higher is better"
    items = found.items()
    assert items.column("f1").to_numpy().mean() == pytest.approx(f1.value)
    assert len(set(items.column("row_id").to_pylist())) == 10570
    assert card.metrics["empty_answers"] == 3  # "." each time


def test_the_known_numbers_of_squad_2_0(test_data, run_step):
    folder = test_data / "squad"
    found, card = run_step(
        squad, data=folder / "dev-v2.0.json", predictions=folder / "predictions-v2.0-bidaf-elmo.json"
    )
    values = {s.name: (round(s.value, 4), s.n) for s in found.scores}
    assert values["exact_match"] == (65.7037, 11873)
    assert values["f1"] == (67.8765, 11873)
    assert (round(found.score("HasAns_exact_match").value, 3), found.score("HasAns_exact_match").n) == (61.420, 5928)
    assert (round(found.score("HasAns_f1").value, 3), found.score("HasAns_f1").n) == (65.772, 5928)
    assert (round(found.score("NoAns_exact_match").value, 3), found.score("NoAns_exact_match").n) == (69.975, 5945)
    assert "SQuAD 2.0 rules" in card.notes
    assert np.isnan(found.items().column("NoAns_exact_match").to_numpy(zero_copy_only=False)).sum() == 5928


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_xquad(language, test_data, run_step, tmp_path):
    """Answers cut short: each score is the official function's."""
    path = test_data / "squad" / f"xquad.{language}.json"
    asked = [q for a in json.loads(path.read_text())["data"] for paragraph in a["paragraphs"] for q in paragraph["qas"]]
    answers = {q["id"]: q["answers"][0]["text"] for q in asked}
    given = {name: text[: 1 + len(text) * (i % 4) // 3] for i, (name, text) in enumerate(answers.items())}
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(given))
    found, _ = run_step(squad, data=path, predictions=file, cluster="paragraph")
    items = {i["row_id"]: i for i in found.items().to_pylist()}
    assert len(items) == 1190
    for name, text in answers.items():
        same = official_normalised(given[name]) == official_normalised(text)
        assert (items[name]["exact_match"], items[name]["f1"]) == (
            100 * same,
            pytest.approx(100 * official_f1(given[name], text, 1)),
        )
    assert found.scores[0].n_clusters == 240


def test_two_systems_are_compared_on_the_same_questions(test_data, run_step):
    folder = test_data / "squad"
    ours, theirs = (
        run_step(squad, data=folder / "dev-v1.1.json", predictions=folder / f"predictions-v1.1-{name}.json")[0]
        for name in ("bert-ensemble", "match-lstm")
    )
    verdict, _ = run_step(compare, candidate=ours, baseline=theirs, better_than=10)
    assert verdict.ruling.decision == "pass"
    assert verdict.ruling.numbers["difference"] == pytest.approx(86.2062 - 67.6348, abs=1e-3)


def write_squad(folder, answers, version="1.1"):
    """One question an article, with these answers."""
    data = [
        {"title": f"t{i}", "paragraphs": [{"context": "", "qas": [{"id": f"q{i}", "question": "?", "answers": a}]}]}
        for i, a in enumerate([{"text": t, "answer_start": 0} for t in texts] for texts in answers)
    ]
    path = folder / "data.json"
    path.write_text(json.dumps({"version": version, "data": data}))
    return path


def test_missing_extra_and_repeated_ids_are_counted(tmp_path, run_step):
    data = write_squad(tmp_path, [["red"], ["blue"], ["green sea"]])
    given = tmp_path / "p.json"
    given.write_text('{"q0": "wrong", "q0": "The Red!", "q2": null, "q9": "x"}')
    found, card = run_step(squad, data=data, predictions=given)
    assert found.items().column("exact_match").to_pylist() == [100, 0, 0]
    counted = {"questions": 3, "missing_predictions": 2, "unknown_ids": 1, "repeated_ids": 1, "empty_answers": 0}
    assert card.metrics == counted
    assert "2 questions without a prediction, which score 0" in card.notes[1]


def test_no_answer_is_right_only_in_2_0(tmp_path, run_step):
    given = tmp_path / "p.json"
    given.write_text('{"q0": "the", "q1": "", "q2": "sea", "q3": ""}')
    found, _ = run_step(squad, data=write_squad(tmp_path, [[], ["the"], [], ["sea"]]), predictions=given)
    assert found.items().column("exact_match").to_pylist() == [100, 100, 0, 0]
    empty = write_squad(tmp_path, [["the"], [""], ["a"], ["sea"]])
    found, card = run_step(squad, data=empty, predictions=given)
    assert found.items().column("exact_match").to_pylist() == [100, 100, 0, 0]
    assert card.metrics["empty_answers"] == 3
    assert "3 right answers are nothing once punctuation" in card.notes[1]
    assert found.items().column("f1").to_pylist() == [0, 0, 0, 0]  # of no words, says the script of 1.1


def test_rows_of_a_dataset(make_dataset, run_step):
    rows = [
        {"question": "a?", "prediction": "Red.", "answers": {"text": ["red", "dark red"]}, "title": "x"},
        {"question": "b?", "prediction": None, "answers": {"text": ["blue"]}, "title": "x"},
        {"question": "c?", "prediction": "green", "answers": {"text": ["green sea"]}, "title": "y"},
        {"question": "d?", "prediction": "", "answers": {"text": []}, "title": "z"},
    ]
    data = make_dataset(rows)
    found, card = run_step(squad, rows=data, cluster="title")
    assert found.score("exact_match").value == 50
    assert (found.scores[0].n_clusters, found.scores[0].data) == (3, data.digest)
    assert card.metrics["missing_predictions"] == 1
    assert any("NoAns_exact_match is left out" in note for note in card.notes)
    assert found.items().column("row_id").to_pylist() == [r["row_id"] for r in data.rows()]


@pytest.mark.parametrize(
    ("data", "predictions", "settings", "message"),
    [
        ('{"data": [{"title"', "{}", {}, "line 1, column 19: no JSON.*\n.*too early"),
        ('{"version": "1"}', "{}", {}, 'no list "data"'),
        ('{"data": []}', "{}", {}, "has no questions"),
        ("", "{}", {}, "is empty"),
        ('{"data": [{"paragraphs": [{"qas": [{"id": 1}]}]}]}', "{}", {}, r"qas\[0\] lacks 'answers'"),
        ('{"data": [{"paragraphs": 3}]}', "{}", {}, "is not as expected"),
        (None, "[]", {}, "must map ids to answers"),
        (None, '{"q0": 3}', {}, "the answer to q0 is '3', not a text"),
        (None, b'{"q0": "caf\xe9"}', {}, "line 1: byte 0xe9 is not UTF-8"),
        (None, "{}", {"cluster": "artikle"}, "did you mean 'article'"),
        ("one article", "{}", {}, "all questions are of one article"),
    ],
)
def test_bad_files_are_refused(data, predictions, settings, message, tmp_path, run_step):
    path, given = (
        write_squad(tmp_path, [["red"]] if data == "one article" else [["red"], ["blue"]]),
        tmp_path / "p.json",
    )
    if data not in (None, "one article"):
        path.write_text(data)
    given.write_bytes(predictions if isinstance(predictions, bytes) else predictions.encode())
    with pytest.raises(InputError, match=message) as error:
        run_step(squad, data=path, predictions=given, **settings)
    assert str(error.value)


def test_files_or_rows_not_both(make_dataset, run_step, tmp_path):
    with pytest.raises(InputError, match="either data and predictions, or rows; given: data"):
        run_step(squad, data=tmp_path)
    with pytest.raises(InputError, match="given: data, rows"):
        run_step(squad, rows=make_dataset([{"prediction": "a", "answers": "a"}]), data=tmp_path)
