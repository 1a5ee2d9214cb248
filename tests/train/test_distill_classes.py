"""Distillation of classifiers: the loss is the formula, the teacher is asked once, and a student of half its layers
keeps what the teacher can."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.evals.speed import speed
from loomwork.learn import distill_classes
from loomwork.learn.model_io import copy_beside
from loomwork.learn.settings import Rows, Training
from loomwork.models.classifier import load_classifier
from loomwork.models.folder import read_about
from loomwork.train.classify import classify
from loomwork.train.distill import distill
from loomwork.train.student import student


@pytest.fixture(autouse=True)
def one_thread(tmp_path):
    with use_context(Context(threads=1, work_folder=tmp_path / "work")):
        yield


@pytest.fixture(scope="session")
def messages(test_data) -> list[dict]:
    """Real text messages, spam and ham by turns, short ones."""
    by: dict[str, list[str]] = {"spam": [], "ham": []}
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        for label, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            by[label].append(" ".join(text.split()[:12]))
    pairs = zip(by["spam"], by["ham"], strict=False)
    return [{"text": t, "label": label} for pair in pairs for t, label in zip(pair, ("spam", "ham"), strict=True)][:240]


@pytest.fixture(scope="session")
def taught(minilm, messages, tmp_path_factory) -> tuple[Model, Model]:
    """A teacher, and two of its layers."""
    folder = tmp_path_factory.mktemp("taught")
    with DatasetWriter(folder / "data") as writer:
        writer.write(messages[:160])
    (folder / "teacher").mkdir()
    (folder / "student").mkdir()
    with use_context(Context(threads=1, work_folder=folder / "work")):
        how = Training(schedule="linear", learning_rate=3e-4)
        classify(minilm, Dataset(folder / "data"), max_tokens=24, rows=Rows(2.0, batch=16), training=how,
                 out=folder / "teacher")  # fmt: skip
        student(Model(folder / "teacher"), keep=2, out=folder / "student")
    return Model(folder / "teacher"), Model(folder / "student")


def logits_of(model, rows, **asked):
    opened = AutoModelForSequenceClassification.from_pretrained(model.path).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    with torch.no_grad():
        return [opened(**tokenizer(r["text"], return_tensors="pt", truncation=True, max_length=24), **asked)
                for r in rows]  # fmt: skip


def test_the_loss_is_the_formula(taught, messages, make_dataset, run_step):
    """One batch, each text alone through transformers."""
    teacher, small = taught
    rows = messages[:12]
    given = dict(divergence="jensen_shannon", mixture=0.3, temperature=3.0, teacher_share=0.6, hidden_weight=0.4)
    _, card = run_step(distill, base=small, teacher=teacher, data=make_dataset(rows), steps=1, batch=12,
                       layer_map={0: 0, 2: 6}, **given)  # fmt: skip
    total = 0.0
    both = (logits_of(m, rows, output_hidden_states=True) for m in (small, teacher))
    for row, mine, theirs in zip(rows, *both, strict=True):
        q, p = ((x.logits[0] / 3).softmax(-1) for x in (mine, theirs))
        m = 0.3 * p + 0.7 * q
        divergence = 9 * (0.3 * (p * (p / m).log()).sum() + 0.7 * (q * (q / m).log()).sum())
        error = sum(F.mse_loss(mine.hidden_states[a], theirs.hidden_states[b]) for a, b in ((0, 0), (2, 6))) / 2
        right = torch.tensor([["ham", "spam"].index(row["label"])])
        total += float(0.4 * F.cross_entropy(mine.logits, right) + 0.6 * divergence + 0.4 * error)
    assert card.metrics["final_loss"] == pytest.approx(total / 12, rel=1e-4)


def test_a_student_learns_from_texts_without_labels(taught, messages, make_dataset, run_step):
    teacher, small = taught
    unlabelled = make_dataset([{"text": m["text"]} for m in messages[:160]])
    made, card = run_step(distill, base=small, teacher=teacher, data=unlabelled, holdout=unlabelled, teacher_share=1.0,
                          temperature=2.0, hidden_weight=1.0, steps=24, learning_rate=5e-4)  # fmt: skip
    texts = [m["text"] for m in messages[160:]]

    def apart(model: Model) -> float:
        both = (load_classifier(m).probabilities(texts) for m in (model, teacher))
        return float(np.abs(next(both) - next(both)).mean())

    assert apart(made) < 0.6 * apart(small)
    assert card.metrics["best_holdout_loss"] < 0.2
    about = read_about(made)
    assert (about.task, about.max_tokens) == ("classify", 24)
    assert [d["columns"] for d in about.trained_on] == [["text", "label"], ["text"]]  # the teacher's, and its own
    assert AutoModelForSequenceClassification.from_pretrained(made.path).config.id2label == {0: "ham", 1: "spam"}


def test_the_teacher_is_asked_once(taught, messages, make_dataset, run_step, monkeypatch):
    teacher, small = taught
    given = dict(base=small, teacher=teacher, data=make_dataset(messages[:32]), hidden_weight=1.0, steps=4)
    first, _ = run_step(distill, **given)

    def refuse(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(distill_classes, "load_classifier", refuse)
    monkeypatch.setattr(distill_classes.TeacherStates, "_compute", refuse)
    assert run_step(distill, **given)[0].id == first.id


def test_states_that_would_take_too_much_room_are_computed_anew(
    taught, messages, make_dataset, run_step, monkeypatch, tmp_path
):
    teacher, small = taught
    given = dict(base=small, teacher=teacher, data=make_dataset(messages[:32]), hidden_weight=1.0, steps=3)
    _, kept = run_step(distill, **given)
    monkeypatch.setattr(distill_classes, "KEPT_BYTES", 0)
    with use_context(Context(threads=1, work_folder=tmp_path / "elsewhere")):
        _, anew = run_step(distill, **given)
    assert anew.metrics["final_loss"] == pytest.approx(kept.metrics["final_loss"], rel=1e-4)


def test_a_student_of_another_width(taught, messages, make_dataset, run_step, tmp_path):
    teacher, _ = taught
    config = BertConfig.from_pretrained(teacher.path)
    config.hidden_size, config.num_attention_heads, config.intermediate_size, config.num_hidden_layers = 48, 4, 64, 2
    BertForSequenceClassification(config).save_pretrained(tmp_path / "narrow")
    copy_beside(teacher, tmp_path / "narrow")
    made, _ = run_step(distill, base=Model(tmp_path / "narrow"), teacher=teacher, data=make_dataset(messages[:32]),
                       hidden_weight=1.0, steps=2)  # fmt: skip
    _, loaded = AutoModelForSequenceClassification.from_pretrained(made.path, output_loading_info=True)
    assert not loaded["unexpected_keys"]
    assert not loaded["missing_keys"]


def test_what_cannot_be_taught_is_refused(taught, messages, stories, make_dataset, run_step):
    teacher, small = taught
    given = dict(base=small, teacher=teacher)
    with pytest.raises(InputError, match="'eggs' is none of the teacher's classes"):
        run_step(distill, **given, data=make_dataset([{"text": "a", "label": "eggs"}, {"text": "b", "label": "ham"}]))
    with pytest.raises(InputError, match="no column 'label'"):
        run_step(distill, **given, data=make_dataset([{"text": "a"}]))
    with pytest.raises(InputError, match="moves the states"):
        run_step(distill, **given, data=make_dataset(messages[:4]), hidden_weight=1.0, adapter="prompt")
    with pytest.raises(InputError, match="template is for conversations"):
        run_step(distill, **given, data=make_dataset(messages[:4]), template="chatml")


def test_the_student_is_timed_beside_its_teacher(taught, messages, make_dataset, run_step):
    teacher, small = taught
    data = make_dataset(messages[:8])
    _, card = run_step(speed, models={"teacher": teacher, "student": small}, data=data, text="text", rounds=1)
    assert card.metrics["student.stored_numbers"] < card.metrics["teacher.stored_numbers"]
    assert min(card.metrics[f"{name}.texts_per_second"] for name in ("teacher", "student")) > 0
