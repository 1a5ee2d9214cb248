"""A moving average of the weights. Source: Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

Tensors = dict[str, torch.Tensor]


@torch.no_grad()
def update_average(average: Tensors, weights: Mapping[str, torch.Tensor], decay: float, step: int) -> None:
    """Move the average towards the weights, in place; the first steps count for more, as there is nothing before.

    Args:
        average: by name; empty at the first step, then it begins as the weights.
        decay: how much of the average stays.
        step: from 0.
    """
    stays = min(decay, (1 + step) / (10 + step))
    for name, weight in weights.items():
        if name in average:
            average[name].lerp_(weight, 1 - stays)
        else:
            average[name] = weight.detach().clone()


@contextmanager
def with_weights(weights: Mapping[str, torch.Tensor], other: Tensors) -> Iterator[None]:
    """Run a block with other weights in the model's place."""
    if not other:
        yield
        return
    own = {name: weight.detach().clone() for name, weight in weights.items()}
    put_weights(weights, other)
    try:
        yield
    finally:
        put_weights(weights, own)


@torch.no_grad()
def put_weights(weights: Mapping[str, torch.Tensor], other: Tensors) -> None:
    """Overwrite the weights that `other` has."""
    for name, weight in weights.items():
        if name in other:
            weight.copy_(other[name])
