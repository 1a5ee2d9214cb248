from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.core.step import find_step
from loomwork.evals.classification import classification
from loomwork.evals.compare import compare
from loomwork.evals.side_by_side import side_by_side
from loomwork.evals.slices import slices

sk = pytest.importorskip("sklearn.metrics")


@pytest.fixture(scope="module")
def topics(test_data):
    """Coarse questions of TREC, classified by a small model that was trained on other ones, with its probabilities."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    lines = (test_data / "classification" / "trec_train.txt").read_text(encoding="latin1").splitlines()
    pairs = [line.split(" ", 1) for line in lines]
    gold, questions = [p[0].partition(":")[0] for p in pairs], [p[1] for p in pairs]
    words = TfidfVectorizer().fit(questions[:1000])
    model = LogisticRegression(max_iter=40, tol=1e-2).fit(words.transform(questions[:1000]), gold[:1000])
    probabilities = model.predict_proba(words.transform(questions[4000:5000]))
    names = model.classes_.tolist()
    return [
        {
            "label": g,
            "prediction": names[int(p.argmax())],
            "all": dict(zip(names, p.tolist(), strict=True)),
            "list": p.tolist(),
            "best": float(p.max()),
        }
        for g, p in zip(gold[4000:5000], probabilities, strict=True)
    ], names


def test_a_real_classifier_by_scikit_learn(topics, make_dataset, run_step):
    rows, names = topics
    found, card = run_step(classification, data=make_dataset(rows), probabilities="all")
    gold, said = [r["label"] for r in rows], [r["prediction"] for r in rows]
    values = {s.name: s.value for s in found.scores}
    assert values["accuracy"] == sk.accuracy_score(gold, said)
    assert values["macro_f1"] == pytest.approx(sk.f1_score(gold, said, average="macro"))
    assert values["micro_f1"] == pytest.approx(values["accuracy"])
    probabilities = np.array([r["list"] for r in rows])
    assert values["brier"] == pytest.approx(sk.brier_score_loss(gold, probabilities, labels=names, scale_by_half=False))
    assert 0 < values["calibration_error"] < 0.5
    extra = found.read_json("extra.json")
    report = sk.classification_report(gold, said, output_dict=True, zero_division=0)
    for name in names:
        assert values[f"f1: {name}"] == pytest.approx(report[name]["f1-score"])
        assert extra["report"][name]["precision"] == pytest.approx(report[name]["precision"])
        assert extra["report"][name]["recall"] == pytest.approx(report[name]["recall"])
        assert extra["report"][name]["items"] == report[name]["support"]
    assert np.array(extra["confusion"])[:, :-1].tolist() == sk.confusion_matrix(gold, said, labels=names).tolist()
    reliability = extra["reliability"]
    assert sum(b["items"] for b in reliability) == 1000
    error = sum(b["items"] * abs(b["confidence"] - b["accuracy"]) for b in reliability) / 1000
    assert values["calibration_error"] == pytest.approx(error)
    assert all(s.interval.low <= s.value <= s.interval.high for s in found.scores)
    assert card.notes[-1].startswith("most often mistaken: ")


def test_probabilities_as_lists_and_of_the_prediction_alone(topics, make_dataset, run_step):
    rows, names = topics
    data = make_dataset(rows[:300])
    whole, listed, best = (
        run_step(classification, data=data, probabilities=column, classes=names)[0]
        for column in ("all", "list", "best")
    )
    for name in ("calibration_error", "brier"):
        assert whole.score(name).value == listed.score(name).value
    assert best.score("calibration_error").value == pytest.approx(whole.score("calibration_error").value)
    right = np.array([r["label"] == r["prediction"] for r in rows[:300]])
    sure = np.array([r["best"] for r in rows[:300]])
    assert best.score("brier").value == pytest.approx(((right - sure) ** 2).mean())


def test_missing_and_foreign_predictions_count_as_wrong(make_dataset, run_step):
    rows = [
        {"label": i % 2, "prediction": ["0", "1", None if i < 20 else "", "7"][i % 4], "page": i // 2}
        for i in range(40)
    ]
    found, card = run_step(classification, data=make_dataset(rows), classes=["0", "1"], cluster="page")
    assert found.score("accuracy").value == 0.5
    assert found.score("micro_f1").value == pytest.approx(2 * 20 / (20 + 40))
    assert (found.scores[0].n_clusters, found.scores[0].cluster_unit) == (20, "page")
    assert found.read_json("extra.json")["confusion"] == [[10, 0, 10], [0, 10, 10]]
    assert card.notes[0] == "10 rows have no prediction, and count as wrong; 10 predictions are not one of classes"


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        ([0, 1, 1], [0.0, 1.0, None]),  # as pandas makes them of whole numbers with a value missing
        ([0.0, 1.0, 1.0], ["0", "1", ""]),
        ([False, True, True], ["false", "true", ""]),
        (["FALSE", "True", "true"], [False, True, None]),
    ],
)
def test_classes_are_spelled_alike_whatever_their_columns_types(labels, predictions, make_dataset, run_step):
    rows = [{"label": g, "prediction": p} for g, p in zip(labels * 9, predictions * 9, strict=True)]
    found, card = run_step(classification, data=make_dataset(rows))
    assert found.score("accuracy").value == pytest.approx(2 / 3)
    assert found.read_json("extra.json")["classes"] in (["0", "1"], ["False", "True"])
    assert card.metrics["missing_predictions"] == 9


@pytest.mark.parametrize(("classes", "labels"), [([0, 1, 2], [0, 2, 1, 0]), ([False, True], [True, False, True, True])])
def test_classes_may_be_numbers_or_truth_values(classes, labels, make_dataset, run_step):
    """Also as `loom call` and a recipe check them; a class that does not occur stays one."""
    step = find_step("evals.classification")
    checked = step.settings_model.model_validate({"classes": classes}).classes
    assert [type(c) for c in checked] == [type(c) for c in classes]
    data = make_dataset([{"label": label, "prediction": labels[0]} for label in labels])
    found, _ = run_step(classification, data=data, classes=checked)
    assert found.read_json("extra.json")["classes"] == [str(c) for c in classes]
    as_text, _ = run_step(classification, data=data, classes=[str(c) for c in classes])
    assert as_text.scores == found.scores
    with pytest.raises(InputError, match=r"classes\[1\] is blank"):
        run_step(classification, data=data, classes=[0, " "])


def test_probabilities_are_found_by_the_one_spelling(make_dataset, run_step):
    rows = [{"label": float(i % 2), "prediction": i % 2, "p": {"0": 1 - i % 2, "1": i % 2}} for i in range(30)]
    found, _ = run_step(classification, data=make_dataset(rows), probabilities="p")
    assert found.score("brier").value == 0


def test_predictions_of_other_classes_altogether_are_refused(make_dataset, run_step):
    rows = [{"label": ["pos", "neg"][i % 2], "prediction": ["positive", "negative", None][i % 3]} for i in range(30)]
    data = make_dataset(rows)
    for classes in (None, ["pos", "neg"]):
        with pytest.raises(InputError, match="these are neg, pos, and column 'prediction' has negative, positive"):
            run_step(classification, data=data, classes=classes)
    found, _ = run_step(classification, data=data, classes=["pos", "neg", "positive"])
    assert found.score("accuracy").value == 0


def test_two_classifiers_are_compared_by_macro_f1(topics, make_dataset, run_step):
    rows, _ = topics
    ours, theirs = (
        run_step(classification, data=make_dataset(rows), prediction=column)[0] for column in ("prediction", "label")
    )
    verdict, _ = run_step(compare, candidate=ours, baseline=theirs, metric="macro_f1", not_worse_than=0.01)
    assert verdict.ruling.decision == "refuse"
    assert verdict.ruling.numbers["difference"] == pytest.approx(ours.score("macro_f1").value - 1)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"label": "a", "prediction": "a"}], {}, "one row gives no interval"),
        ([{"label": None, "prediction": "a"}, {"label": "a", "prediction": "a"}], {}, "row 0 has nothing in"),
        ([{"label": "a", "prediction": "a"}] * 3, {"classes": ["b"]}, "row 0: the label 'a' is not one of classes"),
        ([{"label": "a", "prediction": "a"}] * 3, {"classes": ["a", "a"]}, "a class stands twice"),
        ([{"label": "a", "prediction": "a", "p": 1.5}] * 3, {"probabilities": "p"}, "row 0: what is in 'p' is 1.5"),
        ([{"label": "a", "prediction": "a", "p": [0.5]}] * 3, {"probabilities": "p"}, "say which classes"),
        (
            [{"label": "a", "prediction": "a", "p": [0.5, 0.1]}] * 3,
            {"probabilities": "p", "classes": ["a", "b"]},
            "sum to 0.6",
        ),
        (
            [{"label": "a", "prediction": "a", "p": [1.0]}] * 3,
            {"probabilities": "p", "classes": ["a", "b"]},
            "1 probabilities in 'p' for 2 classes",
        ),
        ([{"label": "a", "prediction": "a", "p": "x"}] * 3, {"probabilities": "p"}, "not probabilities"),
        ([{"label": "a", "prediction": "a", "p": None}] * 3, {"probabilities": "p"}, "row 0 has no probabilities"),
        ([{"label": "a", "guess": "a"}] * 3, {}, "no column 'prediction'"),
    ],
)
def test_bad_input_is_refused(rows, settings, message, make_dataset, run_step):
    with pytest.raises(InputError, match=message):
        run_step(classification, data=make_dataset(rows), **settings)


def test_two_classes_have_matthews_correlation(topics, make_dataset, run_step):
    rows, _ = topics
    two = [{"label": r["label"] == "HUM", "prediction": r["prediction"] == "HUM"} for r in rows]
    found, _ = run_step(classification, data=make_dataset(two))
    expected = sk.matthews_corrcoef([r["label"] for r in two], [r["prediction"] for r in two])
    assert found.score("matthews").value == pytest.approx(expected)
    wrong = [r if i % 5 else {**r, "prediction": None} for i, r in enumerate(two)]
    turned = [r if i % 5 else {**r, "prediction": not r["label"]} for i, r in enumerate(two)]
    found, _ = run_step(classification, data=make_dataset(wrong), classes=["False", "True"])
    expected = sk.matthews_corrcoef([r["label"] for r in turned], [r["prediction"] for r in turned])
    assert found.score("matthews").value == pytest.approx(expected)


def test_predictions_of_two_files_are_compared_by_id(make_dataset, run_step):
    """The files hold the same items in other orders, each with one system's predictions."""
    rows = [{"name": f"n{i}", "label": i % 2, "text": f"text {i}"} for i in range(60)]
    one = make_dataset([row | {"prediction": row["label"]} for row in rows])
    two = make_dataset([row | {"prediction": row["label"] if i > 20 else 1} for i, row in enumerate(rows)][::-1])
    plain = [run_step(classification, data=data)[0] for data in (one, two)]
    with pytest.raises(InputError, match=r"not measured alike: data is [0-9a-f]{12} and"):
        run_step(compare, candidate=plain[0], baseline=plain[1], better_than=0)
    scores = [run_step(classification, data=data, id="name")[0] for data in (one, two)]
    _, card = run_step(compare, candidate=scores[0], baseline=scores[1], better_than=0)
    assert card.metrics["difference"] == pytest.approx(11 / 60)
    assert card.metrics["n"] == 60
    other = make_dataset([row | {"prediction": 1, "label": 1} for row in rows])
    with pytest.raises(InputError, match="not measured alike"):  # other labels are another test
        run_step(
            compare, candidate=scores[0], baseline=run_step(classification, data=other, id="name")[0], better_than=0
        )
    with pytest.raises(InputError, match="column 'label' has '0' twice"):
        run_step(classification, data=one, id="label")


