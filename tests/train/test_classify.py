"""Classifiers: they learn, open in transformers with the same numbers, and are scored with what the ledger knows."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.evals.classify import classify as score
from loomwork.models.classifier import load_classifier
from loomwork.models.folder import read_about
from loomwork.train.classify import Labelled, _weights, classify

FAST = dict(freeze_layers=5, batch=16, learning_rate=1e-3, max_tokens=48)


@pytest.fixture(scope="session")
def messages(test_data) -> list[dict]:
    """Real text messages, spam and ham by turns."""
    by: dict[str, list[str]] = {"spam": [], "ham": []}
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        for label, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            by[label].append(text)
    pairs = zip(by["spam"], by["ham"], strict=False)
    return [{"text": t, "label": label} for pair in pairs for t, label in zip(pair, ("spam", "ham"), strict=True)][:320]


@pytest.fixture(scope="session")
def trained(minilm, messages, tmp_path_factory):
    from loomwork.core.artifact import Model
    from loomwork.core.dataset import Dataset, DatasetWriter

    folder = tmp_path_factory.mktemp("messages")
    with DatasetWriter(folder / "data") as writer:
        writer.write([*messages[:240], {"text": " ", "label": "spam"}, {"text": "no label", "label": None}])
    out = folder / "model"
    out.mkdir()
    with use_context(Context(work_folder=folder / "work")):
        card = classify(minilm, Dataset(folder / "data"), epochs=3.0, out=out, **FAST)
    return Model(out), card, Dataset(folder / "data")


def test_it_learns(trained, messages, make_dataset, run_step):
    model, card, _ = trained
    assert (card.metrics["classes"], card.metrics["rows"], card.metrics["rows_left_out"]) == (2, 240, 2)
    found, _ = run_step(score, data=make_dataset(messages[240:]), model=model)
    assert found.score("accuracy").value > 0.9
    assert found.score("accuracy").model == model.digest
    items = found.items()
    assert set(items.column_names) >= {"row_id", "prediction", "confidence", "text", "macro_f1:sums"}


def test_transformers_opens_it_and_gives_the_same_numbers(trained, messages):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, _, _ = trained
    theirs = AutoModelForSequenceClassification.from_pretrained(model.path, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
    texts = [m["text"] for m in messages[:24]]
    ours = load_classifier(model)
    assert ours.classes == [theirs.config.id2label[i] for i in range(2)] == ["ham", "spam"]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**inputs).logits.softmax(-1).numpy()
    assert np.abs(ours.probabilities(texts) - expected).max() < 1e-4


def test_it_says_what_it_was_trained_on(trained, make_dataset, run_step):
    model, _, data = trained
    about = read_about(model)
    assert about.trained_on == [{"dataset": data.digest, "columns": ["text", "label"]}]
    long = next(r for r in data.rows() if len(r["text"].split()) > 15)
    test = make_dataset([{"text": long["text"], "label": long["label"]}, {"text": "Never seen before", "label": "ham"}])
    found, card = run_step(score, data=test, model=model, seen=[data])
    assert card.metrics["items_in_training_data"] == 1
    assert found.score().contamination == "unknown"  # what its base has seen is not known here


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labelled = Labelled([[1]] * 126, [0] * 120 + [1] * 6, ["ham", "spam"], 0)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=np.array(labelled.targets))
    assert _weights(labelled, "balanced").tolist() == pytest.approx(expected.tolist())
    assert _weights(labelled, "none").tolist() == [1, 1]


def test_the_same_inputs_give_the_same_bytes(minilm, messages, make_dataset, run_step):
    data = make_dataset(messages[:48])
    first, second = (run_step(classify, base=minilm, data=data, steps=2, **FAST)[0] for _ in range(2))
    assert first.id == second.id
    other, _ = run_step(classify, base=minilm, data=data, steps=2, seed=8, **FAST)
    assert other.id != first.id


def test_bad_input_is_refused(trained, minilm, stories, make_dataset, run_step):
    model, _, _ = trained
    with pytest.raises(InputError, match="has 1 classes"):
        run_step(classify, base=minilm, data=make_dataset([{"text": "a", "label": "x"}] * 3))
    with pytest.raises(InputError, match="no column 'lable'"):
        run_step(classify, base=minilm, data=make_dataset([{"text": "a", "label": "x"}]), label="lable")
    with pytest.raises(InputError, match="trains BERT encoders"):
        run_step(classify, base=stories, data=make_dataset([{"text": "a", "label": c} for c in "xy"]))
    with pytest.raises(InputError, match="none of the model's classes"):
        run_step(score, data=make_dataset([{"text": "a", "label": "eggs"}, {"text": "b", "label": "ham"}]), model=model)
    with pytest.raises(InputError, match="no BERT with a head"):
        run_step(score, data=make_dataset([{"text": "a", "label": "ham"}] * 2), model=minilm)


def test_the_recipe(messages, tmp_path):
    file = tmp_path / "messages.tsv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["label", "text"], delimiter="\t")
        writer.writeheader()
        writer.writerows(messages[:160])
    from pathlib import Path

    recipe = Path(__file__).parents[2] / "recipes" / "classify.yaml"
    small = {"steps.model.freeze_layers": 5, "steps.model.steps": 6, "path": str(file)}
    done = run_recipe(recipe, small, home=Home(tmp_path / "home"))
    assert not done.failed, [s.error for s in done.steps.values()]
    assert done.moved
