"""The range test finds a rate that trains, ends where the loss runs away, and leaves the model as it was."""

from __future__ import annotations

import csv
import json
import math

import pytest
import torch

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, Stopped
from loomwork.core.recipe import load_recipe
from loomwork.learn.rate_range import range_test, smooth
from loomwork.learn.settings import Training
from loomwork.train.find_lr import find_lr
from loomwork.train.pretrain import pretrain
from tests.report.html_checks import check_page

SMALL = dict(steps=40, batch_tokens=256, max_tokens=64, smallest=1e-5)


@pytest.fixture(autouse=True)
def one_thread(tmp_path):
    with use_context(Context(threads=1, work_folder=tmp_path / "work")):
        yield


@pytest.fixture
def plays(test_data, make_dataset):
    text = (test_data / "lm" / "tinyshakespeare.txt").read_text()[:60_000]
    return make_dataset([{"text": part} for part in text.split("\n\n") if part.strip()])


class Bowl(torch.nn.Module):
    """The loss w^2 of one weight: under gradient descent with momentum 0.9 every rate above 1.9 makes it grow."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([3.0]))

    def forward(self, part) -> torch.Tensor:
        return (self.w**2).sum()


class Step:
    tokens = 1


def test_of_a_parabola_it_finds_where_descent_turns():
    how = Training(optimizer="sgd", weight_decay=0.0, clip_norm=0.0)
    found = range_test(Bowl(), lambda step, limit: [Step()], how, smallest=1e-4, largest=1e4, steps=80)
    assert found.diverged
    assert len(found.losses) < 70  # it did not go on to the end
    assert found.rates[0] == pytest.approx(1e-4)
    assert found.rates[1] / found.rates[0] == pytest.approx(10 ** (8 / 79))
    assert found.losses[0] == 9.0
    assert 1e-3 < found.suggested < found.largest_stable < 1.9 < found.rates[-1]  # 1.9 is 2 (1 + 0.9) / curvature


def test_a_loss_that_is_not_finite_ends_it_too():
    class Broken(Bowl):
        def forward(self, part):
            loss = super().forward(part)
            return loss * math.nan if loss < 1 else loss

    found = range_test(Broken(), lambda step, limit: [Step()], Training(), smallest=1e-3, largest=10.0, steps=60)
    assert found.diverged
    assert 5 < len(found.losses) < 60
    assert all(map(math.isfinite, found.losses))


def test_neighbours_are_taken_evenly():
    assert smooth([1.0, 2.0, 6.0, 3.0]) == pytest.approx([1.0, 3.0, 11 / 3, 3.0])


def test_its_rate_trains_a_real_model_better_than_a_tenth_and_than_ten_times_of_it(stories, plays, run_step, tmp_path):
    before = stories.id
    curve, card = run_step(find_lr, base=stories, data=plays, **SMALL)
    assert type(stories)(stories.path).id == before
    report = json.loads((curve.path / "curve.json").read_bytes())
    rate = card.metrics["suggested_learning_rate"]
    assert rate == report["suggested_learning_rate"] == pytest.approx(card.metrics["largest_stable"] / 3)
    assert report["losses"][0] > min(report["smoothed"])
    check_page((curve.path / "curve.html").read_text(encoding="utf-8"))
    losses = []
    for factor in (0.1, 1, 10):
        _, run = run_step(
            pretrain,
            base=stories,
            data=plays,
            tokens=8_000,
            batch_tokens=256,
            context_tokens=64,
            learning_rate=rate * factor,
        )
        losses.append(run.metrics["final_loss"])
    assert losses[1] < min(losses[0], losses[2])
    again, _ = run_step(find_lr, base=stories, data=plays, **SMALL)
    assert again.id == curve.id


def test_chats_with_an_adapter_and_classes(stories, minilm, test_data, make_dataset, run_step):
    chats = [
        {"messages": [{"role": "user", "content": w}, {"role": "assistant", "content": f"{w} ran to the {w}."}]}
        for w in ("cat", "dog", "boy", "girl")
    ]
    _, card = run_step(
        find_lr,
        base=stories,
        data=make_dataset(chats),
        objective="chats",
        template="plain",
        batch=2,
        steps=30,
        adapter="lora",
    )
    assert card.metrics["suggested_learning_rate"] > 1e-5
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        rows = [{"text": t, "label": label} for label, t in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    _, card = run_step(
        find_lr,
        base=minilm,
        data=make_dataset(rows[:400]),
        objective="classes",
        batch=4,
        steps=30,
        max_tokens=16,
        smallest=1e-5,
    )
    assert 1e-5 < card.metrics["suggested_learning_rate"] < 0.1


def test_it_goes_on_where_it_was_stopped(stories, plays, run_step, tmp_path):
    stop = tmp_path / "stop"

    def after_ten(event):
        if event.get("name") == "loss" and event["step"] >= 10:
            stop.touch()

    whole, _ = run_step(find_lr, base=stories, data=plays, **SMALL)
    with use_context(Context(threads=1, work_folder=tmp_path / "b", report=after_ten, stop_file=stop)):
        with pytest.raises(Stopped):
            run_step(find_lr, base=stories, data=plays, **SMALL)
        stop.unlink()
    with use_context(Context(threads=1, work_folder=tmp_path / "b")):
        assert run_step(find_lr, base=stories, data=plays, **SMALL)[0].id == whole.id


def test_a_range_that_is_empty_is_refused_and_one_without_effect_is_said(stories, plays, run_step):
    with pytest.raises(InputError, match="grow from one to the other"):
        run_step(find_lr, base=stories, data=plays, smallest=1.0, largest=0.1)
    _, card = run_step(find_lr, base=stories, data=plays, **SMALL | {"smallest": 1e-9, "largest": 1e-8, "steps": 20})
    assert "no rate" in card.notes[0]
    assert "suggested_learning_rate" not in card.metrics


def test_it_stands_in_a_recipe(test_data):
    recipe = {
        "recipe": "range",
        "steps": {
            "base": {"use": "train.base", "path": str(test_data / "models" / "stories260K-hf")},
            "raw": {"use": "data.read", "path": str(test_data / "lm" / "wikitext-2.valid.txt")},
            "rate": {"use": "train.find_lr", "base": "$base", "data": "$raw", "steps": 20, "adapter": "lora"},
        },
    }
    call = load_recipe(recipe).steps["rate"]
    assert (call.step.makes, call.settings["adapter"]) == ("curve", "lora")
