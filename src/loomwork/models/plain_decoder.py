"""transformers' own forward pass for training, where the packed one does not cover a model or an adapter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from loomwork.models.cross_entropy import IGNORED
from loomwork.models.flat import Flat, Table


class PlainDecoder(torch.nn.Module):
    """Logits of any causal language model of transformers, with any adapter of peft.

    Texts of about one length are padded to one, on the right. See `FlatDecoder`, whose arguments these are; dropout is
    the model's own.
    """

    name = "transformers"

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32, recompute: bool = False) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        if recompute:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def loss(self, flat: Flat, targets: Tensor, smoothing: float = 0.0, share: float = 1.0) -> Tensor:
        """The summed cross-entropy of targets (tokens), times a share."""
        kept = targets != IGNORED
        logits = self.logits(flat)[kept].float()
        return F.cross_entropy(logits, targets[kept], reduction="sum", label_smoothing=smoothing) * share

    def logits(self, flat: Flat, rows: Tensor | None = None) -> Tensor:
        """The logits of some tokens, or of all. (tokens, vocabulary)"""
        found, at = [], 0
        for table in flat.tables:
            count = int(table.lengths.sum())
            found.append(self._table(table, flat.ids[at : at + count]))
            at += count
        whole = torch.cat(found)
        return whole if rows is None else whole[rows]

    def _table(self, table: Table, ids: Tensor) -> Tensor:
        longest = int(table.lengths[0])
        seen = torch.arange(longest, device=ids.device) < table.lengths[:, None]  # (texts, longest)
        padded = torch.zeros(seen.shape, dtype=torch.long, device=ids.device)
        padded[seen] = ids
        with torch.autocast(ids.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.model(input_ids=padded, attention_mask=seen.long(), use_cache=False).logits
        logits = logits[:, -longest:]  # without the states that a prompt adapter put in front
        real: Tensor = logits[seen]
        return real
