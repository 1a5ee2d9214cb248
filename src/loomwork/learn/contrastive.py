"""The contrastive loss over a batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from loomwork.learn.frozen import FrozenLayers, vectors_of
from loomwork.models.bert import Bert


@dataclass(frozen=True)
class PairPart:
    """A whole batch of pairs.

    Args:
        rows: numbers of the pairs.
        same: bool (batch, batch), which pairs have the same query or the same passage.
        tokens: of both sides.
    """

    rows: list[int]
    same: Tensor
    tokens: int


class PairObjective(torch.nn.Module):
    """The contrastive loss of a batch.

    Args:
        module: the encoder.
        below: its frozen layers and the texts: the query of pair i is text 2 i, its passage 2 i + 1.
        pooling: "mean" or "cls".
        scale: the inverse of the softmax temperature.
    """

    def __init__(self, module: Bert, below: FrozenLayers, pooling: str, scale: float) -> None:
        super().__init__()
        self.module, self.below, self.pooling, self.scale = module, below, pooling, scale

    def forward(self, part: PairPart) -> Tensor:
        both = [2 * r for r in part.rows] + [2 * r + 1 for r in part.rows]
        vectors = vectors_of(self.module, self.below, both, self.pooling)
        return contrastive_loss(vectors[: len(part.rows)], vectors[len(part.rows) :], self.scale, part.same)


def contrastive_loss(queries: Tensor, passages: Tensor, scale: float, same: Tensor | None = None) -> Tensor:
    """Each query against all passages of the batch, and each passage against all queries.

    Args:
        queries: unit vectors (batch, dim).
        passages: unit vectors (batch, dim); row i answers query i.
        scale: the inverse of the softmax temperature.
        same: bool (batch, batch), true where query i and passage j are no negatives of each other; its diagonal
            is not read.

    Returns: a scalar, the mean of both directions.

    Source: Henderson et al. 2017, arXiv:1705.00652 (in-batch negatives); Radford et al. 2021, arXiv:2103.00020 (both
    directions).
    """
    scores = queries @ passages.T * scale  # (batch, batch)
    answer = torch.arange(len(scores), device=scores.device)
    if same is not None:
        alike = same & (answer[:, None] != answer)
        scores = scores.masked_fill(alike, -torch.inf)
    return (F.cross_entropy(scores, answer) + F.cross_entropy(scores.T, answer)) / 2
