"""Numbers are learned standardised, and a model's last layer then gives them in their own unit.

A rate that suits classes suits them so, whatever their unit; and a run's losses can be told from divergence.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NumberUnit:
    """The unit of numbers that a model is to predict.

    Args:
        model: of transformers, or peft's around it, with one output; in place, it is made to give standardised numbers.
        numbers: that it learns, float64 (rows).
        weights: of the rows, not all of them 0.
    """

    def __init__(self, model: Any, numbers: Tensor, weights: Tensor) -> None:
        layer = last_layer(model)
        self.mean, self.spread = 0.0, 1.0
        self._before: tuple[Tensor, ...] = ()
        if layer is None:
            return
        shares = weights.double() / weights.double().sum()
        if layer.bias is not None:  # a decoder's has none: its numbers are divided only
            self.mean = float((numbers * shares).sum())
        self.spread = float(((numbers - self.mean) ** 2 * shares).sum().sqrt()) or 1.0
        if not _begins_at_random(model, layer):
            self._change(layer, 1 / self.spread, -self.mean / self.spread)

    def standardised(self, numbers: Tensor) -> Tensor:
        """Numbers, float64 (rows), as they are learned, float32."""
        return ((numbers - self.mean) / self.spread).float()

    def put_on(self, model: Any) -> None:
        """Let a model that gives standardised numbers give them in their unit."""
        if (layer := last_layer(model)) is not None:
            self._before = tuple(p.detach().clone() for p in layer.parameters())
            self._change(layer, self.spread, self.mean)

    @torch.no_grad()
    def take_off(self, model: Any) -> None:
        """Undo what `put_on` did, to the bit."""
        if (layer := last_layer(model)) is not None:
            for parameter, before in zip(layer.parameters(), self._before, strict=True):
                parameter.copy_(before)

    @staticmethod
    @torch.no_grad()
    def _change(layer: torch.nn.Linear, factor: float, added: float) -> None:
        layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.mul_(factor).add_(added)


def last_layer(model: Any) -> torch.nn.Linear | None:
    """The layer that makes a model's one output; of a layer that peft trains whole, the trained one."""
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == 1 and "original_module" not in name.split(".")
    ]
    return found[-1] if found else None


def _begins_at_random(model: Any, layer: torch.nn.Linear) -> bool:
    name = next(n for n, module in model.named_modules() if module is layer)
    return any(f".{new}." in f".{name}." for new in model.new_modules)
