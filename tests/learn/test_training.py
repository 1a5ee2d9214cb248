"""What the loop does beside stepping: parts, averages, early stopping, penalties, optimizers, too little memory."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from loomwork.core.errors import InputError, LoomError, Stopped
from loomwork.learn.average import update_average
from loomwork.learn.optimizer import add_penalties, make_optimizer
from loomwork.learn.settings import Rows, Training
from loomwork.learn.watch import Watch
from tests.learn.small_runs import Line, Points, run


class Small(Line):
    """A line on a machine that holds so many points at once."""

    def __init__(self, most: int, error: BaseException | None = None, seed: int = 0) -> None:
        super().__init__(seed)
        self.most, self.error = most, error or torch.OutOfMemoryError("out of memory")

    def forward(self, part: Points) -> torch.Tensor:
        if part.tokens > self.most:
            self.seen.append(-part.tokens)
            raise self.error
        return super().forward(part)


def test_small_parts_give_the_gradients_of_the_whole_batch(tmp_path):
    whole, parts = Line(), Line()
    first = run(whole, tmp_path / "a", steps=30, part_tokens=64)
    second = run(parts, tmp_path / "b", steps=30, part_tokens=5)
    assert (set(whole.seen), set(parts.seen)) == ({64}, {5, 4})
    assert first.losses == pytest.approx(second.losses, rel=1e-5)
    assert first.gradient_norms == pytest.approx(second.gradient_norms, rel=1e-4)
    assert (first.tokens, second.tokens) == (30 * 64, 30 * 64)
    torch.testing.assert_close(whole.layer.weight, parts.layer.weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit", "sgd", "adafactor"])
def test_resumed_with_parts_averages_and_looks_it_ends_with_the_same_bits(optimizer, tmp_path):
    more = {"part_tokens": 10, "ema": 0.9, "patience": 3, "looks": 4, "l1": 0.01, "optimizer": optimizer}
    stop = tmp_path / "stop"
    ends, seen = [], []
    for name, at in (("a", None), ("b", 17)):
        line = Line()
        watch = Watch(line.held)
        if at is not None:
            line.factor = lambda step: stop.touch() or 1.0 if step == 16 else 1.0
            with pytest.raises(Stopped):
                run(line, tmp_path / name, steps=40, watch=watch, stop_file=stop, **more)
            stop.unlink()
            line = Line(seed=5)  # another start: all that counts is in the checkpoint
            line.inputs, line.targets = Line().inputs, Line().targets
            watch = Watch(line.held)
        history = run(line, tmp_path / name, steps=40, watch=watch, **more)
        assert history.resumed_at == (at or 0)
        ends.append((line.layer.weight.tolist(), line.layer.bias.tolist(), history.losses, history.gradient_norms))
        seen.append(watch.state)
    assert ends[0] == ends[1]
    assert seen[0] == seen[1]
    assert len(seen[0]["values"]) == 4


def test_a_resumed_run_has_all_points_of_its_curves(tmp_path):
    stop = tmp_path / "stop"
    curves: list[dict[str, set[int]]] = []
    for name, at in (("a", None), ("b", 17)):
        if at is not None:
            line = Line()
            line.factor = lambda step: stop.touch() or 1.0 if step == 16 else 1.0
            with pytest.raises(Stopped):
                run(line, tmp_path / name, steps=40, watch=Watch(line.held), stop_file=stop, looks=8)
            stop.unlink()
        line, events = Line(), []
        run(line, tmp_path / name, steps=40, watch=Watch(line.held), looks=8, report=events.append)
        points = [(e["name"], e["step"]) for e in events if e["type"] == "metric"]
        assert len(points) == len(set(points))
        curves.append({series: {s for n, s in points if n == series} for series, _ in points})
    assert curves[0].keys() >= {"loss", "gradient_norm", "learning_rate", "memory_bytes", "holdout_loss"}
    assert curves[0]["learning_rate"] == set(range(1, 41))
    assert {n: steps for n, steps in curves[1].items() if n != "tokens_per_second"} == {
        n: steps for n, steps in curves[0].items() if n != "tokens_per_second"
    }


def test_a_finished_run_that_is_begun_again_has_its_average_at_once(tmp_path):
    first, second = Line(), Line(seed=3)
    run(first, tmp_path, steps=20, ema=0.9)
    history = run(second, tmp_path, steps=20, ema=0.9)
    assert history.resumed_at == 20
    assert torch.equal(first.layer.weight, second.layer.weight)


def test_the_average_is_saved_and_looked_at(tmp_path):
    line, plain = Line(), Line()
    weights: dict[int, torch.Tensor] = {}  # after so many steps, of a run without an average
    plain.factor = lambda step: weights.update({step: plain.layer.weight.detach().clone()}) or 1.0
    run(plain, tmp_path / "plain", steps=12)
    weights[12] = plain.layer.weight.detach()
    expected = {1: weights[1]}
    for step in range(1, 12):
        decay = min(0.8, (1 + step) / (10 + step))
        expected[step + 1] = decay * expected[step] + (1 - decay) * weights[step + 1]
    looked = []
    watch = Watch(lambda: looked.append(line.layer.weight.detach().clone()) or line.held())
    run(line, tmp_path / "average", steps=12, ema=0.8, watch=watch, looks=3)
    for found, step in zip([*looked, line.layer.weight], (4, 8, 12, 12), strict=True):
        torch.testing.assert_close(found, expected[step], rtol=1e-5, atol=1e-6)
    assert not torch.equal(plain.layer.weight, line.layer.weight)


def test_the_average_starts_as_the_weights_and_moves_faster_at_first():
    average: dict[str, torch.Tensor] = {}
    update_average(average, {"w": torch.tensor([1.0])}, 0.99, 0)
    assert average["w"].item() == 1.0
    update_average(average, {"w": torch.tensor([2.0])}, 0.99, 1)
    assert average["w"].item() == pytest.approx(1 * 2 / 11 + 2 * 9 / 11)


def test_early_stopping_ends_the_run_and_gives_the_best_weights(tmp_path):
    line = Line()
    values = iter([5.0, 4.0, 6.0, 4.5, 1.0])
    looked: list[torch.Tensor] = []

    def look() -> float:
        assert not line.training
        looked.append(line.layer.weight.detach().clone())
        return next(values)

    watch = Watch(look, scale=2.0)
    events: list[dict] = []
    history = run(line, tmp_path, steps=100, watch=watch, looks=10, patience=2, report=events.append)
    assert history.stopped_early
    assert len(history.losses) == 40
    assert (watch.best, watch.best_step) == (8.0, 20)
    assert torch.equal(line.layer.weight, looked[1])
    assert {e["step"]: e["value"] for e in events if e.get("name") == "holdout_loss"} == {10: 10, 20: 8, 30: 12, 40: 9}
    again, watch = Line(seed=4), Watch(look)
    history = run(again, tmp_path, steps=100, watch=watch, looks=10, patience=2)
    assert (history.stopped_early, history.resumed_at, len(history.losses)) == (True, 40, 40)
    assert torch.equal(again.layer.weight, looked[1])


def test_without_patience_a_run_goes_on_and_keeps_its_last_weights(tmp_path):
    line, plain = Line(), Line()
    run(line, tmp_path / "a", steps=20, watch=Watch(iter(range(9)).__next__), looks=9)
    run(plain, tmp_path / "b", steps=20)
    assert torch.equal(line.layer.weight, plain.layer.weight)


@pytest.mark.parametrize(("steps", "looks", "at"), [(10, 5, [2, 4, 6, 8, 10]), (3, 5, [1, 2, 3]), (7, 1, [7])])
def test_looks_are_at_even_distances_the_end_included(steps, looks, at):
    watch = Watch(lambda: 0.0)
    assert [s for s in range(1, steps + 1) if watch.due(s, steps, looks)] == at


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_weights_are_kept_on_the_way_the_average_where_there_is_one(ema, tmp_path):
    line, kept = Line(), {}
    run(
        line, tmp_path / "a", steps=10, ema=ema, keep_every=4,
        keep=lambda step: kept.update({step: line.layer.weight.detach().clone()}),
    )  # fmt: skip
    assert list(kept) == [4, 8]
    assert not torch.equal(kept[8], line.layer.weight)


def test_penalties_are_their_formula():
    weight, bias = torch.randn(3, 4, requires_grad=True), torch.randn(3, requires_grad=True)
    loss = (weight.sum(1) * bias).sum()
    loss.backward()
    before = [weight.grad.clone(), bias.grad.clone()]
    add_penalties([weight, bias], 0.3, 0.7)
    (expected,) = torch.autograd.grad(0.3 * weight.abs().sum() + 0.7 / 2 * (weight**2).sum(), weight)
    torch.testing.assert_close(weight.grad, before[0] + expected)
    assert torch.equal(bias.grad, before[1])


def test_penalties_draw_weights_to_zero(tmp_path):
    size = {}
    for name, value in (("l1", 0.0), ("l1", 2.0), ("l2", 2.0)):
        line = Line()
        run(line, tmp_path / f"{name}{value}", steps=200, learning_rate=0.05, **{name: value})
        size[name, value] = float(line.layer.weight.detach().abs().sum())
    assert max(size["l1", 2.0], size["l2", 2.0]) < 0.9 * size["l1", 0.0]


def test_optimizers_by_name(tmp_path):
    parameters = [torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(3))]
    kinds = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "adafactor": torch.optim.Adafactor}
    for name, kind in kinds.items():
        made = make_optimizer(parameters, Training(optimizer=name, weight_decay=0.2, beta2=0.9))
        assert type(made) is kind
        assert [(len(g["params"]), g["weight_decay"]) for g in made.param_groups] == [(1, 0.2), (1, 0.0)]
        line = Line()
        history = run(line, tmp_path / name, steps=60, optimizer=name, learning_rate=0.1)
        assert history.losses[-1] < 0.7 * history.losses[0]


def test_the_state_of_adamw_in_8_bits_takes_a_quarter_and_moves_weights_nearly_as_adamw_does():
    moved, held = {}, {}
    for name in ("adamw", "adamw_8bit"):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(128, 128))
        before = weight.detach().clone()
        optimizer = make_optimizer([weight], Training(optimizer=name, learning_rate=0.01, weight_decay=0.1))
        for step in range(10):
            weight.grad = torch.randn(128, 128, generator=torch.Generator().manual_seed(step)) + before
            optimizer.step()
        moved[name] = weight.detach() - before
        state = [t for t in optimizer.state[weight].values() if torch.is_tensor(t) and t.numel() >= weight.numel()]
        held[name] = sum(t.numel() * t.element_size() for t in state)
    assert held["adamw_8bit"] * 4 == held["adamw"]
    off = (moved["adamw_8bit"] - moved["adamw"]).norm() / moved["adamw"].norm()
    assert 0 < off < 0.05


def test_gradients_are_clipped_to_the_norm(tmp_path):
    line, before = Line(), Line()
    how = {"optimizer": "sgd", "schedule": "constant", "warmup_share": 0.0, "learning_rate": 1.0, "clip_norm": 0.25}
    history = run(line, tmp_path, steps=1, **how)
    moved = [a - b for a, b in zip(line.parameters(), before.parameters(), strict=True)]
    assert math.sqrt(sum(float((m.detach() ** 2).sum()) for m in moved)) == pytest.approx(0.25, rel=1e-4)
    assert history.gradient_norms[0] > 1  # what is told is the norm before


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("could not create a primitive"),  # what oneDNN says of it
    ],
)
def test_out_of_memory_the_parts_get_smaller_and_the_losses_stay(error, tmp_path):
    plain, small = Line(), Small(20, error)
    events: list[dict] = []
    expected = run(plain, tmp_path / "a", steps=10)
    found = run(small, tmp_path / "b", steps=10, report=events.append)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    assert found.part_tokens == 16
    assert small.seen[:2] == [-64, -32]
    assert min(small.seen[2:]) > 0  # it is not tried again
    assert [e["note"] for e in events if "out of memory" in e.get("note", "")][-1] == (
        "out of memory: now 16 tokens at once"
    )
    assert found.tokens == 640
    again = run(Small(20, error), tmp_path / "b", steps=14)  # and not by the run that goes on from here
    assert (again.resumed_at, again.part_tokens) == (10, 16)


def test_out_of_memory_behind_the_first_part_counts_no_gradient_twice(tmp_path):
    class Late(Small):
        def forward(self, part: Points) -> torch.Tensor:
            if part.rows[0] == 0:
                return Line.forward(self, part)
            return super().forward(part)

    plain, late = Line(), Late(8)
    assert run(late, tmp_path / "a", steps=5, part_tokens=32).gradient_norms == pytest.approx(
        run(plain, tmp_path / "b", steps=5, part_tokens=32).gradient_norms, rel=1e-4
    )


def test_one_row_that_is_too_large_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(LoomError, match=r"out of memory at step 0, with 1 tokens at once\n.*recompute: true"):
        run(Small(0), tmp_path, steps=3)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_real_lack_of_memory():
    """In a process that may have 600 MB more than torch itself: parts get smaller, and AdamW's state has no room."""
    program = [sys.executable, "-m", "tests.learn.little_memory"]
    root = Path(__file__).parents[2]
    told = subprocess.run(program, capture_output=True, text=True, check=True, cwd=root).stdout.split("\n")
    assert told[0].split()[0] == "3"  # all steps were done
    assert 1 <= int(told[0].split()[1]) < 64
    assert told[1] == "out of memory when the weights were moved, copied or looked at"


def test_other_errors_are_not_taken_for_it(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        run(Small(0, RuntimeError("shapes do not fit")), tmp_path, steps=3)


def test_how_many_steps_epochs_are():
    assert Rows(epochs=2.0, batch=16).count(100) == 13
    assert Rows(epochs=0.01, batch=16).count(100) == 1
    assert Rows(steps=7, epochs=9.0).count(100) == 7


def test_a_run_needs_something_to_train(tmp_path):
    with pytest.raises(InputError, match="nothing to train"):
        run(torch.nn.ReLU(), tmp_path, steps=1)
