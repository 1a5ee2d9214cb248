"""Classifiers: they learn, open in transformers with the same numbers, and are scored with what the ledger knows."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.data.balance import balance
from loomwork.evals.classify import classify as score
from loomwork.learn.objectives import class_weights
from loomwork.learn.order import positions
from loomwork.learn.settings import Adapter, Rows, Training
from loomwork.models.classifier import load_classifier
from loomwork.models.encoder import load_tokenizer
from loomwork.models.folder import read_about
from loomwork.train.classify import classify


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
    from loomwork.core.dataset import Dataset, DatasetWriter

    folder = tmp_path_factory.mktemp("messages")
    with DatasetWriter(folder / "data") as writer:
        writer.write([*messages[:240], {"text": " ", "label": "spam"}, {"text": "no label", "label": None}])
    out = folder / "model"
    out.mkdir()
    with use_context(Context(work_folder=folder / "work", threads=1)):
        card = classify(
            minilm,
            Dataset(folder / "data"),
            max_tokens=48,
            rows=Rows(epochs=2.0, batch=16),
            training=Training(learning_rate=1e-3, schedule="linear"),
            tuning=Adapter(freeze_layers=5),
            out=out,
        )
    return Model(out), card, Dataset(folder / "data")


def test_it_learns(trained, messages, make_dataset, run_step):
    model, card, _ = trained
    assert (card.metrics["classes"], card.metrics["rows"], card.metrics["rows_left_out"]) == (2, 240, 2)
    tokenizer = load_tokenizer(model)
    tokenizer.no_truncation()
    assert card.metrics["rows_cut"] == sum(len(tokenizer.encode(m["text"]).ids) > 48 for m in messages[:240]) > 0
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

    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=np.array([0] * 120 + [1] * 6))
    assert class_weights(torch.tensor([120, 6]), "balanced").tolist() == pytest.approx(expected.tolist())
    assert class_weights(torch.tensor([120, 6]), "none").tolist() == [1, 1]


def test_weights_of_rows(small_bert, messages, make_dataset, run_step):
    """Rows of weight 0 are not learned, and balanced classes are what data.balance writes, up to rounding."""
    how = {"steps": 12, "batch": 8, "dropout": 0.0, "learning_rate": 3e-3}
    chosen = [*[m for m in messages if m["label"] == "ham"][:60], *[m for m in messages if m["label"] == "spam"][:20]]
    rows = [{**m, "weight": 80 / 2 / (60 if m["label"] == "ham" else 20)} for m in chosen]
    weighed, _ = run_step(classify, base=small_bert, data=make_dataset(rows), weights="weight", **how)
    balanced, _ = run_step(classify, base=small_bert, data=make_dataset(rows), class_weights="balanced", **how)
    texts = [m["text"] for m in messages[:40]]
    assert (
        np.abs(load_classifier(weighed).probabilities(texts) - load_classifier(balanced).probabilities(texts)).max()
        < 1e-5
    )
    mislead = [{**r, "label": "ham", "weight": 0.0} if r["label"] == "spam" else r for r in rows]
    turned = [r if i % 2 else {**r, "label": "spam"} for i, r in enumerate(mislead)]
    found, _ = run_step(classify, base=small_bert, data=make_dataset(turned), weights="weight", **how)
    assert set(load_classifier(found).classes) == {"ham", "spam"}
    with pytest.raises(InputError, match="is no weight"):
        run_step(
            classify, base=small_bert, data=make_dataset([{**r, "weight": -1.0} for r in rows]), weights="weight", **how
        )
    with pytest.raises(InputError, match="both given"):
        run_step(classify, base=small_bert, data=make_dataset(rows), weights="weight", class_weights="balanced", **how)


def test_held_out_rows_without_weights_count_as_1(small_bert, messages, make_dataset, run_step):
    """data.balance weighs what is learned; what is held out stays as it is."""
    learned, _ = run_step(balance, data=make_dataset(messages[:30] + messages[31:60:2]), column="label")
    held = [{"text": m["text"], "label": m["label"]} for m in messages[60:100]]
    how = {"base": small_bert, "data": learned, "weights": "weight", "steps": 1, "batch": 8, "looks": 1}
    losses = []
    for rows in (held, [{**r, "weight": 1.0} for r in held], [{**r, "weight": 1 + i} for i, r in enumerate(held)]):
        with use_context(Context(threads=1)):  # a work folder of its own: no run goes on from another
            _, card = run_step(classify, holdout=make_dataset(rows), **how)
        losses.append(card.metrics["best_holdout_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_the_same_inputs_give_the_same_bytes(small_bert, messages, make_dataset, run_step):
    data, how = make_dataset(messages[:48]), {"steps": 3, "batch": 8, "freeze_layers": 1, "part_tokens": 300}
    first, _ = run_step(classify, base=small_bert, data=data, **how)
    with use_context(Context(threads=1)):  # a work folder of its own
        assert run_step(classify, base=small_bert, data=data, **how)[0].id == first.id
    assert run_step(classify, base=small_bert, data=data, seed=8, **how)[0].id != first.id


@pytest.mark.parametrize(
    ("adapter", "precision"), [("none", "bfloat16"), ("lora", "float32"), ("lora", "bfloat16"), ("ia3", "float32")]
)
def test_what_is_saved_is_what_was_trained(adapter, precision, small_bert, messages, make_dataset, run_step):
    import peft
    from transformers import AutoModelForSequenceClassification

    data = make_dataset(messages[:160])
    how = {"learning_rate": 1e-2, "steps": 30, "batch": 16, "max_tokens": 32, "dropout": 0.0, "looks": 2}
    how |= {"rank": 4} if adapter == "lora" else {}
    with use_context(Context(precision=precision, threads=1)):
        model, card = run_step(classify, base=small_bert, data=data, holdout=data, adapter=adapter, **how)
    ours = load_classifier(model)
    chances = ours.probabilities([m["text"] for m in messages[:160]])
    loss = -np.log([c[ours.classes.index(m["label"])] for c, m in zip(chances, messages, strict=False)]).mean()
    assert card.metrics["best_holdout_loss"] == pytest.approx(loss, rel=1e-3 if precision == "float32" else 0.03)
    assert loss < (0.6935 if adapter == "ia3" else 0.68)  # a coin has 0.6931
    if adapter == "none":
        return
    assert card.metrics["trained_parameters"] < 0.05 * card.metrics["parameters"]
    fresh = AutoModelForSequenceClassification.from_pretrained(small_bert.path, num_labels=2)
    theirs = peft.PeftModel.from_pretrained(fresh, model.path / "adapter").eval()
    ids = ours.tokenizer.encode(messages[0]["text"]).ids[:32]
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([ids])).logits.softmax(-1)[0].numpy()
    assert np.abs(chances[0] - expected).max() < 1e-4


def test_numbers_are_predicted(small_bert, messages, make_dataset, run_step):
    rows = [{"text": m["text"], "label": str(len(m["text"]) / 100)} for m in messages[:160]]
    how = {"learning_rate": 1e-2, "steps": 40, "batch": 16, "max_tokens": 32, "dropout": 0.0}
    model, card = run_step(classify, base=small_bert, data=make_dataset(rows), target="number", **how)
    found = load_classifier(model)
    assert found.regression
    wanted = np.array([float(r["label"]) for r in rows])
    error = ((found.numbers([r["text"] for r in rows]) - wanted) ** 2).mean()
    assert error < 0.5 * wanted.var()
    assert card.metrics["rows"] == 160


def test_whole_numbers_are_classes_of_one_spelling(small_bert, messages, make_dataset, run_step):
    """Pandas makes fractions of them where one is missing; what is held out may have none missing."""
    rows = [{"text": m["text"], "label": int(m["label"] == "spam")} for m in messages[:60]]
    floats = make_dataset([{**r, "label": float(r["label"])} for r in rows[:40]] + [{"text": "a", "label": None}])
    held = make_dataset(rows[40:])
    how = {"steps": 2, "batch": 8, "max_tokens": 32}
    model, card = run_step(classify, base=small_bert, data=floats, holdout=held, **how)
    assert load_classifier(model).classes == ["0", "1"]
    assert card.metrics["rows_left_out"] == 1
    found, _ = run_step(score, data=held, model=model)
    assert found.score("accuracy").n == 20


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_decoder_classifies_too(precision, stories, messages, make_dataset, run_step):
    """Llama reads a text's class at its last token, so it must know which that is."""
    how = {"learning_rate": 3e-3, "batch": 16, "max_tokens": 32, "steps": 20}
    with use_context(Context(precision=precision, threads=1)):
        model, card = run_step(classify, base=stories, data=make_dataset(messages[:160]), **how)
    assert card.metrics["final_loss"] < 0.69
    ours, texts = load_classifier(model), [m["text"] for m in messages[:24]]
    alone = np.concatenate([ours.probabilities([t]) for t in texts])
    assert np.abs(ours.probabilities(texts) - alone).max() < 1e-4


