"""The training loop. Killed at any step and run again, it ends with the same weights, bit for bit on CPU.

A step's batch is a pure function of the step's number, and so is its randomness: there is no state of a data
loader or of a random generator to save. A checkpoint holds the trained weights, the optimizer and the losses.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from loomwork.core.context import context
from loomwork.core.errors import InputError, LoomError, Stopped
from loomwork.learn.schedule import Schedule, make_schedule

REPORTS = 500  # how many points a curve has, at most
WINDOW = 20  # how many steps the test for divergence averages over
LARGE_PRIME = 1_000_003


@dataclass
class History:
    """What happened in a run.

    Args:
        losses: the loss of every step, those before a resume included.
        gradient_norms: the same, before clipping.
        resumed_at: the step that this process began at.
        seconds: how long this process trained, checkpoints included.
        tokens: how many tokens this process trained on.
    """

    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    resumed_at: int = 0
    seconds: float = 0.0
    tokens: int = 0
    best: float = math.inf  # the lowest mean loss of a window so far

    def last_loss(self, steps: int = WINDOW) -> float:
        """The mean loss of the last steps."""
        tail = self.losses[-steps:]
        return sum(tail) / len(tail) if tail else math.nan


def fit(
    model: torch.nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
    schedule: Schedule | str = "linear",
    warmup_steps: int = 0,
    floor: float = 0.0,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    clip_norm: float = 1.0,
    seed: int = 0,
    checkpoint_every_seconds: float = 20.0,
    tokens_at: Callable[[int], int] | None = None,
    name: str = "fit",
) -> History:
    """Train the parameters of a model that require a gradient, with AdamW, in place.

    Args:
        model: left in training mode; dropout is drawn anew from (seed, step) at every step.
        loss_at: the loss of that step's batch, a scalar; it must depend on the step and the weights only.
        steps: how many steps the whole run has.
        learning_rate: at the peak of the schedule.
        schedule: a name in learn.schedule, or a function from the step to a factor.
        warmup_steps: over how many steps the rate rises.
        floor: the fraction of the rate that a named schedule ends at.
        weight_decay: of matrices only; biases and norms (one dimension) have none.
        betas: of AdamW.
        clip_norm: the largest norm of the gradient; 0 for no clipping.
        seed: of dropout.
        checkpoint_every_seconds: how much work a kill can cost.
        tokens_at: how many tokens that step's batch has, for the throughput.
        name: of the checkpoint in the step's work folder, where a step trains twice.

    Returns: the losses and norms of all steps.

    Raises:
        Stopped: the user asked to stop; the checkpoint is written.
        LoomError: the loss is not finite, or diverges, or a checkpoint cannot be written.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101 (AdamW).
    """
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise InputError("there is nothing to train: no parameter of the model requires a gradient")
    torch.set_num_threads(context().threads)
    factor = make_schedule(schedule, steps=steps, warmup_steps=warmup_steps, floor=floor)
    optimizer = _adamw(trained.values(), learning_rate, weight_decay, betas)
    checkpoint = _Checkpoint(context().work / f"{name}.pt", model, trained, optimizer)
    history = checkpoint.restore()
    began = saved = reported = time.monotonic()
    tokens_since = steps_since = 0
    every = max(1, steps // REPORTS)
    model.train()
    with _reproducible():
        for step in range(history.resumed_at, steps):
            if context().stop_requested:
                checkpoint.save(step, history)
                raise Stopped(f"training was stopped at step {step} of {steps}", "run it again to go on from there")
            torch.manual_seed(seed * LARGE_PRIME + step)
            rate = learning_rate * factor(step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_at(step)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = float(torch.nn.utils.clip_grad_norm_(trained.values(), clip_norm or math.inf))
            history.losses.append(float(loss.detach()))
            history.gradient_norms.append(norm)
            _check(history, rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            tokens = tokens_at(step) if tokens_at else 0
            history.tokens += tokens
            tokens_since, steps_since = tokens_since + tokens, steps_since + 1
            now = time.monotonic()
            if (step + 1) % every == 0 or step + 1 == steps:
                _report(step + 1, steps, history, rate, tokens_since, steps_since, now - reported)
                reported, tokens_since, steps_since = now, 0, 0
            if now - saved >= checkpoint_every_seconds:
                checkpoint.save(step + 1, history)
                saved = time.monotonic()
        if steps > history.resumed_at:
            checkpoint.save(steps, history)  # what follows may be killed too
    history.seconds = time.monotonic() - began
    return history


def _adamw(
    parameters: Any, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    every = list(parameters)
    groups = [
        {"params": [p for p in every if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in every)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=betas, fused=fused)


def _check(history: History, rate: float) -> None:
    """Stop a run that cannot be saved by going on."""
    step, loss, norm = len(history.losses) - 1, history.losses[-1], history.gradient_norms[-1]
    hint = "lower learning_rate, lengthen warmup_steps, or look for bad rows in the data"
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise LoomError(f"at step {step} the loss is {loss} and its gradient's norm {norm} (rate {rate:.2g})", hint)
    if (step + 1) % WINDOW:
        return
    recent = history.last_loss()
    best = history.best = min(history.best, recent)
    if recent > best + max(1.0, abs(best)):
        raise LoomError(
            f"training diverges: over the {WINDOW} steps up to {step} the mean loss is {recent:.3g}, it was {best:.3g}",
            hint,
        )


def _report(step: int, steps: int, history: History, rate: float, tokens: int, count: int, seconds: float) -> None:
    """Send the points of the curves; the loss and the norm are means since the last point."""
    loss = sum(history.losses[-count:]) / count
    context().progress(step, steps, "steps", note=f"loss {loss:.3f}")
    context().metric("loss", loss, step)
    context().metric("gradient_norm", sum(history.gradient_norms[-count:]) / count, step)
    context().metric("learning_rate", rate, step)
    if tokens and seconds > 0:
        context().metric("tokens_per_second", tokens / seconds, step)


@dataclass
class _Checkpoint:
    """One file, replaced as a whole: a kill while it is written leaves the one before."""

    path: Path
    model: torch.nn.Module
    trained: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer

    def save(self, step: int, history: History) -> None:
        state = {
            "step": step,
            "losses": history.losses,
            "gradient_norms": history.gradient_norms,
            "parameters": {n: p.detach() for n, p in self.trained.items()},
            "buffers": dict(self.model.named_buffers()),
            "optimizer": self.optimizer.state_dict(),
        }
        half = self.path.with_suffix(".half")
        try:
            with open(half, "wb") as stream:
                torch.save(state, stream)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(self.path)
        except (OSError, RuntimeError) as error:  # torch wraps some write errors
            half.unlink(missing_ok=True)
            raise LoomError(
                f"the checkpoint of step {step} cannot be written to {self.path}: {error}",
                "free some space and run again: training goes on from the last good checkpoint",
            ) from error

    def restore(self) -> History:
        """The history so far; the weights and the optimizer are set to it."""
        if not self.path.is_file():
            return History()
        device = next(iter(self.trained.values())).device
        state = torch.load(self.path, map_location=device, weights_only=True)
        if {n: p.shape for n, p in state["parameters"].items()} != {n: p.shape for n, p in self.trained.items()}:
            raise LoomError(f"the checkpoint {self.path} is of another model", "delete it to train from the start")
        with torch.no_grad():
            for mine, saved in ((self.trained, "parameters"), (dict(self.model.named_buffers()), "buffers")):
                for n, tensor in mine.items():
                    tensor.copy_(state[saved][n])
        self.optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
        means = (sum(losses[i : i + WINDOW]) / WINDOW for i in range(0, len(losses) - WINDOW + 1, WINDOW))
        best = min(means, default=math.inf)
        return History(losses, state["gradient_norms"], resumed_at=state["step"], best=best)


@contextmanager
def _reproducible() -> Iterator[None]:
    """Sums in one order, and the caller's random state as it was. (CUDA has operations without a fixed order.)"""
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
