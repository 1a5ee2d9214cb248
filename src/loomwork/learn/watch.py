"""What is looked at while a run goes on: the loss and metrics of held-out data, and when to stop for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from loomwork.core.context import context
from loomwork.learn import distributed
from loomwork.learn.gradients import MEMORY_ERRORS, out_of_memory
from loomwork.learn.judges import Floats, Judge

Tensors = dict[str, torch.Tensor]


@dataclass
class Watch:
    """Looks at held-out data at even distances through a run.

    Args:
        look: the held-out loss of the model as it is, without gradients and in evaluation mode, and the sums of a judge
            where there is one. Of several processes each gives its share, and the shares are summed.
        series: the name of the loss's curve; a metric's is holdout_ and its name.
        scale: what the loss's curve shows is the loss times this.
        judge: makes metrics of the sums.
        stop_on: "loss" or a metric of the judge's: what is better by.
    """

    look: Callable[[], float | tuple[float, Floats]]
    series: str = "holdout_loss"
    scale: float = 1.0
    judge: Judge | None = None
    stop_on: str = "loss"
    best: float = math.nan  # before the first look
    best_step: int = 0
    worse: int = 0  # looks since the best
    values: dict[int, float] = field(default_factory=dict)
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)

    def due(self, step: int, steps: int, looks: int) -> bool:
        """Whether to look after `step` steps of the run."""
        return step in {steps * i // looks for i in range(1, looks + 1)}

    @torch.no_grad()
    def at(self, step: int) -> bool:
        """Look; returns whether it is the best so far."""
        found = self.look()
        loss, sums = found if isinstance(found, tuple) else (found, np.zeros(0))
        loss, *summed = distributed.sum_numbers(loss, *sums.tolist())
        value = self.values[step] = float(loss * self.scale)  # plain, for the checkpoint
        seen = self.metrics[step] = self.judge.metrics(np.array(summed)) if self.judge else {}
        self.tell(step)
        chosen = value if self.stop_on == "loss" else seen[self.stop_on]
        first = math.isnan(self.best)
        better = first or (chosen < self.best if self.stop_on == "loss" else chosen > self.best)
        if better:
            self.best, self.best_step, self.worse = chosen, step, 0
        else:
            self.worse += 1
        return better

    def tell(self, step: int) -> None:
        """Send the points of the look after `step` steps."""
        context().metric(self.series, self.values[step], step)
        for name, metric in self.metrics[step].items():
            context().metric(f"holdout_{name}", metric, step)

    def card(self, stopping: bool) -> dict[str, float]:
        """Of the looks, for a card: the best, and the metrics of the weights that are saved.

        Args:
            stopping: these are the best ones, not the last.
        """
        if not self.values:
            return {}
        series = self.series if self.stop_on == "loss" else f"holdout_{self.stop_on}"
        saved = self.metrics.get(self.best_step if stopping else max(self.values), {})
        return {
            **{f"holdout_{name}": metric for name, metric in saved.items()},
            f"best_{series}": self.best,
            "best_step": float(self.best_step),
        }

    @property
    def state(self) -> dict[str, object]:
        """Plain values to keep in a checkpoint."""
        kept = ("best", "best_step", "worse", "values", "metrics")
        return {name: getattr(self, name) for name in kept}

    def resume(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


@dataclass
class HeldOut:
    """The loss of held-out data, as `Watch` asks for it. Out of memory, its parts get smaller.

    Args:
        objective: of parts. With a judge it has `outputs` and `loss_of`.
        parts_of: the parts, each of at most so many tokens.
        limit: how many.
        judge: of what the model gives for a part.
    """

    objective: torch.nn.Module
    parts_of: Callable[[int], Sequence[Any]]
    limit: int
    judge: Judge | None = None

    def __post_init__(self) -> None:
        self.parts = self.parts_of(self.limit)

    def __call__(self) -> float | tuple[float, Floats]:
        self.objective.eval()
        while True:
            try:
                return self._judged(self.judge) if self.judge else sum(float(self.objective(p)) for p in self.parts)
            except MEMORY_ERRORS as error:
                smaller = min(self.limit, max((part.tokens for part in self.parts), default=0)) // 2
                fewer = self.parts_of(smaller) if smaller else []
                if not out_of_memory(error) or distributed.size() > 1 or len(fewer) <= len(self.parts):
                    raise
                self.limit, self.parts = smaller, fewer

    def _judged(self, judge: Judge) -> tuple[float, Floats]:
        objective: Any = self.objective
        loss, sums = 0.0, np.zeros(judge.size)
        for part in self.parts:
            found = objective.outputs(part)
            loss += float(objective.loss_of(part, found))
            if part.share:  # else it was made to have as many parts as another process
                sums += judge.sums(part, found)
        return loss, sums
