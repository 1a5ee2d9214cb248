"""A decoder's forward pass for training, on texts without padding: transformers' numbers in less time.

It reads the modules of the transformers model itself, so adapters of peft train on it, and what is saved is the model.
Weights, sums and the stream of states are float32; matrix products are in the precision that was chosen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from loomwork.models.families import Block, not_covered, parts_of
from loomwork.models.flat import Flat, attend
from loomwork.models.kernels import Rotation

Cosines = tuple[Tensor, Tensor]


class FlatDecoder(torch.nn.Module):
    """States of a decoder of a covered family.

    Args:
        model: a transformers decoder of which `families.not_covered` is empty, peft's layers in it or not. Its frozen
            weights are turned to `dtype`.
        dtype: of the matrix products.
        dropout: of what attention and MLP add.
        recompute: forget what a layer computed inside and compute it again on the way back (activation
            checkpointing): a third more work for a fraction of the memory.

    Raises:
        ValueError: the model is not covered.
    """

    name = "packed"

    def __init__(
        self, model: Any, dtype: torch.dtype = torch.float32, dropout: float = 0.0, recompute: bool = False
    ) -> None:
        super().__init__()
        if reason := not_covered(model):
            raise ValueError(f"the packed forward does not cover this model: {reason}")
        self.model, self.dtype, self.dropout, self.recompute = model, dtype, dropout, recompute
        for parameter in model.parameters():
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)

    @property
    def head(self) -> Tensor:
        """The output layer's weight. (vocabulary, width)"""
        weight: Tensor = self.model.get_output_embeddings().weight
        return weight

    def forward(self, flat: Flat) -> Tensor:
        """The states after the last norm, in `dtype`. (tokens, width)"""
        return self.layers(flat)[-1]

    def layers(self, flat: Flat, keep: tuple[int, ...] = ()) -> list[Tensor]:
        """The states after the layers `keep` (0: the embedding), and last those after the last norm."""
        parts = parts_of(self.model, self.dtype, self.dropout if self.training else 0.0)
        x = parts.embed(flat.ids, flat.positions).float()
        turned: Cosines | None = None
        if parts.rotary is not None:
            cos, sin = parts.rotary(x, flat.positions[None])  # (1, tokens, rotated width), both halves the same
            half = cos.shape[-1] // 2
            turned = (cos[0, :, None, :half].to(self.dtype), sin[0, :, None, :half].to(self.dtype))
        kept = {0: x}
        again = self.recompute and self.training and torch.is_grad_enabled()
        for number, block in enumerate(parts.blocks, 1):
            if again:
                x = checkpoint(_layer, block, x, flat, turned, use_reentrant=False)
            else:
                x = _layer(block, x, flat, turned)
            kept[number] = x
        return [*(kept[n] for n in keep), parts.norm(x)]


def _layer(block: Block, x: Tensor, flat: Flat, turned: Cosines | None) -> Tensor:
    q, k, v = block.qkv(block.attention_norm(x))
    if turned is not None:
        q, k = (Rotation.apply(part, *turned) for part in (q, k))  # type: ignore[no-untyped-call]
    mixed = attend(q, k, v, flat, block.scale, causal=True, window=block.window)
    return block.joined(x, block.out(mixed))
