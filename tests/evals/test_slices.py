"""Scores in slices: values by hand, the worst named, chance not taken for a difference."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.classification import classification
from loomwork.evals.slices import slices

WORDS = ["Das ist ein kurzer deutscher Satz über das Wetter.", "This is a short English sentence about the weather."]


def rows(count: int = 400, seed: int = 3, weak: float = 0.5) -> list[dict]:
    generator = np.random.default_rng(seed)
    made = []
    for i in range(count):
        kind = "abc"[i % 3]
        right = generator.random() < (weak if kind == "c" else 0.9)
        label = "xy"[int(generator.integers(2))]
        said = label if right else "xy"[1 - "xy".index(label)]
        text = WORDS[i % 2] + " word" * (i % 7)
        made.append({"text": text, "kind": kind, "label": label, "prediction": said, "size": i})
    return made


@pytest.fixture
def scored(make_dataset, run_step):
    def make(**options):
        data = make_dataset(rows(**options))
        return data, run_step(classification, data=data)[0]

    return make


def test_values_intervals_and_the_worst_slice(scored, run_step):
    data, scores = scored()
    found, card = run_step(slices, scores=scores, data=data, by=["kind", "label", "size"])
    by = {s.name: s for s in found.scores}
    own = [r for r in rows() if r["kind"] == "c"]
    expected = np.mean([r["label"] == r["prediction"] for r in own])
    assert by["accuracy [kind=c]"].value == pytest.approx(expected)
    assert by["accuracy [kind=c]"].n == len(own)
    assert by["accuracy [kind=c]"].interval.low < expected < by["accuracy [kind=c]"].interval.high
    assert "worst slice of accuracy: kind=c" in card.notes[0]
    assert "more than chance" in card.notes[0]
    assert sum(name.startswith("accuracy [size=") for name in by) == 4
    told = found.read_json("extra.json")["slices"]
    assert all(s["adjusted"] >= s["p_value"] for s in told)
    column = found.items().column("accuracy [kind=c]")
    assert column.null_count == 400 - len(own)


def test_chance_is_called_chance(scored, run_step):
    data, scores = scored(weak=0.9)
    _, card = run_step(slices, scores=scores, data=data, by=["kind", "label"])
    assert "chance may do that" in card.notes[0]


def test_language_and_length_are_made_from_the_text(scored, run_step):
    data, scores = scored()
    found, _ = run_step(slices, scores=scores, data=data, by=["language", "length"])
    names = [s.name for s in found.scores]
    assert {"accuracy [language=de]", "accuracy [language=en]"} <= set(names)
    assert sum("length=" in n for n in names) == 4


def test_metrics_of_sums_have_slices_too(scored, run_step):
    data, scores = scored()
    found, _ = run_step(slices, scores=scores, data=data, by=["kind"], metric="macro_f1")
    by = {s.name: s for s in found.scores}
    own = [r for r in rows() if r["kind"] == "a"]
    from sklearn.metrics import f1_score

    expected = f1_score([r["label"] for r in own], [r["prediction"] for r in own], average="macro")
    assert by["macro_f1 [kind=a]"].value == pytest.approx(expected)


def test_what_cannot_be_sliced(scored, make_dataset, run_step):
    data, scores = scored(count=60)
    one = make_dataset([r for r in rows(count=60) if r["kind"] == "a"])
    with pytest.raises(InputError, match="no column 'knd'"):
        run_step(slices, scores=scores, data=data, by=["knd"])
    with pytest.raises(InputError, match="to slice by"):
        run_step(slices, scores=scores, by=["kind"])
    with pytest.raises(InputError, match="no slice has 50 items"):
        run_step(slices, scores=scores, data=data, by=["kind"], least=50)
    with pytest.raises(InputError, match="are no rows of `data`"):
        run_step(slices, scores=scores, data=make_dataset([{"kind": "a"}]), by=["kind"])
    with pytest.raises(InputError, match=r"^kind: all 20 items are a, so there is nothing to compare them with"):
        run_step(slices, scores=run_step(classification, data=one)[0], data=one, by=["kind"])
    _, card = run_step(slices, scores=scores, data=data, by=["kind", "text"], least=15)
    assert card.metrics["slices_too_small"] == 14


def test_columns_of_one_value_and_items_without_one_are_told_of(make_dataset, run_step):
    some = rows(count=90)
    for i, row in enumerate(some):
        row |= {"kind": row["kind"] if i >= 7 else None, "all": "yes", "none": None, "rare": "once" if i == 3 else None}
    data = make_dataset(some)
    scores, _ = run_step(classification, data=data)
    _, card = run_step(slices, scores=scores, data=data, by=["kind", "all", "none", "rare"])
    assert {n for n in card.notes if n.startswith(("kind", "all", "none", "rare"))} == {
        "kind: 7 of 90 items have no value, and are in no slice",
        "all: all 90 items are yes, so there is nothing to compare them with",
        "none: none of 90 items has a value",
        "rare: 89 of 90 items have no value, and are in no slice",
    }
