"""transformers' own forward pass, for the architectures that the packed one does not cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from loomwork.models.scoring.head import log_softmax_of
from loomwork.models.scoring.packed import Past
from loomwork.models.scoring.plan import Row

LOGIT_BYTES = 256 << 20  # of one batch's float32 logits


class PlainForward:
    """Scores rows that do not branch. See `PackedForward`.

    Args:
        model: any causal language model of transformers.
        vocabulary: how many logits it gives.
    """

    name = "transformers"
    shares = False
    pairs_per_token = 1.0  # nothing is shared, so nothing is weighed

    def __init__(self, model: Any, vocabulary: int) -> None:
        self.model, self.device = model, model.device
        self.budget = max(1, LOGIT_BYTES // (4 * vocabulary))

    @torch.inference_mode()
    def score(
        self, batch: list[Row], past: Past | None = None, keep: bool = False
    ) -> tuple[np.ndarray, np.ndarray, Past | None]:
        assert past is None
        assert not keep
        longest = max(len(row) for row in batch)
        # Padding is on the right, where causal attention never looks: no mask is needed.
        ids = torch.zeros(len(batch), longest, dtype=torch.long)  # (batch, time)
        for line, row in zip(ids, batch, strict=True):
            line[: len(row)] = torch.from_numpy(row.ids)
        logits = self.model(input_ids=ids.to(self.device), use_cache=False).logits  # (batch, time, vocabulary)
        logits = logits[:, -longest:]  # without the states that a prompt adapter put in front
        found, greedy = [], []
        for line, row in zip(logits, batch, strict=True):
            scored = line[torch.from_numpy(row.needs).to(self.device)].float()  # (needs, vocabulary)
            rows, targets = (torch.from_numpy(a).to(self.device) for a in (row.pair_needs, row.pair_targets))
            values, best = log_softmax_of(scored, rows, targets)
            found.append(values.cpu().numpy())
            greedy.append(best.cpu().numpy())
        return np.concatenate(found), np.concatenate(greedy), None
