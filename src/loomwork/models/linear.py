"""A linear layer of any kind applied to rows of states: plain, transposed (GPT-2), or with a low-rank adapter on it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function


def linear(module: Any, x: Tensor) -> Tensor:
    """What the layer gives for rows of states, computed in their dtype whatever the dtype of the weights.

    Args:
        module: nn.Linear, transformers' Conv1D, or a layer of peft around one of them.
        x: (tokens, width).
    """
    kind = type(module)
    if kind is nn.Linear:
        return F.linear(x, module.weight.to(x.dtype), None if module.bias is None else module.bias.to(x.dtype))
    if kind.__name__ == "Conv1D":
        return torch.addmm(module.bias.to(x.dtype), x, module.weight.to(x.dtype))
    adapter = _plain_lora(module)
    if adapter:
        base, down, up = module.base_layer, module.lora_A[adapter].weight, module.lora_B[adapter].weight
        given = x, base.weight.to(x.dtype), down.to(x.dtype), up.to(x.dtype), module.scaling[adapter]
        made = _low_rank(*given) if torch.compiler.is_compiling() else LowRank.apply(*given)  # type: ignore[no-untyped-call]
        return made if base.bias is None else made + base.bias.to(x.dtype)
    with torch.autocast(x.device.type, x.dtype, enabled=x.dtype != torch.float32):
        found: Tensor = module(x)
    return found


def _plain_lora(module: Any) -> str:
    """The name of the one LoRA adapter that is on a linear layer and that `LowRank` computes, or ""."""
    if not hasattr(module, "lora_A") or getattr(module, "merged", False) or type(module.base_layer) is not nn.Linear:
        return ""
    active = [name for name in module.active_adapters if name in module.lora_A]
    if len(active) != 1 or module.disable_adapters or module.base_layer.weight.requires_grad:
        return ""
    name = active[0]
    plain = (
        type(module.lora_dropout[name]) is nn.Identity
        and name not in getattr(module, "lora_variant", {})
        and module.lora_A[name].weight.is_floating_point()
        and module.lora_B[name].bias is None
        and module.base_layer.weight.is_floating_point()
    )
    return str(name) if plain else ""


def _low_rank(x: Tensor, weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    return x @ weight.T + (x @ down.T) @ up.T * scale


class LowRank(Function):
    """x @ (weight + scale * up @ down).T with a frozen weight, and no product for the weight's own gradient back.

    The two are not added up first: in bfloat16 most of a small update would be rounded away (82 % of its numbers at
    a thousandth of the weight's size).

    x is (tokens, in), weight (out, in), down (rank, in), up (out, rank).

    Source: Hu et al. 2021, arXiv:2106.09685.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
        inside = x @ down.T  # (tokens, rank)
        ctx.save_for_backward(x, inside, weight, down, up)
        ctx.scale = scale
        return (x @ weight.T).addmm_(inside, up.T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x, inside, weight, down, up = ctx.saved_tensors
        above = gradient @ up  # (tokens, rank)
        of_x = (gradient @ weight).addmm_(above, down, alpha=ctx.scale) if ctx.needs_input_grad[0] else None
        return of_x, None, (above.T @ x) * ctx.scale, (gradient.T @ inside) * ctx.scale, None
