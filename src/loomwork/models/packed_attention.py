"""Attention of packed texts in one call, for GPUs: FlexAttention, with a mask that keeps each text to itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from loomwork.models.compiled import compiled
from loomwork.models.flat import Flat


def attend_packed(
    q: Tensor, k: Tensor, v: Tensor, flat: Flat, scale: float, *, causal: bool, window: int = 0, fused: bool = True
) -> Tensor:
    """Attention inside each text: what `flat.attend` gives without dropout, but for the filling, which is not 0.

    Args:
        fused: compiled, which skips the blocks that are hidden. Not compiled it holds the scores of all pairs of
            tokens: for tests.

    Source: Dong et al. 2024, arXiv:2412.05496 (FlexAttention).
    """
    mask = _mask(flat, len(q), causal, window, fused)
    call = compiled(flex_attention) if fused else flex_attention
    grouped = q.shape[1] != k.shape[1]
    rows = (x.transpose(0, 1)[None] for x in (q, k, v))  # (1, heads, tokens, width)
    mixed = call(*rows, block_mask=mask, scale=scale, enable_gqa=grouped)
    assert isinstance(mixed, Tensor)
    return mixed[0].transpose(0, 1).reshape(len(q), -1)


def _mask(flat: Flat, tokens: int, causal: bool, window: int, fused: bool) -> BlockMask:
    """Which blocks of tokens see which; made once for all layers of a pass."""
    known = flat.masks.get((tokens, causal, window))
    if known is not None:
        made: BlockMask = known
        return made
    texts = torch.cumsum(flat.positions == 0, 0)
    texts = F.pad(texts, (0, tokens - len(texts)))  # filling is text 0, the others count from 1

    def seen(batch: Tensor, head: Tensor, at: Tensor, other: Tensor) -> Tensor:
        visible = texts[at] == texts[other]
        if causal:
            visible = visible & (at >= other)
        if window:
            visible = visible & (at - other < window)
        return visible

    make = compiled(create_block_mask) if fused else create_block_mask
    made = make(seen, None, None, tokens, tokens, device=flat.positions.device)
    flat.masks[tokens, causal, window] = made
    return made
