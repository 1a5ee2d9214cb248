"""Estimates: exact parameters, work within a factor of two of the run's own, and no invention."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace

import pytest
import torch

from loomwork.core.artifact import Model, Tokenizer
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset
from loomwork.core.home import Home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import run_recipe
from loomwork.core.step import find_step
from loomwork.learn import cost
from loomwork.learn.cost import Load, counted, measure
from loomwork.learn.energy import EnergyMeter
from loomwork.learn.settings import Adapter, Training
from loomwork.train import _estimate
from loomwork.train._estimate import estimate
from loomwork.train.classify import classify
from loomwork.train.pretrain import pretrain


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(_estimate, "Context", lambda **given: Context(threads=1, **given))
    monkeypatch.setattr(_estimate, "precision", lambda: "float32")
    monkeypatch.setattr(cost, "ENOUGH_SECONDS", 0.5)
    with use_context(Context(threads=1)):
        yield


def cpu_seconds_of(run) -> tuple[object, float]:
    began = time.process_time()
    made = run()
    return made, time.process_time() - began


@pytest.fixture
def texts(test_data, tmp_path):
    text = (test_data / "lm" / "tinyshakespeare.txt").read_text()[:50_000]
    file = tmp_path / "plays.txt"
    file.write_text(text)
    return file


def pretraining(texts, **settings) -> dict:
    return {
        "recipe": "small",
        "steps": {
            "raw": {"use": "data.read", "path": str(texts), "text_unit": "paragraph"},
            "tokenizer": {"use": "train.tokenizer", "data": "$raw", "vocabulary": 512},
            "base": {"use": "train.init", "tokenizer": "$tokenizer", "layers": 2, "context_tokens": 128},
            "model": {"use": "train.pretrain", "base": "$base", "data": "$raw", "batch_tokens": 512} | settings,
        },
    }


def test_of_a_fresh_model_like_recipes_pretrain(texts, run_step, tmp_path):
    from loomwork.train.init import init
    from loomwork.train.tokenizer import tokenizer

    recipe, home = pretraining(texts, tokens=24_000), Home(tmp_path / "home")
    (before,) = estimate(home, load_recipe(recipe))
    assert before.seconds
    assert "the data $raw is not there yet" in before.assumed
    assert any("512 tokens" in line for line in before.assumed)
    assert not (home.root / "store").exists() or not home.ledger.last_runs(step="data.read", limit=1)

    read = run_recipe({**recipe, "steps": {"raw": recipe["steps"]["raw"]}}, home=home)
    (found,) = estimate(home, load_recipe(recipe))
    assert "the data $raw is not there yet" not in found.assumed

    data = home.store.open(read.steps["raw"].artifact, Dataset)
    tok, _ = run_step(tokenizer, data=data, vocabulary=512)
    base, _ = run_step(init, tokenizer=Tokenizer(tok.path), layers=2, context_tokens=128)
    (_, card), cpu = cpu_seconds_of(lambda: run_step(pretrain, base=base, data=data, tokens=24_000, batch_tokens=512))
    for one in (before, found):
        assert one.parameters == one.trained_parameters == card.metrics["parameters"]
        assert one.steps == pytest.approx(card.metrics["steps"], rel=0.1)
        assert cpu / 2 < one.cpu_seconds < 2 * cpu


def test_of_a_pretrained_model_on_data_that_is_there(texts, stories, run_step, tmp_path):
    recipe = pretraining(texts)
    del recipe["steps"]["tokenizer"]
    recipe["steps"]["base"] = {"use": "train.base", "path": str(stories.path)}
    recipe["steps"]["model"] |= {"adapter": "lora", "rank": 4, "context_tokens": 64}
    home = Home(tmp_path / "home")
    read = run_recipe({**recipe, "steps": {"raw": recipe["steps"]["raw"]}}, home=home)
    (found,) = estimate(home, load_recipe(recipe))
    data = home.store.open(read.steps["raw"].artifact, Dataset)
    tuning = Adapter(adapter="lora", rank=4)
    (_, card), cpu = cpu_seconds_of(
        lambda: run_step(pretrain, base=stories, data=data, batch_tokens=512, context_tokens=64, tuning=tuning)
    )
    assert found.parameters == card.metrics["parameters"]
    assert found.trained_parameters == card.metrics["trained_parameters"]
    assert found.tokens == pytest.approx(card.metrics["learned_tokens_per_epoch"], rel=0.1)
    assert found.steps == pytest.approx(card.metrics["steps"], rel=0.1)
    assert cpu / 2 < found.cpu_seconds < 2 * cpu
    again = estimate(home, load_recipe(recipe))[0]
    assert again.cpu_seconds == found.cpu_seconds  # measured once


def test_of_a_classifier(minilm, test_data, run_step, tmp_path):
    file = tmp_path / "sms.tsv"
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[:120]
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t").writerows([["label", "text"], *rows])
    recipe = {
        "recipe": "classes",
        "steps": {
            "raw": {"use": "data.read", "path": str(file)},
            "base": {"use": "train.base", "path": str(minilm.path)},
            "model": {"use": "train.classify", "base": "$base", "data": "$raw", "epochs": 1.0, "freeze_layers": 4},
        },
    }
    home = Home(tmp_path / "home")
    read = run_recipe({**recipe, "steps": {"raw": recipe["steps"]["raw"]}}, home=home)
    (found,) = estimate(home, load_recipe(recipe))
    data = home.store.open(read.steps["raw"].artifact, Dataset)
    tuning, rows = Adapter(freeze_layers=4), classify.step.signature.parameters["rows"].default
    (_, card), cpu = cpu_seconds_of(
        lambda: run_step(classify, base=minilm, data=data, tuning=tuning, rows=replace(rows, epochs=1.0))
    )
    assert (found.parameters, found.trained_parameters, found.steps) == (
        card.metrics["parameters"],
        card.metrics["trained_parameters"],
        card.metrics["steps"],
    )
    assert cpu / 2 < found.cpu_seconds < 2 * cpu
    assert found.memory_bytes["gradients"] == 4 * found.trained_parameters


OTHERS = {
    "answer": {"max_tokens": 64, "overlap_tokens": 16, "steps": 8},
    "translate": {"steps": 8},
    "pretrain_masked": {"max_tokens": 64, "steps": 8},
    "distill": {"steps": 8, "text": "text", "max_tokens": 64},
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_of_other_steps(name, test_data, stories, small_bert, run_step, tmp_path):
    lines = [t for t in (test_data / "lm" / "wizard_of_oz.txt").read_text().split(". ") if 80 < len(t) < 300][:120]
    rows = [
        {"text": t, "question": "Who?", "context": t, "answers": t.split()[3], "source": t[:60], "target": t[60:120]}
        for t in lines
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = {"raw": {"use": "data.read", "path": str(file)}}
    if name == "translate":
        steps["words"] = {"use": "train.tokenizer", "data": "$raw", "vocabulary": 400}
        steps["base"] = {
            "use": "train.init", "tokenizer": "$words", "architecture": "bart", "layers": 1, "context_tokens": 128
        }  # fmt: skip
    else:
        steps["base"] = {"use": "train.base", "path": str(stories.path if name == "distill" else small_bert.path)}
    given = {"base": "$base", "data": "$raw", **OTHERS[name]}
    student = {"student": {"use": "train.student", "teacher": "$base", "keep": 3}} if name == "distill" else {}
    if student:
        given |= {"base": "$student", "teacher": "$base"}
    recipe = {"recipe": "others", "steps": steps | student | {"model": {"use": f"train.{name}", **given}}}
    home = Home(tmp_path / "home")
    before = run_recipe({**recipe, "steps": steps}, home=home)  # without the student, which is not there yet
    (found,) = estimate(home, load_recipe(recipe))
    assert found.unknown == ""
    inputs = {"data": home.store.open(before.steps["raw"].artifact, Dataset)}
    inputs["base"] = home.store.open(before.steps["base"].artifact, Model)
    if student:
        inputs["teacher"] = inputs["base"]
        inputs["base"], _ = run_step(find_step("train.student").function, teacher=inputs["teacher"], keep=3)
    function = find_step(f"train.{name}").function
    (_, card), cpu = cpu_seconds_of(lambda: run_step(function, **inputs, **OTHERS[name]))
    assert found.steps == card.metrics["steps"] == 8
    assert found.parameters == card.metrics["parameters"]
    assert found.trained_parameters == card.metrics["trained_parameters"]
    assert found.cpu_seconds < 2 * cpu  # which is of reading and writing too
    assert found.cpu_seconds > cpu / 8
    assert ("teacher" in found.memory_bytes) == (name == "distill")


def test_what_cannot_be_known_is_said(texts, tmp_path):
    home = Home(tmp_path / "home")
    recipe = pretraining(texts)  # one pass over data that is not there
    (found,) = estimate(home, load_recipe(recipe))
    assert any("follows from the data" in line for line in found.assumed)
    assert (found.steps, found.tokens, found.seconds, found.joules) == (None, None, None, None)
    assert found.seconds_per_step > 0
    assert found.parameters > 100_000
    recipe["steps"]["base"] = {"use": "train.base", "hub": "someone/model"}
    (found,) = estimate(home, load_recipe(recipe))
    assert "still at the hub" in found.unknown


def test_a_classifier_on_a_base_without_a_token_that_fills(stories, monkeypatch, tmp_path):
    """And what goes wrong in one step leaves the estimates of the others."""
    rows = tmp_path / "rows.csv"
    rows.write_text("label,text\n" + "a,Once upon a time\nb,there was a cat and a dog\n" * 20)
    how = {"use": "train.classify", "base": "$base", "data": "$raw", "steps": 5, "batch": 8}
    recipe = {
        "recipe": "classes",
        "steps": {
            "raw": {"use": "data.read", "path": str(rows)},
            "base": {"use": "train.base", "path": str(stories.path)},
            "broken": how | {"max_tokens": 64},
            "model": how | {"max_tokens": 32},
        },
    }
    measured = cost.measure

    def measure_some(load):
        if max(load.lengths) > 32:
            raise IndexError("index out of range in self")
        return measured(load)

    monkeypatch.setattr(cost, "measure", measure_some)
    broken, found = estimate(Home(tmp_path / "home"), load_recipe(recipe))
    assert broken.unknown == "IndexError: index out of range in self"
    assert not found.unknown
    assert found.cpu_seconds > 0


def test_rows_are_as_long_as_the_model_reads(small_bert, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("label,text\n" + f"a,{'word ' * 900}\nb,{'name ' * 900}\n" * 2)
    recipe = {
        "recipe": "long",
        "steps": {
            "raw": {"use": "data.read", "path": str(rows)},
            "base": {"use": "train.base", "path": str(small_bert.path)},
            "model": {"use": "train.classify", "base": "$base", "data": "$raw", "max_tokens": 600, "batch": 2},
        },
    }
    home = Home(tmp_path / "home")
    run_recipe({**recipe, "steps": {"raw": recipe["steps"]["raw"]}}, home=home)
    (found,) = estimate(home, load_recipe(recipe))
    assert not found.unknown
    assert found.tokens == 512 * 2 * found.steps


def test_what_layers_add_is_added_for_the_others(monkeypatch):
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=200, hidden_size=128, intermediate_size=256, num_hidden_layers=12, num_attention_heads=4
    )
    load = Load("causal", config, [64] * 8, 8, Training(), Adapter())
    whole = measure(load)
    monkeypatch.setattr(cost, "WHOLE", 0)
    some = measure(load)
    assert "12 layers" in some.how
    assert some.activation_bytes == pytest.approx(whole.activation_bytes, rel=0.05)
    assert some.cpu_seconds_per_token == pytest.approx(whole.cpu_seconds_per_token, rel=0.6)
    monkeypatch.setattr(cost, "TWO_LAYERS", 0)
    least = measure(load)
    assert least.seconds_per_token > 0
    assert least.seconds_per_update > 0
    assert 0.2 < least.activation_bytes / whole.activation_bytes < 5


def test_weights_of_a_layer_that_the_measured_model_lacks_can_be_chosen(monkeypatch):
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=200, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4
    )
    load = Load("causal", config, [64] * 2, 2, Training(), Adapter(train_only=["layers.3"]))
    monkeypatch.setattr(cost, "WHOLE", 0)
    assert "with 1 and with 2 of the 4 layers" in measure(load).how
    assert counted(load)[1] == 4 * 32 * 32 + 3 * 32 * 64 + 2 * 32


def test_a_model_of_billions_is_counted_without_its_memory():
    from transformers import LlamaConfig

    config = LlamaConfig(num_hidden_layers=32)  # Llama 2 7B
    load = Load("causal", config, [64], 1, Training(), Adapter(adapter="lora", rank=8, targets=["q_proj", "v_proj"]))
    parameters, trained = counted(load)
    assert parameters - trained == 6_738_415_616
    assert trained == 32 * 2 * 8 * (4096 + 4096)


def test_energy_is_read_where_it_can_be(tmp_path):
    package, core, dram = (tmp_path / name for name in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1"))
    for zone, name in ((package, "package-0"), (core, "core"), (dram, "dram")):
        zone.mkdir()
        (zone / "name").write_text(f"{name}\n")
        (zone / "energy_uj").write_text("900000\n")
        (zone / "max_energy_range_uj").write_text("1000000\n")
    meter = EnergyMeter(tmp_path)
    for zone in (package, core, dram):
        (zone / "energy_uj").write_text("2900000\n")
    assert meter.joules() == pytest.approx(4.0)  # the cores are in the package
    (package / "energy_uj").write_text("400000\n")  # it began anew at one joule
    assert meter.joules() == pytest.approx(2.5)
    assert EnergyMeter(tmp_path / "none").joules() is None


def test_memory_counts_are_those_of_torch():
    from loomwork.learn.cost import _kept_bytes

    layer = torch.nn.Linear(10, 20)

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x).sigmoid().sum()

    x = torch.randn(4, 10)
    assert _kept_bytes(Two(), x) == 4 * (4 * 10 + 4 * 20)  # the input, and what sigmoid gave
