"""Losses scaled up for float16, in which small gradients are 0; nothing is scaled in other number formats.

The scale doubles after many steps without an overflow; a step that overflows is left out, and the scale is halved.

Source: Micikevicius et al. 2018, arXiv:1710.03740; the numbers are those of torch.amp.GradScaler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

FIRST, GROWN_AFTER = 2.0**16, 2000


@dataclass
class LossScale:
    """What losses are multiplied by.

    Args:
        value: the factor; 1 where nothing is to be scaled.
        steps: without an overflow, since it changed.
        skipped: steps that were left out.
    """

    value: float = 1.0
    steps: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, precision: str) -> LossScale:
        """That of a run in a number format ("float16")."""
        return cls(FIRST if precision == "float16" else 1.0)

    @property
    def state(self) -> dict[str, float]:
        return {"value": self.value, "steps": self.steps, "skipped": self.skipped}

    def resume(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint's `state`."""
        self.value, self.steps, self.skipped = state["value"], int(state["steps"]), int(state["skipped"])

    def take_off(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Divide the gradients by it."""
        if self.value != 1.0:
            for p in parameters:
                if p.grad is not None:
                    p.grad.mul_(1 / self.value)

    def overflowed(self, norm: float) -> bool:
        """Whether a step must be left out for the norm of its gradients; counts it, and changes the scale.

        Without a scale that can be lowered it never must: then the run cannot be saved, and the loop says so.
        """
        if self.value == 1.0:
            return False
        if not math.isfinite(norm):
            self.value, self.steps, self.skipped = self.value / 2, 0, self.skipped + 1
            return True
        self.steps += 1
        if self.steps == GROWN_AFTER:
            self.value, self.steps = self.value * 2, 0
        return False
