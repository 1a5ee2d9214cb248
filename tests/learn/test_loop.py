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

from loomwork.core.errors import InputError, LoomError, Stopped
from tests.learn.small_runs import Line, run

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


def test_it_learns_and_reports_its_curves(tmp_path):
    events: list[dict] = []
    history = run(Line(), tmp_path, steps=400, learning_rate=0.05, report=events.append)
    assert history.last_loss() < 1e-3 < history.losses[0]
    assert history.tokens == 400 * 64
    series = {e["name"]: [x["step"] for x in events if x.get("name") == e["name"]] for e in events if "name" in e}
    assert set(series) == {"loss", "gradient_norm", "learning_rate", "tokens_per_second", "memory_bytes"}
    assert series["loss"] == list(range(1, 401))
    assert [e["value"] for e in events if e.get("name") == "loss"] == history.losses
    last = [e for e in events if e["type"] == "progress"][-1]
    assert (last["done"], last["total"]) == (400, 400)


def test_a_long_run_has_a_curve_of_means(tmp_path, monkeypatch):
    monkeypatch.setattr("loomwork.learn.loop.REPORTS", 5)
    events: list[dict] = []
    history = run(Line(), tmp_path, steps=52, report=events.append)
    points = {e["step"]: e["value"] for e in events if e.get("name") == "loss"}
    assert list(points) == [10, 20, 30, 40, 50, 52]
    assert points[20] == pytest.approx(sum(history.losses[10:20]) / 10)
    assert points[52] == pytest.approx(sum(history.losses[50:]) / 2)


def test_equal_to_torch_adamw_without_our_loop(tmp_path):
    ours, twin = Line(), Line()
    run(ours, tmp_path, steps=20, schedule="constant", warmup_share=0.0, weight_decay=0.1, clip_norm=0.0)
    groups = [{"params": [twin.layer.weight], "weight_decay": 0.1}, {"params": [twin.layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.999))
    for _ in range(20):
        optimizer.zero_grad()
        ((twin.layer(twin.inputs) - twin.targets) ** 2).mean().backward()
        optimizer.step()
    torch.testing.assert_close(ours.layer.weight, twin.layer.weight)
    torch.testing.assert_close(ours.layer.bias, twin.layer.bias)


def test_dropout_does_not_disturb_the_callers_random_state(tmp_path):
    torch.manual_seed(5)
    line, before = Line(), torch.get_rng_state()
    run(line, tmp_path, steps=2)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_stop_request_saves_and_the_next_run_goes_on(tmp_path):
    stop = tmp_path / "stop"

    def at_six(step: int) -> float:
        if step == 6 and not resumed:
            stop.touch()
        return 1.0

    resumed = False
    line = Line(factor=at_six)
    with pytest.raises(Stopped, match="step 7 of 20"):
        run(line, tmp_path / "work", steps=20, stop_file=stop)
    stop.unlink()
    resumed = True
    history = run(line, tmp_path / "work", steps=20, stop_file=stop)
    assert history.resumed_at == 7
    assert len(history.losses) == 20
    whole = Line()
    assert run(whole, tmp_path / "other", steps=20).losses == history.losses
    assert torch.equal(whole.layer.weight, line.layer.weight)


def test_a_loss_that_is_not_finite_is_refused(tmp_path):
    line = Line(factor=lambda step: math.nan if step == 3 else 1.0)
    with pytest.raises(LoomError, match="at step 3 the loss is nan"):
        run(line, tmp_path, steps=20)


def test_divergence_is_refused(tmp_path):
    line = Line(factor=lambda step: 1.0 if step < 40 else step)
    with pytest.raises(LoomError, match="training diverges"):
        run(line, tmp_path, steps=400, learning_rate=3.0, schedule="constant")


def test_divergence_within_the_first_steps_is_refused(tmp_path):
    line = Line(factor=lambda step: 1.0 if step < 3 else 1e4)
    with pytest.raises(LoomError, match="over the 5 steps up to 5 the median loss is"):
        run(line, tmp_path, steps=12, learning_rate=1e-3)


def test_single_hard_batches_are_no_divergence(tmp_path):
    line = Line(factor=lambda step: 1e3 if step % 7 in (2, 3) else 1.0)
    assert len(run(line, tmp_path, steps=100, learning_rate=1e-9).losses) == 100


def test_a_resumed_run_sends_the_curve_of_the_steps_before(tmp_path):
    stop = tmp_path / "stop"

    def stop_at(step: int) -> float:
        if step == 6:
            stop.touch()
        return 1.0

    with pytest.raises(Stopped):
        run(Line(factor=stop_at), tmp_path, steps=20, stop_file=stop)
    stop.unlink()
    events: list[dict] = []
    history = run(Line(), tmp_path, steps=20, report=events.append)
    assert history.resumed_at > 0
    points = {e["step"]: e["value"] for e in events if e.get("name") == "loss"}
    assert sorted(points) == list(range(1, 21))
    assert list(points.values()) == history.losses
    assert any(str(e.get("note", "")).startswith("goes on from step") for e in events)


def test_nothing_to_train_and_unknown_schedules_are_refused(tmp_path):
    line = Line()
    with pytest.raises(InputError, match=r"'cosinus'.*\n.*'cosine'"):
        run(line, tmp_path, steps=2, schedule="cosinus")
    line.requires_grad_(False)
    with pytest.raises(InputError, match="nothing to train"):
        run(line, tmp_path, steps=2)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    run(Line(), tmp_path, steps=5)
    good = (tmp_path / "fit.pt").read_bytes()
    (tmp_path / "fit.half").symlink_to("/dev/full")
    with pytest.raises(LoomError, match=r"checkpoint of step 9 cannot be written"):
        run(Line(), tmp_path, steps=9)
    assert (tmp_path / "fit.pt").read_bytes() == good


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run(Line(), tmp_path, steps=2)
    other = Line()
    other.layer = torch.nn.Linear(4, 2)
    with pytest.raises(LoomError, match="another model"):
        run(other, tmp_path, steps=2)


def test_importing_a_train_step_imports_no_torch():
    heavy = ["torch", "transformers", "openvino", "pyarrow", "tokenizers", "peft"]
    steps = ["base", "classify", "embed", "init", "pretrain", "sft", "tag"]
    code = (
        f"import sys, json, {', '.join(f'loomwork.train.{s}' for s in steps)}, loomwork.compress.quantize;"
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_loop_keeps_freed_memory(tmp_path, monkeypatch):
    from loomwork.models.heap import keep_freed_memory

    called = []
    monkeypatch.setattr("loomwork.learn.loop.keep_freed_memory", lambda: called.append(True))
    run(Line(), tmp_path, steps=1)
    assert called == [True]
    assert keep_freed_memory() is keep_freed_memory()  # twice does no harm
    blocks = [torch.ones(10 << 20) for _ in range(3)]  # above what the C library would map anew
    del blocks[1]
    assert float(sum(b.sum() for b in [*blocks, torch.ones(10 << 20)])) == 3 * (10 << 20)
