"""torch.compile for the packed forward passes: what stands before and after the attention of a layer.

These two are the same code for all layers and any number of tokens, so each is compiled once. Attention is not: its
tables have another shape in every batch. On a GPU it is FlexAttention, compiled for itself (packed_attention.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
WARM_TEXTS, WARM_TOKENS = 32, 16


@functools.cache
def compiled(function: Function) -> Function:
    """A function that is compiled when it is first called, for tensors of any length."""
    return torch.compile(function, dynamic=True)  # type: ignore[return-value]


def warm(loss: Callable[[], Tensor], weights: Iterable[Tensor]) -> str:
    """Compile what a loss needs, there and back, ahead of the first step; nothing else is changed.

    How a compiler splits sums may depend on the sizes that it saw first. So it sees the same ones in every run, and a
    run that goes on after a kill computes with the same kernels.

    Args:
        loss: of WARM_TEXTS texts of WARM_TOKENS tokens.
        weights: that are trained.

    Returns: why it cannot be compiled, or "".
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            torch.autograd.grad(loss(), list(weights), allow_unused=True)
    except Exception as error:  # whatever compilers, linkers and drivers raise
        told = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {told[0] if told else 'no reason given'}"
    return ""
