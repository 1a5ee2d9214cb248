"""Attention for transformers' own models that is faster than theirs on short texts: attn_implementation="short"."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from loomwork.core.context import context
from loomwork.models.kernels import SHORT, ShortAttention

NAME = "short"


def short_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """What transformers calls for attention: query (texts, heads, time, head width), and so on.

    Returns: (texts, time, heads, head width), and no weights.
    """
    scale = given.get("scaling") or query.shape[-1] ** -0.5
    dropout = given.get("dropout") or 0.0
    if attention_mask is not None:
        attention_mask = attention_mask[..., : key.shape[-2]]
    if key.shape[-2] > SHORT or query.device.type != "cpu":
        causal = attention_mask is None and bool(getattr(module, "is_causal", False)) and query.shape[-2] > 1
        grouped = query.shape[1] != key.shape[1]
        mixed = F.scaled_dot_product_attention(
            query, key, value, attention_mask, dropout, causal, scale=scale, enable_gqa=grouped
        )
    else:
        # Rotary embeddings leave queries and keys in float32 under autocast, which gives the fused kernel all three in
        # its own format. The way back here runs outside of autocast, and must find them in one format.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else value.dtype
        query, key, value = (x.to(dtype) for x in (query, key, value))
        bias = None if attention_mask is None else _as_bias(attention_mask, dtype)
        mixed = ShortAttention.apply(query, key, value, bias, scale, dropout)  # type: ignore[no-untyped-call]
    return mixed.transpose(1, 2).contiguous(), None


def _as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask (texts, 1, time, time) as numbers to be added to scores, all of them finite.

    The least number of float32 is -inf in bfloat16, and a place that sees only filling (far behind the end of a text,
    in a layer with a window) would be NaN, and with it all that are computed from it.
    """
    mask = mask[:, :, None]
    return mask if mask.dtype == dtype else mask.clamp(min=torch.finfo(dtype).min).to(dtype)


def set_attention(model: Any) -> None:
    """Let a model of transformers use it, on the CPU, where it computes the same.

    A model that sdpa cannot compute asks more of attention than both know (Gemma 2 caps its scores, say).
    """
    cls = type(model)
    if context().device == "cpu" and getattr(cls, "_supports_attention_backend", False) and cls._supports_sdpa:
        model.set_attn_implementation(register())


@functools.cache
def register() -> str:
    """Make it known to transformers; returns its name."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, short_attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    return NAME
