"""The contrastive loss over a batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from loomwork.learn.frozen import FrozenLayers, vectors_of
from loomwork.learn.judges import Floats
from loomwork.models.bert import Bert


@dataclass(frozen=True)
class PairPart:
    """A whole batch of pairs.

    Args:
        rows: numbers of the pairs.
        same: bool (batch, batch), which pairs have the same query or the same passage.
        tokens: of both sides.
        share: what its mean loss is multiplied with.
    """

    rows: list[int]
    same: Tensor
    tokens: int
    share: float = 1.0


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
        return self.loss_of(part, self.outputs(part))

    def loss_of(self, part: PairPart, vectors: Tensor) -> Tensor:
        """The batch's loss, from what `outputs` gave for it."""
        queries, passages = vectors[: len(part.rows)], vectors[len(part.rows) :]
        return contrastive_loss(queries, passages, self.scale, part.same) * part.share

    def outputs(self, part: PairPart) -> Tensor:
        """Unit vectors of the queries, then of the passages. (2 * batch, dim)"""
        both = [2 * r for r in part.rows] + [2 * r + 1 for r in part.rows]
        return vectors_of(self.module, self.below, both, self.pooling)


@dataclass(frozen=True)
class PairJudge:
    """The mean reciprocal rank of each query's passage among those of its batch, pairs that are the same left out."""

    size: int = 2

    def sums(self, part: PairPart, found: Tensor) -> Floats:
        queries, passages = found[: len(part.rows)].double(), found[len(part.rows) :].double()
        scores = queries @ passages.T
        right = scores.diagonal()[:, None]
        others = ~part.same & ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        ranks = 1 + ((scores >= right) & others).sum(1)
        return np.array([float((1 / ranks).sum()), len(ranks)])

    def metrics(self, sums: Floats) -> dict[str, float]:
        return {"mrr_in_batch": float(sums[0] / max(sums[1], 1.0))}


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
