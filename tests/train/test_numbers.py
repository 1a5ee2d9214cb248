"""Numbers that are predicted: in any unit as well, of any spread, and saved in their own."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.models.classifier import load_classifier
from loomwork.train.classify import classify
from loomwork.train.pretrain import pretrain
from loomwork.train.pretrain_masked import pretrain_masked

TEXTS = [f"{'good ' * (i % 7)}day number {i}" for i in range(64)]
HOW = {"target": "number", "batch": 8, "dropout": 0.0, "max_tokens": 32, "schedule": "constant", "warmup_share": 0.0}


@pytest.fixture
def learn(make_dataset, run_step):
    """Train on numbers, in a work folder of its own; returns the model, what it says of the texts, and the card."""

    def run(base, numbers, **given):
        data = make_dataset([{"text": t, "label": float(n)} for t, n in zip(TEXTS, numbers, strict=True)])
        with use_context(Context(threads=1)):
            model, card = run_step(classify, base=base, data=data, **HOW | given)
        return model, load_classifier(model).numbers(TEXTS), card

    return run


def test_a_unit_changes_nothing(small_bert, learn):
    """Numbers in another unit are predicted in it, by the same steps at the same rate."""
    numbers = np.array([i % 7 for i in range(64)], float)
    _, plain, one = learn(small_bert, numbers, steps=60, learning_rate=3e-3)
    _, other, two = learn(small_bert, 1e4 + 250 * numbers, steps=60, learning_rate=3e-3)
    assert ((plain - numbers) ** 2).mean() < 0.2 * numbers.var()
    assert np.abs((other - 1e4) / 250 - plain).max() < 0.01
    assert two.metrics["final_loss"] == pytest.approx(one.metrics["final_loss"], rel=1e-3)


def test_skewed_numbers_are_no_divergence(small_bert, learn):
    numbers = np.random.default_rng(0).lognormal(3, 2, 64)  # the largest is a hundred times the median
    _, found, _ = learn(small_bert, numbers, epochs=8.0, learning_rate=1e-12)
    assert np.abs(found - numbers.mean()).max() < 2 * numbers.std()


@pytest.mark.parametrize("adapter", ["none", "lora", "prompt"])
def test_kept_weights_are_in_the_unit_too(adapter, small_bert, learn):
    from safetensors.numpy import load_file

    numbers = 500 + 20.0 * np.arange(64)
    how = {"adapter": adapter, "steps": 4, "learning_rate": 1e-3}
    kept, found, _ = learn(small_bert, numbers, **how, keep_every=2)
    plain, same, _ = learn(small_bert, numbers, **how)
    assert np.array_equal(found, same)  # keeping changes nothing
    inside = "adapter/adapter_model.safetensors" if adapter != "none" else "model.safetensors"
    last = load_file(kept.path / "checkpoint-4" / inside.rpartition("/")[2])
    for name, weight in load_file(plain.path / inside).items():
        assert np.array_equal(last[name], weight), name
    assert abs(found.mean() - numbers.mean()) < 2 * numbers.std()


def test_a_decoders_numbers(stories, learn):
    """Its last layer has no bias that could hold a mean."""
    numbers = np.array([300 + 50 * (i % 7) for i in range(64)], float)
    _, found, _ = learn(stories, numbers, steps=60, learning_rate=3e-3)
    assert ((found - numbers) ** 2).mean() < 0.1 * (numbers**2).mean()


def test_a_model_of_numbers_is_trained_further(small_bert, learn):
    numbers = 500 + 20.0 * np.arange(64)
    first, before, _ = learn(small_bert, numbers, steps=10, learning_rate=1e-3)
    _, after, _ = learn(Model(first.path), 3 * numbers, steps=1, learning_rate=1e-12)
    assert after == pytest.approx(before, rel=1e-5)  # it begins with what it knows, whatever the new numbers' spread


def test_labels_that_are_no_numbers_are_named_by_their_row(small_bert, make_dataset, run_step):
    for value, told in (("many", "'many' is no number"), ("nan", "is nan, which is not finite")):
        rows = [{"text": "a", "label": "1"}, {"text": "", "label": "2"}, {"text": "b", "label": value}]
        data = make_dataset(rows)
        row_id = [bytes(r["row_id"]).hex() for r in data.rows()][2]
        with pytest.raises(InputError, match=rf"column 'label', row 3 \(row_id {row_id}\): the label {told}"):
            run_step(classify, base=small_bert, data=data, target="number")
    with pytest.raises(InputError, match=r"column 'label' is 2 in every row: there is nothing to learn"):
        run_step(classify, base=small_bert, data=make_dataset([{"text": t, "label": 2.0} for t in "abc"]), **HOW)


def test_measured_numbers_are_no_classes_and_numbers_no_texts(small_bert, stories, make_dataset, run_step):
    scores = [{"text": t, "label": i / 4} for i, t in enumerate(TEXTS)]
    with pytest.raises(InputError, match=r"has 64 different numbers, and not all are whole.*\n  set target: number"):
        run_step(classify, base=small_bert, data=make_dataset(scores))
    few = [{"text": t, "label": i % 4 / 2} for i, t in enumerate(TEXTS)]
    _, card = run_step(classify, base=small_bert, data=make_dataset(few), steps=1)
    assert card.metrics["classes"] == 4
    for function, more in ((pretrain, {}), (pretrain_masked, {}), (classify, {"label": "text"})):
        base = stories if function is pretrain else small_bert
        with pytest.raises(InputError, match=r"column 'label' holds numbers\n  name a column of texts: text"):
            run_step(function, base=base, data=make_dataset(scores), text="label", **more)
