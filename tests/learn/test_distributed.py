"""Training in two processes: the same losses and weights as in one, and what must be decided alike in both.

All runs of two processes are carried out by one pair (together.py), one after the other; those of one, here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from loomwork.core.dataset import DatasetWriter
from loomwork.core.processes import local_group
from tests.learn import together

TOGETHER = Path(together.__file__)
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


class Runs:
    """Runs by name, alone and in a pair."""

    def __init__(self, folder: Path, base: Path, data: dict[str, Path]) -> None:
        self.folder, self.base, self.data = folder, base, data
        self.told: dict[str, dict[str, Any]] = {}

    def plan(
        self, name: str, step: str, settings: dict[str, Any], *, work: str = "", stop: int = 0, pair: bool
    ) -> dict[str, Any]:
        kind = step.split(".")[1]
        place = self.folder / ("pair" if pair else "alone")
        place.mkdir(exist_ok=True)
        return {
            "name": name,
            "step": step,
            "base": str(self.base),
            "data": str(self.data[kind]),
            "holdout": str(self.data[f"{kind}-holdout"]),
            "settings": settings,
            "out": str(place / name),
            "work": str(self.folder / "work" / (work or f"{place.name}-{name}")),
            "stop": stop,
            "hears": (1 if pair else 0) if stop else -1,
        }

    def alone(self, name: str, *given: Any, **more: Any) -> dict[str, Any]:
        self.told[f"alone/{name}"] = told = together.carry_out(self.plan(name, *given, pair=False, **more))
        return told

    def pair(self, plans: list[dict[str, Any]]) -> None:
        file = self.folder / "runs.json"
        file.write_text(json.dumps(plans))
        path = os.pathsep.join([str(TOGETHER.parents[2]), *sys.path])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [sys.executable, str(TOGETHER), str(file)], env=environment | group, stderr=subprocess.PIPE
            )
            for group in local_group(2)
        ]
        errors = [process.communicate()[1].decode() for process in started]
        assert [process.returncode for process in started] == [0, 0], "\n".join(e[-2000:] for e in errors)
        for plan in plans:
            for rank in (0, 1):
                file = Path(f"{plan['out']}.told.{rank}")
                told = json.loads(file.read_text())
                told["curves"] = {n: {int(s): v for s, v in c.items()} for n, c in told["curves"].items()}
                self.told[f"pair/{plan['name']}/{rank}"] = told

    def losses(self, name: str, series: str = "loss") -> list[float]:
        return list(self.told[name]["curves"].get(series, {}).values())

    def weights(self, name: str, file: str = "model.safetensors") -> dict[str, Any]:
        return load_file(self.folder / name / file)


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    with DatasetWriter(folder) as writer:
        writer.write(rows)
    return folder


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
    sgd = name in ("split", "split-classify")
    for series in ("loss", "gradient_norm"):
        one, two = runs.losses(f"alone/{name}", series), runs.losses(f"pair/{name}/0", series)
        assert len(one) == len(two) > 5
        # AdamW divides gradients that are nothing but rounding by their own size, and so moves by them.
        assert two == pytest.approx(one, rel=2e-5 if sgd else 1e-3)
    one, two = runs.weights(f"alone/{name}"), runs.weights(f"pair/{name}")
    assert one.keys() == two.keys()
    for n in one:
        assert two[n].shape == one[n].shape
        assert (two[n].float() - one[n].float()).abs().max() < (1e-4 if sgd else 2e-3), n
        assert (two[n].float() - one[n].float()).abs().mean() < 1e-5, n


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
    assert min(told["curves"]["learning_rate"]) > 5  # it went on, and did not begin again
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