def test_positions_are_told(trained):
    model, card, data = trained
    taken = [row for row in data.rows() if row["label"] and row["text"].strip()]
    steps = [step for row in taken for step in positions(model.path, bytes(row["row_id"]))]
    assert set(steps) == set(range(int(card.metrics["steps"])))
    assert positions(model.path, bytes(16)) == []


def test_bad_input_is_refused(trained, small_bert, make_dataset, run_step, tmp_path):
    model, _, _ = trained
    with pytest.raises(InputError, match="has 1 classes"):
        run_step(classify, base=small_bert, data=make_dataset([{"text": "a", "label": "x"}] * 3))
    with pytest.raises(InputError, match="no column 'lable'"):
        run_step(classify, base=small_bert, data=make_dataset([{"text": "a", "label": "x"}]), label="lable")
    with pytest.raises(InputError, match="the label 'x' is no number"):
        run_step(classify, base=small_bert, data=make_dataset([{"text": "a", "label": "x"}]), target="number")
    two = make_dataset([{"text": "a", "label": c} for c in "xy"])
    with pytest.raises(InputError, match="held-out label 'z' is none"):
        run_step(classify, base=small_bert, data=two, holdout=make_dataset([{"text": "a", "label": "z"}]))
    empty = Model(tmp_path / "empty")
    shutil.copytree(small_bert.path, empty.path, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        run_step(classify, base=empty, data=two)
    with pytest.raises(InputError, match="none of the model's classes"):
        run_step(score, data=make_dataset([{"text": "a", "label": "eggs"}, {"text": "b", "label": "ham"}]), model=model)
    with pytest.raises(InputError, match="no output layer of classes"):
        run_step(score, data=make_dataset([{"text": "a", "label": "ham"}] * 2), model=small_bert)


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


def test_watched_by_a_metric(minilm, messages, make_dataset, run_step):
    """The best weights by accuracy are what is saved, and what is said of them is what evals.classify finds."""
    holdout = make_dataset(messages[240:])
    how = {"max_tokens": 48, "steps": 40, "batch": 8, "learning_rate": 3e-3, "freeze_layers": 5}
    run = run_step(
        classify, base=minilm, data=make_dataset(messages[:60]), holdout=holdout, looks=20, patience=4,
        stop_on="accuracy", **how,
    )  # fmt: skip
    model, card = run
    assert card.metrics["steps"] < 40
    assert card.metrics["best_holdout_accuracy"] == card.metrics["holdout_accuracy"]
    assert "no better held-out accuracy" in " ".join(card.notes)
    found, _ = run_step(score, data=holdout, model=model)
    assert found.score("accuracy").value == pytest.approx(card.metrics["holdout_accuracy"])
    assert found.score("macro_f1").value == pytest.approx(card.metrics["holdout_macro_f1"])
    with pytest.raises(InputError, match="stop_on is 'entity_f1'"):
        run_step(classify, base=minilm, data=holdout, patience=1, stop_on="entity_f1")
