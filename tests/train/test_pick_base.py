"""Bases side by side: the scores are those of an independent count, and what is noise is called so."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.core.score import Scores
from loomwork.train.extend import extend
from loomwork.train.init import init
from loomwork.train.pick_base import pick_base, probed
from loomwork.train.tokenizer import tokenizer
from tests.report.html_checks import check_page


@pytest.fixture(autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture
def stories_told(make_dataset):
    names = ["Lily", "Tom", "Anna", "Ben", "Mia", "Sam"]
    things = ["a ball", "a cat", "a big red car", "the sun"]
    return make_dataset(
        [{"text": f"One day, {n} saw {t}. {n} was very happy."} for n in names for t in things] + [{"text": None}]
    )


def test_causal_bases_by_bits_per_byte(stories, stories_told, run_step):
    import math

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tok, _ = run_step(tokenizer, data=stories_told, vocabulary=300)
    fresh, _ = run_step(init, tokenizer=tok, layers=1)
    twin, _ = run_step(extend, base=stories, tokens=["<|im_start|>"])  # scores nearly the same
    found, card = run_step(pick_base, data=stories_told, bases={"fresh": fresh, "stories": stories, "twin": twin})
    scores = {s.name: s for s in Scores(found.path).scores}
    model = AutoModelForCausalLM.from_pretrained(stories.path, dtype=torch.float32)
    tok = AutoTokenizer.from_pretrained(stories.path)
    bits = total = 0.0
    for row in stories_told.rows():
        if row["text"]:
            ids = torch.tensor([tok(row["text"])["input_ids"]])
            with torch.no_grad():
                bits += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1) / math.log(2)
            total += len(row["text"].encode())
    ours = scores["bits per byte: stories"]
    assert ours.value == pytest.approx(bits / total, rel=1e-3)
    assert ours.n == 24
    assert ours.contamination == "unknown"
    assert scores["bits per byte: fresh"].interval.low > 2 * ours.interval.high
    assert "not beyond noise" in card.notes[0]
    assert "fresh" not in card.notes[0]
    report = json.loads((found.path / "extra.json").read_bytes())
    assert report["order"][-1] == "fresh"
    assert report["bases"]["stories"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert report["bases"]["stories"]["licence"] == "unknown"
    assert card.metrics["stories.tokens_per_word"] > 1
    assert card.metrics["stories.texts_per_second"] > 0
    check_page((found.path / "bases.html").read_text(encoding="utf-8"))


def test_any_bases_by_a_linear_probe(stories, minilm, test_data, make_dataset, run_step):
    by: dict[str, list[str]] = {"spam": [], "ham": []}
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        for label, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            by[label].append(text)
    rows = [{"text": t, "label": label} for label, texts in by.items() for t in texts[:80]]
    found, card = run_step(
        pick_base,
        data=make_dataset(rows),
        bases={"stories": stories, "minilm": minilm},
        label="label",
        rows=120,
        max_tokens=32,
    )
    accuracy = {s.name.split(": ")[1]: s for s in Scores(found.path).scores}
    assert accuracy["minilm"].value > 0.85
    assert accuracy["minilm"].n == 120
    items = Scores(found.path).items()
    assert np.mean(items.column("probe accuracy: minilm")) == accuracy["minilm"].value
    assert card.metrics["minilm.unknown_share"] < 0.05
    assert "licence apache-2.0" in " ".join(card.notes)


def test_a_probe_of_noise_is_right_by_chance():
    draw = np.random.default_rng(0)
    right = probed(draw.normal(size=(200, 30)), ["a", "b"] * 100, 5, 0)
    assert 0.35 < right.mean() < 0.65


def test_a_probe_finds_what_is_there():
    draw = np.random.default_rng(0)
    labels = draw.permutation(["a", "b"] * 100)
    vectors = draw.normal(size=(200, 30))
    vectors[labels == "a", 3] += 8
    assert probed(vectors, list(labels), 5, 0).mean() > 0.97


def test_what_cannot_be_compared_is_refused(stories, minilm, stories_told, make_dataset, run_step):
    with pytest.raises(InputError, match="1 bases to compare"):
        run_step(pick_base, data=stories_told, bases={"a": stories})
    with pytest.raises(InputError, match=r"base 'b': .* for the task 'embed'"):
        run_step(pick_base, data=stories_told, bases={"a": stories, "b": minilm})
    with pytest.raises(InputError, match="too few"):
        run_step(pick_base, data=make_dataset([{"text": "a"}]), bases={"a": stories, "b": stories})
    data = make_dataset([{"text": f"t {i}", "label": "x" if i else "y"} for i in range(30)])
    with pytest.raises(InputError, match="class 'y' of column 'label' has 1 texts"):
        run_step(pick_base, data=data, bases={"a": stories, "b": Model(stories.path)}, label="label")
