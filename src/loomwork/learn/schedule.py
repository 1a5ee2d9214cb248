"""Learning-rate schedules: the factor of the peak learning rate at each step of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from loomwork.core.errors import InputError, did_you_mean

Schedule = Callable[[int], float]
ScheduleName = Literal["linear", "cosine", "constant", "wsd"]


def linear(done: float) -> float:
    """A straight line from 1 to 0."""
    return 1.0 - done


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0. Source: Loshchilov and Hutter 2017, arXiv:1608.03983."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def constant(done: float) -> float:
    """Always 1."""
    return 1.0


def wsd(done: float) -> float:
    """Stable at 1, then 1 - sqrt over the last fifth. Source: Haegele et al. 2024, arXiv:2405.18392."""
    return 1.0 if done < 0.8 else 1.0 - math.sqrt((done - 0.8) / 0.2)


SHAPES: dict[str, Callable[[float], float]] = {"linear": linear, "cosine": cosine, "constant": constant, "wsd": wsd}


def make_schedule(shape: str | Schedule, *, steps: int, warmup_steps: int = 0, floor: float = 0.0) -> Schedule:
    """The schedule of a run: a linear warm-up, then the named shape over the steps that remain.

    Args:
        shape: a name in SHAPES, or a function from the step to a factor, which the warm-up multiplies.
        steps: how many steps the run has.
        warmup_steps: over how many steps the factor rises from 1/warmup_steps to 1.
        floor: what a named shape ends at instead of 0.

    Returns: the factor at each step, from 0 to steps - 1. No step has the factor 0, so that none is wasted.
    """
    if not callable(shape) and shape not in SHAPES:
        raise InputError(f"no schedule {shape!r}", did_you_mean(shape, SHAPES))

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
        if callable(shape):
            return warm * shape(step)
        done = max(0.0, (step - warmup_steps) / max(1, steps - warmup_steps))
        return warm * (floor + (1.0 - floor) * SHAPES[shape](done))

    return factor
