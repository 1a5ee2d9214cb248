"""A decoder's forward pass for training, on texts without padding: transformers' numbers in less time.

It reads the modules of the transformers model itself, so adapters of peft train on it, and what is saved is the model.
Weights, sums and the stream of states are float32; matrix products are in the precision that was chosen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from loomwork.models.compiled import WARM_TEXTS, WARM_TOKENS, compiled, warm
from loomwork.models.cross_entropy import linear_cross_entropy
from loomwork.models.families import Block, Parts, not_covered, parts_of
from loomwork.models.flat import Flat, attend, lay_flat
from loomwork.models.kernels import EVEN, TiedGradient, rotated

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
    compiled = False

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

    def use_compiler(self) -> str:
        """Compile the layers (torch.compile); returns why that cannot be, and then they stay as they are.

        What is looked at without gradients is computed as before: it is too little to compile for.
        """
        device = self.model.get_output_embeddings().weight.device
        texts = [np.zeros(WARM_TOKENS, np.int64)] * WARM_TEXTS
        flat = lay_flat(texts, device)
        training, self.compiled = self.training, True
        self.train()
        trained = [p for p in self.parameters() if p.requires_grad]
        reason = warm(lambda: self.loss(flat, torch.zeros_like(flat.ids)), trained)
        self.train(training)
        self.compiled = not reason
        if self.compiled:
            self.name = "packed, compiled"
        return reason

    def loss(self, flat: Flat, targets: Tensor, smoothing: float = 0.0, share: float = 1.0) -> Tensor:
        """The summed cross-entropy of targets (tokens), times a share: see `linear_cross_entropy`."""
        parts = self._parts()
        states = self._layers(parts, flat, ())[-1]
        return linear_cross_entropy(states, parts.head, targets, smoothing, share, parts.tied)

    def logits(self, flat: Flat, rows: Tensor | None = None) -> Tensor:
        """The logits of some tokens, or of all. (tokens, vocabulary)"""
        parts = replace(self._parts(), tied=None)
        states = self._layers(parts, flat, ())[-1]
        states = states if rows is None else states.index_select(0, rows)
        return states @ parts.head.to(self.dtype).T

    def states(self, flat: Flat, keep: tuple[int, ...]) -> list[Tensor]:
        """The states after the layers `keep` (0: the embedding), and last those after the last norm."""
        return self._layers(self._parts(), flat, keep)

    def states_and_head(self, flat: Flat, keep: tuple[int, ...]) -> tuple[list[Tensor], Tensor, TiedGradient | None]:
        """The same, with the output layer and where the gradient of a shared one is left: for losses of other kinds."""
        parts = self._parts()
        return self._layers(parts, flat, keep), parts.head, parts.tied

    def _parts(self) -> Parts:
        return parts_of(self.model, self.dtype, self.dropout if self.training else 0.0)

    def _layers(self, parts: Parts, flat: Flat, keep: tuple[int, ...]) -> list[Tensor]:
        filling = -len(flat.ids) % EVEN
        x = F.pad(parts.embed(flat.ids, flat.positions).float(), (0, 0, 0, filling))
        turned: Cosines | None = None
        if parts.rotary is not None:
            times = torch.arange(flat.tables[0].time, device=x.device)
            cos, sin = parts.rotary(x, times[None])  # (1, longest text, rotated width), both halves the same
            half = cos.shape[-1] // 2
            positions = F.pad(flat.positions, (0, filling))
            turned = tuple(t[0, :, None, :half].to(self.dtype)[positions] for t in (cos, sin))
        kept = {0: x}
        again = self.recompute and self.training and torch.is_grad_enabled()
        for number, block in enumerate(parts.blocks, 1):
            if again:
                x = checkpoint(_layer, block, x, flat, turned, self.compiled, use_reentrant=False)
            else:
                x = _layer(block, x, flat, turned, self.compiled)
            kept[number] = x
        return [s[: len(flat.ids)] for s in (*(kept[n] for n in keep), parts.norm(x))]


def _layer(block: Block, x: Tensor, flat: Flat, turned: Cosines | None, compile_it: bool) -> Tensor:
    faster = compile_it and torch.is_grad_enabled()
    before, after = (compiled(_before), compiled(_after)) if faster else (_before, _after)
    q, k, v = before(block, x, turned)
    if faster and x.device.type != "cpu":
        from loomwork.models.packed_attention import attend_packed

        mixed = attend_packed(q, k, v, flat, block.scale, causal=True, window=block.window)
    else:
        mixed = attend(q, k, v, flat, block.scale, causal=True, window=block.window)
    return after(block, x, mixed)


def _before(block: Block, x: Tensor, turned: Cosines | None) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = block.qkv(block.attention_norm(x))
    return (q, k, v) if turned is None else (rotated(q, *turned), rotated(k, *turned), v)


def _after(block: Block, x: Tensor, mixed: Tensor) -> Tensor:
    return block.joined(x, block.out(mixed))
