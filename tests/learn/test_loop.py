"""The training loop: resuming, stopping, and what it refuses."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, LoomError, Stopped
from loomwork.learn.loop import fit

RUN = Path(__file__).with_name("killed_run.py")


def start(work: Path, result: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, str(RUN), str(work), str(result), "120", str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_killed_and_resumed_ends_with_the_same_bytes(tmp_path):
    whole = start(tmp_path / "a", tmp_path / "a.safetensors")
    assert whole.communicate()[0].split()[0] == "0"
    for _ in range(2):  # killed twice, at whatever step it is then
        half = start(tmp_path / "b", tmp_path / "b.safetensors", pause=0.05)
        checkpoint = tmp_path / "b" / "fit.pt"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while half.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > before):
            time.sleep(0.01)
        half.kill()
        half.communicate()
        assert half.returncode == -9
    resumed = start(tmp_path / "b", tmp_path / "b.safetensors")
    at, steps, _ = resumed.communicate()[0].split()
    assert 0 < int(at) < 120
    assert int(steps) == 120
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def line(seed: int = 0) -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(64, 4, generator=generator)
    torch.manual_seed(seed)
    return torch.nn.Linear(4, 1), inputs, inputs @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]) + 1


def test_it_learns_and_reports_its_curves(tmp_path):
    model, inputs, targets = line()
    events: list[dict] = []
    with use_context(Context(work_folder=tmp_path, report=events.append)):
        history = fit(
            model,
            lambda step: ((model(inputs) - targets) ** 2).mean(),
            steps=400,
            learning_rate=0.05,
            weight_decay=0.0,
            tokens_at=lambda step: 64,
        )
    assert history.last_loss() < 1e-3 < history.losses[0]
    assert history.tokens == 400 * 64
    series = {e["name"]: [x["step"] for x in events if x.get("name") == e["name"]] for e in events if "name" in e}
    assert set(series) == {"loss", "gradient_norm", "learning_rate", "tokens_per_second"}
    assert series["loss"] == list(range(1, 401))
    last = [e for e in events if e["type"] == "progress"][-1]
    assert (last["done"], last["total"]) == (400, 400)


def test_equal_to_torch_adamw_without_our_loop(tmp_path):
    model, inputs, targets = line()
    twin, _, _ = line()
    with use_context(Context(work_folder=tmp_path)):
        fit(
            model,
            lambda s: ((model(inputs) - targets) ** 2).mean(),
            steps=20,
            learning_rate=0.01,
            schedule="constant",
            weight_decay=0.1,
            clip_norm=0,
        )
    groups = [{"params": [twin.weight], "weight_decay": 0.1}, {"params": [twin.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.999))
    for _ in range(20):
        optimizer.zero_grad()
        ((twin(inputs) - targets) ** 2).mean().backward()
        optimizer.step()
    torch.testing.assert_close(model.weight, twin.weight)
    torch.testing.assert_close(model.bias, twin.bias)


def test_dropout_does_not_disturb_the_callers_random_state(tmp_path):
    model, inputs, targets = line()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with use_context(Context(work_folder=tmp_path)):
        fit(model, lambda s: ((model(inputs) - targets) ** 2).mean(), steps=2, learning_rate=0.01)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_stop_request_saves_and_the_next_run_goes_on(tmp_path):
    model, inputs, targets = line()
    stop = tmp_path / "stop"

    def loss_at(step: int) -> torch.Tensor:
        if step == 6:
            stop.touch()
        return ((model(inputs) - targets) ** 2).mean()

    with use_context(Context(work_folder=tmp_path / "work", stop_file=stop)):
        with pytest.raises(Stopped, match="step 7 of 20"):
            fit(model, loss_at, steps=20, learning_rate=0.01)
        stop.unlink()
        history = fit(model, loss_at if stop.exists() else lambda s: loss_at(99), steps=20, learning_rate=0.01)
    assert history.resumed_at == 7
    assert len(history.losses) == 20


def test_a_loss_that_is_not_finite_is_refused(tmp_path):
    model, inputs, _ = line()
    with use_context(Context(work_folder=tmp_path)), pytest.raises(LoomError, match="at step 3 the loss is nan"):
        fit(model, lambda s: model(inputs).mean() * (math.nan if s == 3 else 1.0), steps=20, learning_rate=0.01)


def test_divergence_is_refused(tmp_path):
    model, inputs, targets = line()
    with use_context(Context(work_folder=tmp_path)), pytest.raises(LoomError, match="training diverges"):
        fit(
            model,
            lambda s: ((model(inputs) - targets) ** 2).mean() * (1.0 if s < 40 else s),
            steps=400,
            learning_rate=3.0,
            schedule="constant",
        )


def test_nothing_to_train_and_unknown_schedules_are_refused(tmp_path):
    model, inputs, _ = line()
    with use_context(Context(work_folder=tmp_path)):
        with pytest.raises(InputError, match=r"'cosinus'.*\n.*'cosine'"):
            fit(model, lambda s: model(inputs).mean(), steps=2, learning_rate=0.01, schedule="cosinus")
        model.requires_grad_(False)
        with pytest.raises(InputError, match="nothing to train"):
            fit(model, lambda s: model(inputs).mean(), steps=2, learning_rate=0.01)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    model, inputs, targets = line()
    with use_context(Context(work_folder=tmp_path)):
        fit(model, lambda s: ((model(inputs) - targets) ** 2).mean(), steps=5, learning_rate=0.01)
        good = (tmp_path / "fit.pt").read_bytes()
        (tmp_path / "fit.half").symlink_to("/dev/full")
        with pytest.raises(LoomError, match=r"checkpoint of step 9 cannot be written"):
            fit(model, lambda s: ((model(inputs) - targets) ** 2).mean(), steps=9, learning_rate=0.01)
    assert (tmp_path / "fit.pt").read_bytes() == good


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    model, inputs, targets = line()
    with use_context(Context(work_folder=tmp_path)):
        fit(model, lambda s: ((model(inputs) - targets) ** 2).mean(), steps=2, learning_rate=0.01)
        other = torch.nn.Linear(4, 2)
        with pytest.raises(LoomError, match="another model"):
            fit(other, lambda s: other(inputs).mean(), steps=2, learning_rate=0.01)


def test_importing_a_train_step_imports_no_torch():
    heavy = ["torch", "transformers", "openvino", "pyarrow", "tokenizers"]
    code = (
        "import sys, json, loomwork.train.embed, loomwork.train.base, loomwork.compress.quantize;"
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
