"""Training in two processes: the same losses and weights as in one, and what must be decided alike in both.

All runs of two processes are carried out by one pair (together.py), one after the other; those of one, here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.learn.runs import Runs, same_learning, write

PRETRAIN = {
    "batch_tokens": 256,
    "context_tokens": 64,
    "tokens": 2_000,
    "learning_rate": 5e-4,
    "looks": 3,
    "clip_norm": 1.0,
}
SFT = {"steps": 8, "batch": 5, "learning_rate": 2e-3, "looks": 2, "template": "chatml", "max_tokens": 128}
LORA = SFT | {"adapter": "lora", "rank": 4}
CLASSIFY = {"text": "text", "label": "label", "steps": 6, "batch": 6, "dropout": 0.0, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def runs(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("distributed")
    book = (test_data / "lm" / "wizard_of_oz.txt").read_text("utf-8").replace("\n", " ")
    texts = [t for t in book.split(". ") if 40 < len(t) < 300]
    asked = json.loads((test_data / "instructions" / "alpaca_en_demo.json").read_text("utf-8"))
    short = [a for a in asked if len(a["instruction"] + a["output"]) < 200]
    chats = [
        {"messages": [{"role": "user", "content": a["instruction"]}, {"role": "assistant", "content": a["output"]}]}
        for a in short
    ]
    labelled = [{"text": t[:80], "label": "said" if '"' in t else "told"} for t in texts]
    data = {
        "pretrain": write(folder / "texts", [{"text": t} for t in texts[:60]]),
        "pretrain-holdout": write(folder / "more-texts", [{"text": t} for t in texts[60:70]]),
        "sft": write(folder / "chats", chats[:30]),
        "sft-holdout": write(folder / "more-chats", chats[30:31]),  # one row: a process has nothing to look at
        "classify": write(folder / "labelled", labelled[:60]),
        "classify-holdout": write(folder / "more-labelled", labelled[60:90]),
    }
    base = folder / "base"
    shutil.copytree(test_data / "models" / "stories260K-hf", base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"pad_token_id": 0}))  # what the classifier needs
    found = Runs(folder, base, data)
    early = PRETRAIN | {"learning_rate": 0.2, "schedule": "constant", "looks": 8, "patience": 1, "clip_norm": 0.0}
    split = PRETRAIN | {"shard": True, "keep_every": 4, "ema": 0.5, "optimizer": "sgd", "learning_rate": 0.02}
    found.alone("stopped", "train.pretrain", PRETRAIN, work="from-one", stop=5)
    plans = [
        ("pretrain", "train.pretrain", PRETRAIN | {"keep_every": 4}, {}),
        ("sft", "train.sft", SFT, {}),
        ("lora", "train.sft", LORA, {}),
        ("classify", "train.classify", CLASSIFY, {}),
        ("early", "train.pretrain", early, {}),
        ("resumed", "train.pretrain", PRETRAIN, {"work": "from-one"}),
        ("stopped", "train.pretrain", PRETRAIN, {"work": "from-two", "stop": 5}),
        ("split", "train.pretrain", split, {}),
        ("split-lora", "train.sft", LORA | {"shard": True, "part_tokens": 64}, {}),
        ("split-classify", "train.classify", CLASSIFY | {"shard": True, "optimizer": "sgd"}, {}),
        ("split-stopped", "train.pretrain", PRETRAIN | {"shard": True}, {"work": "from-split", "stop": 5}),
        ("split-adafactor", "train.sft", SFT | {"shard": True, "optimizer": "adafactor"}, {}),
    ]
    found.pair([found.plan(n, step, settings, pair=True, **more) for n, step, settings, more in plans])
    for n, step, settings, _more in plans:
        if n in ("pretrain", "sft", "lora", "classify", "early", "split", "split-lora", "split-classify"):
            found.alone(n, step, settings)
    found.alone("resumed", "train.pretrain", PRETRAIN, work="from-two")
    found.alone("split-resumed", "train.pretrain", PRETRAIN | {"shard": True}, work="from-split")
    return found


NAMES = ["pretrain", "sft", "lora", "classify", "split", "split-lora", "split-classify"]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_learn_what_one_learns(runs: Runs, name: str):
    same_learning(runs, name, sgd=name in ("split", "split-classify"))


@pytest.mark.parametrize("name", NAMES)
def test_held_out_data_is_looked_at_by_both_and_summed(runs: Runs, name: str):
    series = "holdout_bits_per_byte" if "pretrain" in name or name == "split" else "holdout_loss"
    one, two = runs.losses(f"alone/{name}", series), runs.losses(f"pair/{name}/0", series)
    assert len(one) == len(two) > 1
    assert two == pytest.approx(one, rel=1e-3)
    assert two[-1] < two[0] or "classify" in name  # a few steps do not teach it who speaks


def test_both_stop_early_at_the_same_step(runs: Runs):
    metrics = [runs.told[f"pair/early/{rank}"]["metrics"] for rank in (0, 1)]
    assert metrics[0]["steps"] == metrics[1]["steps"] == runs.told["alone/early"]["metrics"]["steps"] < 8
    assert metrics[0]["best_step"] == metrics[1]["best_step"]


def test_a_request_to_stop_that_one_process_sees_stops_both(runs: Runs):
    ended = [runs.told[f"pair/stopped/{rank}"]["ended"] for rank in (0, 1)]
    assert ended[0] == ended[1]
    assert "stopped at step" in ended[0]


@pytest.mark.parametrize(
    ("resumed", "whole"),
    [
        ("pair/resumed", "alone/pretrain"),
        ("alone/resumed", "alone/pretrain"),
        ("alone/split-resumed", "alone/pretrain"),
    ],
)
def test_a_checkpoint_resumes_in_another_number_of_processes(runs: Runs, resumed: str, whole: str):
    told = runs.told.get(resumed) or runs.told[f"{resumed}/0"]
    assert any("went on from step" in note for note in told["notes"])
    assert told["ended"] == ""
    assert told["curves"]["loss"] == pytest.approx(runs.told[whole]["curves"]["loss"], rel=1e-3)
    one, two = runs.weights(whole), runs.weights(resumed)
    assert all((one[n].float() - two[n].float()).abs().mean() < 1e-5 for n in one)


def test_only_the_first_process_writes(runs: Runs):
    first, second = (runs.told[f"pair/pretrain/{rank}"]["wrote"] for rank in (0, 1))
    assert any(f.endswith("checkpoint-4/model.safetensors") for f in first)
    assert not any(f.endswith(".safetensors") for f in second)
    assert not runs.told["pair/pretrain/1"]["curves"] or runs.losses("pair/pretrain/1") == runs.losses(
        "pair/pretrain/0"
    )


def test_split_weights_are_kept_and_saved_whole(runs: Runs):
    kept = "checkpoint-4/model.safetensors"
    one, two = runs.weights("alone/split", kept), runs.weights("pair/split", kept)
    assert all((one[n] - two[n]).abs().max() < 5e-4 for n in one)
    assert "trained by 2 processes, the weights split" in runs.told["pair/split/0"]["notes"]


def test_an_optimizer_that_cannot_be_split_is_refused(runs: Runs):
    for rank in (0, 1):
        assert "optimizer adafactor cannot be split" in runs.told[f"pair/split-adafactor/{rank}"]["ended"]
