"""Batches for models that transformers itself runs: texts of about one length, padded to one, in small tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loomwork.learn.distributed import even, mine
from loomwork.learn.order import RowOrder
from loomwork.learn.parts import split_rows

Ids = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class PaddedPart:
    """Some rows of a batch.

    Args:
        ids: int64 (texts, time), padded on the right.
        seen: int64 (texts, time), 1 for a token and 0 for filling.
        targets: whatever the objective learns from.
        share: what each row's (or token's) loss is multiplied with, so that all parts sum up to the batch's loss.
        rows: numbers of the rows.
        more: other tensors that the model reads, by its names for them.
    """

    ids: Tensor
    seen: Tensor
    targets: Any
    share: float
    rows: tuple[int, ...]
    more: dict[str, Tensor] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return int(self.seen.sum())


Make = Callable[[list[int], int], dict[str, Any]]
Weigh = Callable[[Sequence[int]], float]


@dataclass(frozen=True)
class PaddedBatches:
    """The batches of a run.

    Args:
        ids: tokens of each row.
        order: which rows each step takes.
        make: of some rows and the step, on the CPU, `targets` and `more` of a PaddedPart, or other `ids`.
        weigh: of the rows of a whole batch, what the sum of their losses is divided by.
        device: where the tensors are to be.
        pad: the token that fills.
        packed: the model computes no filling, so that a part may hold texts of any lengths.
    """

    ids: Sequence[Ids]
    order: RowOrder
    make: Make
    weigh: Weigh
    device: str
    pad: int = 0
    packed: bool = False

    def parts(self, step: int, limit: int) -> list[PaddedPart]:
        """This process's parts of a step's batch, each of at most `limit` tokens that are computed."""
        return self.parts_of(self.order.at(step), limit, step)

    def parts_of(self, rows: Sequence[int], limit: int, step: int = 0) -> list[PaddedPart]:
        """The same for any rows."""
        share = 1 / max(self.weigh(rows), 1e-12)
        lengths = [len(self.ids[r]) for r in rows]
        taken = mine(rows, lengths)
        chosen = split_rows(taken, [len(self.ids[r]) for r in taken], limit, padded=not self.packed)
        parts = [self._part(some, share, step) for some in chosen]
        return even(parts, lambda: self._part([rows[lengths.index(min(lengths))]], 0.0, step))

    def _part(self, rows: list[int], share: float, step: int) -> PaddedPart:
        made = self.make(rows, step)
        texts = made.get("ids") or [self.ids[r] for r in rows]
        ids, seen = pad_rows(texts, self.pad)
        moved = {name: to_device(made[name], self.device) for name in ("targets", "more") if name in made}
        return PaddedPart(
            ids.to(self.device), seen.to(self.device), moved.get("targets"), share, tuple(rows), moved.get("more", {})
        )

    def sample(self, rows: int, limit: int, seed: int) -> list[PaddedPart]:
        """Parts of a random sample of so many rows, as one batch: to look at while training."""
        order = np.random.default_rng([seed, 1]).permutation(len(self.ids))[:rows]
        return self.parts_of([int(r) for r in order], limit)


def pad_rows(texts: Sequence[Ids], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and which of them are real, int64 (texts, time)."""
    longest = max(len(t) for t in texts)
    ids = torch.full((len(texts), longest), pad, dtype=torch.long)
    seen = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.as_tensor(np.asarray(text, dtype=np.int64))
        seen[row, : len(text)] = 1
    return ids, seen


def pad_targets(rows: Sequence[Ids], filling: int) -> Tensor:
    """Targets of tokens, int64 (texts, time)."""
    longest = max(len(r) for r in rows)
    targets = torch.full((len(rows), longest), filling, dtype=torch.long)
    for row, values in enumerate(rows):
        targets[row, : len(values)] = torch.as_tensor(np.asarray(values, dtype=np.int64))
    return targets


def to_device(value: Any, device: str) -> Any:
    """A tensor, or a tuple or mapping of them, on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(to_device(v, device) for v in value)
    return {name: to_device(v, device) for name, v in value.items()}
