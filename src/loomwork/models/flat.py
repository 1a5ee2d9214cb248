"""Texts laid one after another with no padding, and attention that stays inside each of them.

Linear layers see all tokens of a batch as one matrix. For attention, texts of about one length stand in a table, so
that a text sees itself only and its positions begin at 0: its loss does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from loomwork.models.kernels import SHORT, ShortAttention, Spread, causal_bias

LEAST_FILLED = 0.7  # a text shorter than this share of the longest of a table begins a new one
EVEN_TIME = 8  # a table's time is filled up to a multiple of it, for the same reason as `EVEN`


@dataclass(frozen=True)
class Table:
    """Texts of about one length.

    Args:
        texts, time: its shape; the time is at least the longest text's.
        lengths: of each text, the longest first.
        there, back, real: of `Spread` between the tokens and the cells; None where no cell is empty.
    """

    texts: int
    time: int
    lengths: Tensor
    there: Tensor | None = None
    back: Tensor | None = None
    real: Tensor | None = None


@dataclass(frozen=True)
class Flat:
    """A batch of texts, the longest first.

    Args:
        ids, positions: int64 (tokens).
        order: for each text of the layout its number in what was given.
        tables: the texts, in this order.
        masks: of them, as packed_attention makes them.
    """

    ids: Tensor
    positions: Tensor
    order: list[int]
    tables: list[Table]
    masks: dict[tuple[int, bool, int], Any] = field(default_factory=dict)

    @property
    def lengths(self) -> Tensor:
        """Of the texts in the layout's order. (texts)"""
        return torch.cat([t.lengths for t in self.tables])


def lay_flat(texts: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Flat:
    """Lay texts out.

    Args:
        texts: token ids of each, none empty.
        device: where the tensors are to be.
    """
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    ids = np.concatenate([texts[i] for i in order]).astype(np.int64)
    lengths = [len(texts[i]) for i in order]
    positions = np.concatenate([np.arange(n) for n in lengths])
    tables, start = [], 0
    while start < len(lengths):
        end = start + 1
        while end < len(lengths) and lengths[end] >= LEAST_FILLED * lengths[start]:
            end += 1
        tables.append(_table(np.array(lengths[start:end]), device))
        start = end
    return Flat(torch.from_numpy(ids).to(device), torch.from_numpy(positions).to(device), order, tables)


def _table(lengths: np.ndarray, device: torch.device | str) -> Table:
    texts, time = len(lengths), int(lengths[0]) + -int(lengths[0]) % EVEN_TIME
    kept = torch.from_numpy(lengths).to(device)
    if int(lengths[-1]) == time:
        return Table(texts, time, kept)
    real = np.arange(time) < lengths[:, None]  # (texts, time)
    back = np.flatnonzero(real)
    there = np.zeros(texts * time, np.int64)
    there[back] = np.arange(len(back))
    moved = (torch.from_numpy(a).to(device) for a in (there, back, real.reshape(-1, 1)))
    return Table(texts, time, kept, *moved)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    flat: Flat,
    scale: float,
    *,
    causal: bool,
    window: int = 0,
    dropout: float = 0.0,
) -> Tensor:
    """Attention inside each text.

    Args:
        q: (tokens and any filling behind them, heads, head width).
        k, v: (as many, key heads, head width).
        flat: the layout.
        scale: of the products of queries and keys.
        causal: a token sees itself and what is before it; else all of its text.
        window: how many tokens back it sees, itself included; 0 for all.
        dropout: the share of the attention weights that is left out.

    Returns: mixed values (tokens and filling, heads * head width), those of the filling 0.
    """
    sizes = [t.texts * t.time if t.back is None else len(t.back) for t in flat.tables]
    filling = len(q) - sum(sizes)
    sizes = [*sizes, filling] if filling else sizes
    pieces = zip(*(torch.split(x, sizes) for x in (q, k, v)), strict=True)
    mixed = [
        _attend_table(table, some_q, some_k, some_v, scale, causal=causal, window=window, dropout=dropout)
        for table, (some_q, some_k, some_v) in zip(flat.tables, pieces, strict=False)
    ]
    if filling:
        mixed.append(q.new_zeros(filling, mixed[0].shape[1]))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def _attend_table(
    table: Table, q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool, window: int, dropout: float
) -> Tensor:
    def cells(x: Tensor) -> Tensor:
        """(tokens, heads, width) -> (texts, heads, time, width)"""
        if table.there is not None:
            x = Spread.apply(x, table.there, table.back, None)  # type: ignore[no-untyped-call]
        return x.view(table.texts, table.time, *x.shape[1:]).transpose(1, 2)

    q, k, v = cells(q), cells(k), cells(v)
    narrow = bool(window) and window < table.time
    if table.time <= SHORT and q.device.type == "cpu":
        bias = causal_bias(table.time, window if narrow else 0, q.dtype, q.device) if causal else _padding(table, q)
        mixed = ShortAttention.apply(q, k, v, bias, scale, dropout)  # type: ignore[no-untyped-call]
    else:
        plain = causal and not narrow
        bias = causal_bias(table.time, window, q.dtype, q.device) if narrow else None
        if not causal and table.real is not None:
            bias = table.real.view(table.texts, 1, 1, table.time)
        mixed = F.scaled_dot_product_attention(
            q, k, v, bias, dropout, plain, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
        )
    rows: Tensor = mixed.transpose(1, 2).reshape(table.texts * table.time, -1)
    if table.there is not None:
        rows = Spread.apply(rows, table.back, table.there, table.real)  # type: ignore[no-untyped-call]
    return rows


def _padding(table: Table, q: Tensor) -> Tensor | None:
    """What hides the empty cells of a table from its texts. (texts, 1, 1, 1, time)"""
    if table.real is None:
        return None
    bias = torch.zeros(table.texts, table.time, dtype=q.dtype, device=q.device)
    return bias.masked_fill_(~table.real.view(table.texts, table.time), -torch.inf)[:, None, None, None]
