"""What is looked at while a run goes on: the held-out loss, and when to stop for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from loomwork.core.context import context
from loomwork.learn import distributed

Tensors = dict[str, torch.Tensor]


@dataclass
class Watch:
    """Looks at held-out data at even distances through a run.

    Args:
        look: the held-out loss of the model as it is, without gradients and in evaluation mode. Of several processes
            each gives its share, and the shares are summed.
        series: the name of its curve.
        scale: what the curve shows is the loss times this.
    """

    look: Callable[[], float]
    series: str = "holdout_loss"
    scale: float = 1.0
    best: float = math.inf
    best_step: int = 0
    worse: int = 0  # looks since the best
    values: dict[int, float] = field(default_factory=dict)

    def due(self, step: int, steps: int, looks: int) -> bool:
        """Whether to look after `step` steps of the run."""
        return step in {steps * i // looks for i in range(1, looks + 1)}

    @torch.no_grad()
    def at(self, step: int) -> bool:
        """Look; returns whether it is the best so far."""
        value = float(distributed.sum_numbers(self.look())[0] * self.scale)  # plain, for the checkpoint
        self.values[step] = value
        context().metric(self.series, value, step)
        better = value < self.best
        if better:
            self.best, self.best_step, self.worse = value, step, 0
        else:
            self.worse += 1
        return better

    @property
    def state(self) -> dict[str, object]:
        """Plain values to keep in a checkpoint."""
        return {"best": self.best, "best_step": self.best_step, "worse": self.worse, "values": self.values}

    def resume(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
