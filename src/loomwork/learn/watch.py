"""What is looked at while a run goes on: the held-out loss, and when to stop for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from loomwork.core.context import context
from loomwork.learn import distributed
from loomwork.learn.gradients import MEMORY_ERRORS, out_of_memory

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


@dataclass
class HeldOut:
    """The loss of held-out data, as `Watch` asks for it. Out of memory, its parts get smaller.

    Args:
        objective: of parts.
        parts_of: the parts, each of at most so many tokens.
        limit: how many.
    """

    objective: torch.nn.Module
    parts_of: Callable[[int], Sequence[Any]]
    limit: int

    def __post_init__(self) -> None:
        self.parts = self.parts_of(self.limit)

    def __call__(self) -> float:
        self.objective.eval()
        while True:
            try:
                return sum(float(self.objective(part)) for part in self.parts)
            except MEMORY_ERRORS as error:
                smaller = min(self.limit, max((part.tokens for part in self.parts), default=0)) // 2
                fewer = self.parts_of(smaller) if smaller else []
                if not out_of_memory(error) or distributed.size() > 1 or len(fewer) <= len(self.parts):
                    raise
                self.limit, self.parts = smaller, fewer
