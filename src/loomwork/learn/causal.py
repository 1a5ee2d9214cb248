"""The objective of causal language models: each learned token from those before it, packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from loomwork.learn.distributed import even, mine
from loomwork.learn.order import RowOrder, TokenOrder
from loomwork.learn.parts import split_rows
from loomwork.learn.sequences import Sequences
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.flat import LEAST_FILLED, Flat, lay_flat
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.plain_decoder import PlainDecoder

WATCHED_TOKENS = 32_768  # of held-out data that a run looks at


@dataclass(frozen=True)
class TokenPart:
    """Some rows of a batch.

    Args:
        flat: their tokens.
        targets: of each token (tokens), IGNORED where nothing is learned.
        share: one over the learned tokens of the whole batch.
        rows: numbers of the rows, in the layout's order.
    """

    flat: Flat
    targets: Tensor
    share: float
    rows: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        return len(self.flat.ids)


class CausalObjective(torch.nn.Module):
    """The mean cross-entropy (nats) over a batch's learned tokens.

    Args:
        decoder: FlatDecoder or PlainDecoder.
        smoothing: how much of each target is spread over the vocabulary, while training.
    """

    def __init__(self, decoder: FlatDecoder | PlainDecoder, smoothing: float = 0.0) -> None:
        super().__init__()
        self.decoder, self.smoothing = decoder, smoothing

    def forward(self, part: TokenPart) -> Tensor:
        smoothing = self.smoothing if self.training else 0.0
        loss: Tensor = self.decoder.loss(part.flat, part.targets, smoothing, part.share)
        return loss


@dataclass(frozen=True)
class CausalBatches:
    """The batches of a run.

    Args:
        sequences: what is learned.
        order: which of them each step takes.
        device: where the tensors are to be.
        single: a part is one table for transformers' forward. Where weights are split, every process must run it as
            often as the others.
    """

    sequences: Sequences
    order: RowOrder | TokenOrder
    device: str
    single: bool = False

    def parts(self, step: int, limit: int) -> list[TokenPart]:
        """This process's parts of a step's batch, each of at most `limit` tokens."""
        return self.parts_of(self.order.at(step), limit)

    def parts_of(self, rows: Sequence[int], limit: int) -> list[TokenPart]:
        """The same for any rows."""
        learned = sum(int((self.sequences.targets(r, IGNORED) != IGNORED).sum()) for r in rows)
        lengths = [int(self.sequences.ends[r] - self.sequences.starts[r]) for r in rows]
        taken = mine(rows, lengths)
        sizes = [int(self.sequences.ends[r] - self.sequences.starts[r]) for r in taken]
        chosen = split_rows(taken, sizes, limit, padded=self.single, least=LEAST_FILLED)
        parts = [self._part(some, 1 / learned) for some in chosen]
        return even(parts, lambda: self._part([rows[lengths.index(min(lengths))]], 0.0))

    def _part(self, rows: list[int], share: float) -> TokenPart:
        flat = lay_flat([self.sequences.tokens(r) for r in rows], self.device)
        ordered = tuple(rows[i] for i in flat.order)
        targets = np.concatenate([self.sequences.targets(r, IGNORED) for r in ordered])
        return TokenPart(flat, torch.from_numpy(targets).to(self.device), share, ordered)

    def sample(self, tokens: int, limit: int, seed: int) -> list[TokenPart]:
        """Parts of a random sample of about so many tokens, as one batch: to look at while training."""
        order = np.random.default_rng([seed, 1]).permutation(len(self.sequences))
        upto = int(np.searchsorted(np.cumsum(self.sequences.lengths[order]), tokens)) + 1
        return self.parts_of([int(r) for r in order[:upto]], limit)
