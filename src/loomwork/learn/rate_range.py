"""The learning-rate range test: a short run whose rate grows from step to step, until the loss diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from loomwork.core.errors import LoomError
from loomwork.learn.distributed import sum_numbers
from loomwork.learn.gradients import Part
from loomwork.learn.loop import Diverged, fit
from loomwork.learn.settings import Training
from loomwork.learn.watch import Watch

MEMORY = 0.9  # of the running mean that tells divergence: about ten steps
# Of two Llamas with AdamW, fresh and pretrained, the best rate of 120 steps was 0.5 to 0.6 of the largest stable one.
BELOW = 3.0
NOISE = 3.0  # standard errors of a smoothed loss, beyond which it has fallen
WINDOW = 20  # the curve is read through a centred mean over this fraction of it, to either side


@dataclass(frozen=True)
class RateRange:
    """What a range test saw.

    Args:
        rates: of each step, growing.
        losses: of each step's batch, before its weights moved.
        smoothed: the losses, each as the mean of its neighbours.
        diverged: whether the loss ran away before the largest rate.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged: bool

    @property
    def largest_stable(self) -> float | None:
        """The rate at which the loss is lowest: with more it rises. None where no rate lowered it beyond its noise."""
        lowest = int(np.argmin(self.smoothed))
        width = 2 * max(1, len(self.losses) // WINDOW) + 1
        first = self.losses[:width]
        error = np.std(np.diff(self.losses[: max(lowest, width) + 1])) / math.sqrt(2 * width)
        fell = float(np.mean(first)) - self.smoothed[lowest]
        return self.rates[lowest] if fell > NOISE * error else None

    @property
    def suggested(self) -> float | None:
        """Somewhat below that, since a whole run stays at its rate for longer; None where there is none."""
        return None if self.largest_stable is None else self.largest_stable / BELOW


def range_test(
    objective: torch.nn.Module,
    parts_at: Callable[[int, int], Sequence[Part]],
    how: Training,
    *,
    smallest: float,
    largest: float,
    steps: int,
    name: str = "range",
) -> RateRange:
    """Train with rates that grow by one factor a step, and see what the loss does. The objective's weights are spoilt.

    The run ends before `steps` where the running mean of the loss has doubled, or has risen by 1, from its best.

    Args:
        objective, parts_at: as of `fit`.
        how: optimizer, decay, clipping and seed.
        smallest, largest: rates of the first and the last step.
        steps: how many.
        name: of the checkpoint.

    Source: Smith 2015, arXiv:1506.01186.
    """
    recorded = _Recorded(objective, parts_at)
    watch = _RangeWatch(recorded.take)
    growth = (largest / smallest) ** (1 / max(1, steps - 1))
    how = replace(how, learning_rate=largest, warmup_share=0.0, ema=0.0, patience=1, keep_every=0)
    diverged = False
    try:
        fit(
            recorded,
            recorded.parts,
            how,
            steps=steps,
            schedule=lambda step: growth ** (step + 1 - steps),
            watch=watch,
            name=name,
        )
    except Diverged:
        diverged = True
    losses = [watch.values[step] for step in sorted(watch.values)]
    rates = [largest * growth ** (step + 1 - steps) for step in range(len(losses))]
    if not losses:
        raise LoomError(f"the loss is not finite at the first step, with the rate {smallest:.2g}", "lower `smallest`")
    return RateRange(rates, losses, smooth(losses), diverged or watch.worse > 0)


def smooth(values: Sequence[float]) -> list[float]:
    """Each value as the mean of its neighbours, as many on either side."""
    half = max(1, len(values) // WINDOW)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    found = []
    for i in range(len(values)):
        reach = min(half, i, len(values) - 1 - i)
        found.append(float((sums[i + reach + 1] - sums[i - reach]) / (2 * reach + 1)))
    return found


class _Recorded(torch.nn.Module):
    """An objective that remembers the loss of the step it is in."""

    def __init__(self, objective: torch.nn.Module, parts_at: Callable[[int, int], Sequence[Part]]) -> None:
        super().__init__()
        self.objective, self.parts_at = objective, parts_at
        self.total = 0.0

    def parts(self, step: int, limit: int) -> Sequence[Part]:
        self.total = 0.0  # a step that ran out of memory begins anew
        return self.parts_at(step, limit)

    def forward(self, part: Part) -> torch.Tensor:
        share: torch.Tensor = self.objective(part)
        self.total += float(share.detach())
        return share

    def take(self) -> float:
        return sum_numbers(self.total)[0]


@dataclass
class _RangeWatch(Watch):
    """Looks at the loss of every step, and ends the run where it runs away."""

    best: float = math.inf
    mean: float = 0.0

    def due(self, step: int, steps: int, looks: int) -> bool:
        return True

    def at(self, step: int) -> bool:
        value = self.look()
        assert isinstance(value, float)
        self.values[step] = value
        self.mean = MEMORY * self.mean + (1 - MEMORY) * value
        mean = self.mean / (1 - MEMORY ** len(self.values))  # without the zero that it began with
        self.best = min(self.best, mean)
        self.worse = int(mean > self.best + max(1.0, abs(self.best)) or not math.isfinite(mean))
        return False  # no weights are to be kept

    def tell(self, step: int) -> None:
        """Nothing: the loop reports the loss of every step."""

    @property
    def state(self) -> dict[str, object]:
        return super().state | {"mean": self.mean}
