"""A line to be learned, for tests of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from loomwork.core.context import Context, use_context
from loomwork.learn.loop import History, fit
from loomwork.learn.settings import Training

TRUE = torch.tensor([[1.0], [-2.0], [0.5], [3.0]])


@dataclass
class Points:
    """Some of a batch's points: numbers of rows, and one over the points of the batch."""

    rows: list[int]
    share: float
    step: int

    @property
    def tokens(self) -> int:
        return len(self.rows)


class Line(torch.nn.Module):
    """The mean squared error of a linear layer, times a factor of the step."""

    def __init__(self, seed: int = 0, factor: Callable[[int], float] = lambda step: 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.inputs = torch.randn(64, 4, generator=generator)
        self.targets = self.inputs @ TRUE + 1
        torch.manual_seed(seed)
        self.layer = torch.nn.Linear(4, 1)
        self.factor = factor
        self.seen: list[int] = []

    def forward(self, part: Points) -> torch.Tensor:
        self.seen.append(part.tokens)
        errors = self.layer(self.inputs[part.rows]) - self.targets[part.rows]
        return (errors**2).sum() * part.share * self.factor(part.step)

    def held(self) -> float:
        """The loss on all points."""
        with torch.no_grad():
            return float(self(Points(list(range(64)), 1 / 64, 0)))


def parts_at(step: int, limit: int) -> list[Points]:
    """All 64 points, so many at once."""
    size = min(64, limit)
    return [Points(list(range(at, min(64, at + size))), 1 / 64, step) for at in range(0, 64, size)]


def run(objective: torch.nn.Module, work: Path, *, steps: int, **given: Any) -> History:
    """Train with settings and arguments of `fit`, in a work folder."""
    arguments = {n: given.pop(n) for n in ("watch", "keep", "schedule", "name") if n in given}
    context = {n: given.pop(n) for n in ("report", "stop_file", "precision") if n in given}
    how = Training(**({"learning_rate": 0.01, "weight_decay": 0.0} | given))
    with use_context(Context(work_folder=work, threads=1, **context)):
        return fit(objective, parts_at, how, steps=steps, **arguments)
