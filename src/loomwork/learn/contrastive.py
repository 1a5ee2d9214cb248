"""The contrastive loss over a batch of pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
