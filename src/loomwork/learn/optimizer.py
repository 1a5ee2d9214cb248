"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from loomwork.learn.distributed import is_split
from loomwork.learn.four_bits import bitsandbytes
from loomwork.learn.settings import Training


def make_optimizer(parameters: Iterable[torch.nn.Parameter], how: Training) -> torch.optim.Optimizer:
    """The optimizer of a run; matrices are decayed, biases and norms are not.

    Raises:
        MissingDependency: 8 bits are asked for, and bitsandbytes is not installed.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101 (AdamW); Dettmers et al. 2021, arXiv:2110.02861 (8 bits);
    Shazeer and Stern 2018, arXiv:1804.04235 (Adafactor).
    """
    every = list(parameters)
    groups = [
        {"params": [p for p in every if p.ndim >= 2], "weight_decay": how.weight_decay},
        {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    rate, betas = how.learning_rate, (0.9, how.beta2)
    fused = all(p.device.type in ("cpu", "cuda") for p in every)
    match how.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=fused)
        case "adamw_8bit":
            small: torch.optim.Optimizer = bitsandbytes().optim.AdamW8bit(groups, lr=rate, betas=betas)
            return small
        case "sgd":
            fused = fused and not any(is_split(p) for p in every)  # torch 2.13 has no fused SGD for split weights
            return torch.optim.SGD(groups, lr=rate, momentum=0.9, fused=fused)
        case "adafactor":
            return torch.optim.Adafactor(groups, lr=rate)


def add_penalties(parameters: Iterable[torch.nn.Parameter], l1: float, l2: float) -> None:
    """Add to the gradients of matrices those of l1 * sum |w| + l2 / 2 * sum w^2."""
    for p in parameters:
        if p.grad is None or p.ndim < 2:
            continue
        if l1:
            p.grad.add_(p.detach().sign(), alpha=l1)
        if l2:
            p.grad.add_(p.detach(), alpha=l2)