def test_named_items_are_sliced_by_columns_and_texts_of_the_data(make_dataset, run_step):
    """Also those of a system whose predictions stand in another file: its rows have other ids, but the same names."""
    rows = [
        {"id": i, "text": "word " * (1 + i % 9), "kind": "ab"[i % 2], "label": "xy"[i % 3 % 2], "prediction": "x"}
        for i in range(200)
    ]
    other = [{**row, "prediction": row["label"]} for row in reversed(rows)]
    one, two = make_dataset(rows), make_dataset(other)
    scores = {n: run_step(classification, data=d, id="id")[0] for n, d in (("a", one), ("b", two))}
    found, _ = run_step(slices, scores=scores["a"], data=one, by=["kind", "label", "length"])
    by = {s.name: s for s in found.scores}
    expected = np.mean([r["label"] == "x" for r in rows if r["kind"] == "b"])
    assert by["accuracy [kind=b]"].value == pytest.approx(expected)
    assert by["accuracy [kind=b]"].n == 100
    assert sum(name.startswith("accuracy [length=") for name in by) == 4
    made, _ = run_step(side_by_side, scores=scores, data=one, by=["kind", "length"])
    report = made.read_json("comparison.json")
    rows_of_b = [r for r in report["slices"]["rows"] if r["system"] == "b" and r["by"] == "kind"]
    assert [r["score"] for r in rows_of_b] == [1.0, 1.0]
    shown = report["items"]["groups"]["b does better than a"][0]
    assert shown["text"] == rows[int(shown["row_id"])]["text"]
    with pytest.raises(InputError, match="id"):
        run_step(slices, scores=scores["a"], data=make_dataset([{"kind": "a"}]), by=["kind"])
