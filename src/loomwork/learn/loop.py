"""The training loop. Killed at any step and run again, it ends with the same weights, bit for bit on CPU.

A step's batch is a pure function of the step's number, and so is its randomness: there is no state of a data
loader or of a random generator to save. What else a run needs to go on is in its checkpoint (checkpoint.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from loomwork.core.context import context
from loomwork.core.errors import InputError, LoomError, Stopped
from loomwork.core.memory import peak_memory_bytes
from loomwork.learn import distributed
from loomwork.learn.average import put_weights, update_average, with_weights
from loomwork.learn.checkpoint import Checkpoint
from loomwork.learn.gradients import Gradients, PartsAt, enough_memory
from loomwork.learn.loss_scale import LossScale
from loomwork.learn.optimizer import add_penalties, make_optimizer
from loomwork.learn.schedule import Schedule, make_schedule
from loomwork.learn.settings import Training
from loomwork.learn.watch import Watch
from loomwork.models.heap import keep_freed_memory

SAVED_SHARE = 10  # between two checkpoints lies at least so many times what the last one took
REPORTS = 500  # how many points a curve has, at most
RUNAWAY, RUNAWAY_STEPS = 10, 5  # so many times the first loss, as the median of so many steps, is divergence
WINDOW = 20  # how many steps the other test for divergence takes the median of


class Diverged(LoomError):
    """The loss runs away, or is no number: going on cannot save the run."""


@dataclass
class History:
    """What happened in a run.

    Args:
        losses: the loss of every step, those before a resume included.
        gradient_norms: the same, before clipping.
        resumed_at: the step that this process began at.
        seconds: how long was trained, checkpoints and what other processes did before a resume included.
        tokens: how many tokens were trained on.
        part_tokens: how many were computed at once, at the end.
        stopped_early: whether a look at held-out data ended it.
        curves: the points that were reported, by series and step; those before a resume included.
    """

    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    resumed_at: int = 0
    seconds: float = 0.0
    tokens: int = 0
    part_tokens: int = 0
    stopped_early: bool = False
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    best: float = math.inf  # the lowest median loss of a window so far

    def last_loss(self, steps: int = WINDOW) -> float:
        """The mean loss of the last steps."""
        tail = self.losses[-steps:]
        return sum(tail) / len(tail) if tail else math.nan

    def median_loss(self, steps: int) -> float:
        """The median loss of the last steps, which single batches with rows that are hard do not move."""
        return median(self.losses[-steps:])


def fit(
    objective: torch.nn.Module,
    parts_at: PartsAt,
    how: Training,
    *,
    steps: int,
    schedule: Schedule | None = None,
    watch: Watch | None = None,
    keep: Callable[[int], None] | None = None,
    checkpoint_every_seconds: float = 20.0,
    name: str = "fit",
) -> History:
    """Train the parameters of an objective that require a gradient, in place.

    Args:
        objective: called with a part of a batch it gives the part's share of the batch's loss, a scalar: the shares
            of all parts sum up to the loss. It must depend on the part and the weights only; dropout is drawn anew
            from (seed, step).
        parts_at: this process's parts of a step's batch, each of about as many tokens as the second argument says.
        how: the settings.
        steps: how many steps the whole run has.
        schedule: a factor of the rate at each step, instead of the named one.
        watch: looks at held-out data.
        keep: called with the number of steps done, every `how.keep_every`.
        checkpoint_every_seconds: how much work a kill can cost; of large models more, so that writing takes little of
            the time.
        name: of the checkpoint in the step's work folder, where a step trains twice.

    Returns: the losses and norms of all steps.

    Raises:
        Stopped: the user asked to stop; the checkpoint is written.
        LoomError: the loss is not finite, or diverges, or a checkpoint cannot be written.
    """
    trained = {n: p for n, p in objective.named_parameters() if p.requires_grad}
    if not trained:
        raise InputError("there is nothing to train: no parameter of the model requires a gradient")
    if how.patience and watch is None:
        raise InputError("patience needs held-out data to look at", "give holdout, or leave patience out")
    keep_freed_memory()
    torch.set_num_threads(context().threads)
    warmup = round(how.warmup_share * steps)
    factor = make_schedule(schedule or how.schedule, steps=steps, warmup_steps=warmup, floor=how.floor)
    optimizer = make_optimizer(trained.values(), how)
    average: dict[str, torch.Tensor] = {}
    best: dict[str, torch.Tensor] = {}
    kept = Checkpoint(context().work / f"{name}.pt", objective, trained, optimizer, {"average": average, "best": best})
    scale = LossScale.of(context().precision)
    history = _resume(kept, how, watch, scale)
    average, best = kept.more.setdefault("average", {}), kept.more.setdefault("best", {})
    gradients = Gradients(objective, parts_at, trained, how, history.part_tokens, scale)
    (stop,) = distributed.sum_numbers(context().stop_requested)
    every = max(1, steps // REPORTS)
    _report_again(history, watch, steps)
    began = saved = reported = time.monotonic()
    tokens_since = steps_since = 0
    saving = 0.0  # seconds that the last checkpoint took
    objective.train()
    with _reproducible(), enough_memory():
        for step in range(history.resumed_at, steps):
            if history.stopped_early:
                break
            if stop:
                kept.save(step, _state(history, watch, scale, began))
                raise Stopped(f"training was stopped at step {step} of {steps}", "run it again to go on from there")
            rate = how.learning_rate * factor(step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, tokens = gradients.sum(step)  # of this process
            distributed.sum_gradients(trained.values())
            scale.take_off(trained.values())
            now = time.monotonic()
            late = distributed.rank() == 0 and now - saved >= max(checkpoint_every_seconds, SAVED_SHARE * saving)
            loss, count, stop, due = distributed.sum_numbers(loss, tokens, context().stop_requested, late)
            history.part_tokens = gradients.limit
            if how.l1 or how.l2:
                add_penalties(trained.values(), how.l1, how.l2)
            norm = float(distributed.whole(clip_grad_norm_(trained.values(), how.clip_norm or math.inf)))
            left_out = scale.overflowed(norm)
            history.losses.append(loss)
            history.gradient_norms.append((history.gradient_norms or [0.0])[-1] if left_out else norm)
            _check(history, rate)
            if not left_out:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if how.ema:
                update_average(average, trained, how.ema, step)
            history.tokens += int(count)
            tokens_since, steps_since = tokens_since + int(count), steps_since + 1
            done = step + 1
            if done % every == 0 or done == steps:
                _report(done, steps, history, rate, tokens_since, steps_since, now - reported)
                reported, tokens_since, steps_since = now, 0, 0
            if watch and watch.due(done, steps, how.looks):
                objective.eval()
                with with_weights(trained, average):
                    if watch.at(done) and how.patience:
                        best.update({n: p.detach().clone() for n, p in trained.items()})
                objective.train()
                history.stopped_early = 0 < how.patience <= watch.worse
            if keep and how.keep_every and done % how.keep_every == 0:
                with with_weights(trained, average):
                    keep(done)
            if due:
                before = time.monotonic()
                kept.save(done, _state(history, watch, scale, began))
                saved = time.monotonic()
                saving = saved - before
        if len(history.losses) > history.resumed_at:
            kept.save(len(history.losses), _state(history, watch, scale, began))  # what follows may be killed too
    put_weights(trained, best or average)
    history.seconds += time.monotonic() - began
    return history


def _resume(kept: Checkpoint, how: Training, watch: Watch | None, scale: LossScale) -> History:
    step, run = kept.restore()
    if not run:
        return History()
    scale.resume(run["scale"])
    if watch:
        watch.resume(run["watch"])
    losses = run["losses"]
    medians = (median(losses[i : i + WINDOW]) for i in range(0, len(losses) - WINDOW + 1, WINDOW))
    early = bool(watch and 0 < how.patience <= watch.worse)
    return History(
        losses,
        run["gradient_norms"],
        resumed_at=step,
        part_tokens=run["part_tokens"],
        stopped_early=early,
        best=min(medians, default=math.inf),
        seconds=run["seconds"],
        tokens=run["tokens"],
        curves=run["curves"],
    )


def _state(history: History, watch: Watch | None, scale: LossScale, began: float) -> dict[str, Any]:
    return {
        "scale": scale.state,
        "seconds": history.seconds + time.monotonic() - began,
        "tokens": history.tokens,
        "losses": history.losses,
        "gradient_norms": history.gradient_norms,
        "curves": history.curves,
        "part_tokens": history.part_tokens,
        "watch": watch.state if watch else {},
    }


def _check(history: History, rate: float) -> None:
    """Stop a run that cannot be saved by going on."""
    step, loss, norm = len(history.losses) - 1, history.losses[-1], history.gradient_norms[-1]
    hint = "lower learning_rate, lengthen warmup_share, or look for bad rows in the data"
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise Diverged(f"at step {step} the loss is {loss} and its gradient's norm {norm} (rate {rate:.2g})", hint)
    recent, first = history.median_loss(RUNAWAY_STEPS), history.losses[0]
    if step >= RUNAWAY_STEPS and recent > RUNAWAY * max(1.0, abs(first)):
        raise Diverged(
            f"training diverges: over the {RUNAWAY_STEPS} steps up to {step} the median loss is {recent:.3g}, it began "
            f"with {first:.3g}",
            hint,
        )
    if (step + 1) % WINDOW:
        return
    recent = history.median_loss(WINDOW)
    best = history.best = min(history.best, recent)
    if recent > best + max(1.0, abs(best)):
        raise Diverged(
            f"training diverges: over the {WINDOW} steps up to {step} the median loss is {recent:.3g}, it was "
            f"{best:.3g}",
            hint,
        )


def _report_again(history: History, watch: Watch | None, steps: int) -> None:
    """Send the curves of the steps before this process took over, for a run's series are its own."""
    if not history.resumed_at:
        return
    context().progress(history.resumed_at, steps, "steps", note=f"goes on from step {history.resumed_at}")
    for name, points in history.curves.items():
        for step, value in points.items():
            context().metric(name, value, step)
    if watch:
        for step in watch.values:
            watch.tell(step)


def _report(step: int, steps: int, history: History, rate: float, tokens: int, count: int, seconds: float) -> None:
    """Send the points of the curves; the loss and the norm are means since the last point."""
    loss = sum(history.losses[-count:]) / count
    context().progress(step, steps, "steps", note=f"loss {loss:.3f}")
    on_gpu = context().device.startswith("cuda")
    points = {
        "loss": loss,
        "gradient_norm": sum(history.gradient_norms[-count:]) / count,
        "learning_rate": rate,
        "memory_bytes": float(torch.cuda.max_memory_allocated() if on_gpu else peak_memory_bytes()),
    }
    if tokens and seconds > 0:
        points["tokens_per_second"] = tokens / seconds
    for name, value in points.items():
        history.curves.setdefault(name, {})[step] = value
        context().metric(name, value, step)


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
