"""The gradients of one step: the sum over the parts of its batch, and over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch

from loomwork.core.context import context
from loomwork.core.errors import LoomError
from loomwork.learn import distributed
from loomwork.learn.loss_scale import LossScale
from loomwork.learn.parts import part_tokens
from loomwork.learn.settings import Training

LARGE_PRIME = 1_000_003
RANKS_PRIME = 1_000_000_007  # each process draws its own dropout; the first one draws as it would alone


class Part(Protocol):
    """What is computed at once: some rows of a batch, ready for the objective."""

    @property
    def tokens(self) -> int: ...


PartsAt = Callable[[int, int], Sequence[Part]]


@dataclass
class Gradients:
    """The gradients of one step after another.

    Args:
        objective, parts_at: as of `fit`.
        trained: the parameters that get them.
        how: the settings.
        limit: how many tokens are computed at once; 0 for what the settings say.
        scale: of the losses; it stays on the gradients.
    """

    objective: torch.nn.Module
    parts_at: PartsAt
    trained: dict[str, torch.nn.Parameter]
    how: Training
    limit: int = 0
    scale: LossScale = field(default_factory=LossScale)

    def __post_init__(self) -> None:
        self.limit = self.limit or part_tokens(self.how.part_tokens, context().device)

    def sum(self, step: int) -> tuple[float, int]:
        """Sum the gradients of this process's parts; returns their loss and their tokens. Out of memory, the parts
        get smaller: the batch stays what it is."""
        while True:
            torch.manual_seed(self.how.seed * LARGE_PRIME + step + distributed.rank() * RANKS_PRIME)
            loss, tokens, longest = 0.0, 0, 0
            try:
                for part in self.parts_at(step, self.limit):
                    longest = max(longest, part.tokens)
                    loss, tokens = loss + self._of(part), tokens + part.tokens
                return loss, tokens
            except MEMORY_ERRORS as error:
                if not out_of_memory(error):
                    raise
                smaller = min(self.limit, longest) // 2
                if distributed.size() > 1 or smaller < 1 or self._cannot_split(step, smaller):
                    raise LoomError(
                        f"out of memory at step {step}, with {longest} tokens at once",
                        "set recompute: true, smaller part_tokens, a shorter max_tokens, or an adapter; or " + MORE,
                    ) from error
                self.limit = smaller
                self.objective.zero_grad(set_to_none=True)
                context().progress(step, None, "steps", note=f"out of memory: now {smaller} tokens at once")

    def _of(self, part: Part) -> float:
        """Add a part's gradients; returns its loss. What it took is given back with this call's variables."""
        share = self.objective(part)
        (share * self.scale.value).backward()
        return float(share.detach())

    def _cannot_split(self, step: int, smaller: int) -> bool:
        return len(self.parts_at(step, smaller)) <= len(self.parts_at(step, self.limit))


MEMORY_ERRORS = (torch.OutOfMemoryError, MemoryError, RuntimeError)  # among which `out_of_memory` tells
ON_CPUS = (
    "can't allocate memory",  # torch's allocator
    "could not create a primitive",  # oneDNN, which says no more
    "could not execute a primitive",
    "bad_alloc",  # C++
)
MORE = "train on a larger machine, or split the weights over several processes (shard: true)"


def out_of_memory(error: BaseException) -> bool:
    """Whether it says so: torch has a class of it for GPUs, and for CPUs there are sentences."""
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sentence in told for sentence in ON_CPUS)


@contextmanager
def enough_memory() -> Iterator[None]:
    """For what smaller parts of a batch do not help: optimizer, averages and copies of the weights.

    Raises:
        LoomError: memory ran out; it says what helps.
    """
    try:
        yield
    except MEMORY_ERRORS as error:
        if not out_of_memory(error):
            raise
        raise LoomError(
            "out of memory when the weights were moved, copied or looked at",
            f"set optimizer: adafactor or sgd, an adapter, freeze_layers, no ema, or smaller part_tokens; or {MORE}",
        ) from error
