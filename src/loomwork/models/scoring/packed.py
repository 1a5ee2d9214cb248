"""The forward pass on packed rows: transformers' numbers, without computing what nobody asks for.

Linear layers see all tokens of a batch as one matrix without padding; attention follows each row's own branches and the
keys and values of the prefix that the rows share; the last layer is computed for the tokens whose logits are needed,
and the logits exist for a block of them at a time (head.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from loomwork.models.families import Block, pairs_per_token, parts_of
from loomwork.models.scoring.groups import Group, groups
from loomwork.models.scoring.head import log_probabilities
from loomwork.models.scoring.plan import Row

BATCH_TOKENS = {"cpu": 1024}
BATCH_TOKENS_ELSEWHERE = 16384


class Past(NamedTuple):
    """Keys and values of a prefix: for each layer (prefix, key heads, head width)."""

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def tokens(self) -> int:
        return len(self.keys[0])


class PackedForward:
    """Scores rows with a model of a covered family.

    Args:
        model: a transformers decoder of which `families.not_covered` is empty.
    """

    name = "packed"
    shares = True

    def __init__(self, model: Any) -> None:
        self.parts = parts_of(model)
        self.device: torch.device = model.device
        self.dtype: torch.dtype = self.parts.head.dtype
        self.pairs_per_token = pairs_per_token(model)
        self.budget = BATCH_TOKENS.get(self.device.type, BATCH_TOKENS_ELSEWHERE)
        self.windows = {block.window for block in self.parts.blocks}

    @torch.inference_mode()
    def score(
        self, batch: list[Row], past: Past | None = None, keep: bool = False
    ) -> tuple[np.ndarray, np.ndarray, Past | None]:
        """The log-probability of each pair of a batch's rows, row by row.

        Args:
            batch: rows of one trunk.
            past: the trunk's keys and values; None at the root.
            keep: whether the batch, of one row, is itself to be a trunk.

        Returns: log-probabilities float64 (pairs), whether each is the largest at its place (pairs), and with `keep`
            the keys and values of the past and the row.
        """
        needs, pair_needs, at, seen = [], [], 0, 0
        for row in batch:
            needs.append(row.needs + at)
            pair_needs.append(row.pair_needs + seen)
            at, seen = at + len(row), seen + len(row.needs)
        states, kept = self.states(batch, past, np.concatenate(needs), keep)
        targets = np.concatenate([row.pair_targets for row in batch])
        return *self.log_probabilities(states, np.concatenate(pair_needs), targets), kept

    def states(self, batch: list[Row], past: Past | None, needs: np.ndarray, keep: bool) -> tuple[Tensor, Past | None]:
        """The states after the last layer and norm, of the tokens `needs` of the batch. (needs, width)"""
        parts, device = self.parts, self.device
        ids = torch.from_numpy(np.concatenate([row.ids for row in batch])).to(device)
        positions = torch.from_numpy(np.concatenate([row.positions for row in batch])).to(device)
        prefix = past.tokens if past else 0
        settings = prefix, self.windows, self.budget, self.dtype, device
        seen, seen_last = groups(batch, *settings), groups(batch, *settings, needs)
        wanted = torch.from_numpy(needs).to(device)
        x = parts.embed(ids, positions)  # (tokens, width)
        rotation = parts.rotary(x, positions[None]) if parts.rotary is not None else None
        made = Past([], [])
        last = len(parts.blocks) - 1
        for number, block in enumerate(parts.blocks):
            q, k, v = block.qkv(block.attention_norm(x))
            if rotation is not None:
                q, k = rotated(q, rotation), rotated(k, rotation)
            earlier = (past.keys[number], past.values[number]) if past else None
            if keep:
                made.keys.append(torch.cat([earlier[0], k]) if earlier else k)
                made.values.append(torch.cat([earlier[1], v]) if earlier else v)
            if number == last:  # nobody reads the other tokens' states any more
                x = x[wanted]
            tables = seen_last if number == last else seen
            x = block.joined(x, block.out(_attend(q, k, v, tables, block, earlier, len(x))))
        return parts.norm(x), made if keep else None

    def log_probabilities(
        self, states: Tensor, places: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of each target after a state, and whether it is the likeliest. `places` says which state; both (pairs)."""
        rows, wanted = (torch.from_numpy(x.astype(np.int64)).to(self.device) for x in (places, targets))
        values, best = log_probabilities(states, self.parts.head, rows, wanted)
        return values.cpu().numpy(), best.cpu().numpy()


def rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding of the first numbers of each head, halves paired. (tokens, heads, head width)"""
    cos, sin = (table[0, :, None, :] for table in rotation)  # (tokens, 1, rotated width)
    width = cos.shape[-1]
    turned = x[..., :width]
    first, second = turned.chunk(2, -1)
    turned = (turned * cos).addcmul_(torch.cat([-second, first], -1), sin)
    return turned if width == x.shape[-1] else torch.cat([turned, x[..., width:]], -1)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, groups: list[Group], block: Block, past: tuple[Tensor, Tensor] | None, count: int
) -> Tensor:
    """Mixed values of `count` tokens. (count, heads * head width)"""
    mixed = q.new_empty(count, q.shape[1] * v.shape[2])
    for group in groups:
        rows, time = group.shape

        def table(x: Tensor, tokens: Tensor | None, rows: int = rows) -> Tensor:
            """(tokens, heads, width) -> (rows, heads, time, width)"""
            spread = x if tokens is None else x.index_select(0, tokens.view(-1))
            return spread.view(rows, -1, *x.shape[1:]).transpose(1, 2)

        keys, values = table(k, group.keys), table(v, group.keys)
        if past is not None:
            keys, values = (
                torch.cat([before.transpose(0, 1)[None].expand(rows, -1, -1, -1), now], 2)
                for before, now in zip(past, (keys, values), strict=True)
            )
        found = F.scaled_dot_product_attention(
            table(q, group.queries), keys, values, group.biases.get(block.window), is_causal=not group.biases,
            scale=block.scale, enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        found = found.transpose(1, 2).reshape(rows * time, -1)
        if group.queries is None:
            return found
        mixed[group.cells] = found if len(group.flat) == rows * time else found[group.flat]
    return mixed
