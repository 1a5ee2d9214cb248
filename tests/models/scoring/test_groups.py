"""Attention in tables gives every query the keys that its row says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.models.scoring.groups import groups
from loomwork.models.scoring.plan import Row, plan
from loomwork.models.scoring.spans import Span


@st.composite
def batches(draw: st.DrawFn) -> list[Row]:
    """Rows of texts that share beginnings of all lengths."""
    alphabet = st.integers(0, 2)
    texts = draw(st.lists(st.lists(alphabet, min_size=2, max_size=40), min_size=1, max_size=12, unique_by=tuple))
    spans = [Span(np.array([0, *ids], np.int32), 1) for ids in texts]
    return plan(spans, pairs_per_token=draw(st.sampled_from([1.0, 1e6]))).rows


@settings(deadline=None, max_examples=200)
@given(batches(), st.integers(0, 5), st.sampled_from([0, 3]), st.sampled_from([1, 1024]), st.booleans())
def test_each_query_sees_what_its_row_says(batch: list[Row], prefix: int, window: int, budget: int, few: bool) -> None:
    starts = np.cumsum([0, *[len(row) for row in batch]])
    needs = np.concatenate([row.needs + at for row, at in zip(batch, starts, strict=False)])
    wanted = needs if few else np.arange(starts[-1])
    device = torch.device("cpu")
    shifted = [replace(row, positions=row.positions + prefix) for row in batch]
    found = {}
    made = groups(shifted, prefix, {window}, budget, torch.float32, device, needs if few else None)
    for group in made:
        rows, time = group.shape
        everything = torch.arange(rows * time).view(rows, time)
        queries = everything if group.queries is None else group.queries
        keys = everything if group.keys is None else group.keys
        bias = group.biases.get(window)
        if bias is None:
            assert not prefix
            bias = torch.zeros(rows, 1, time, time).masked_fill(~torch.ones(time, time).tril().bool(), -np.inf)
        for cell, at in zip(group.cells.tolist(), group.flat.tolist(), strict=True):
            seen = bias[at // time, 0, at % time] == 0
            token = int(queries.view(-1)[at])
            assert cell not in found
            ours = keys[at // time][seen[prefix:]].tolist()
            assert len(set(ours)) == len(ours)
            found[cell] = (token, int(seen[:prefix].sum()), set(ours))
    assert sorted(found) == list(range(len(wanted)))
    for cell, token in enumerate(wanted):
        number = int(np.searchsorted(starts, token, side="right") - 1)
        row, at = batch[number], token - starts[number]
        sees = row.sees()[at]
        near = [k for k in np.flatnonzero(sees) if not window or row.positions[at] - row.positions[k] < window]
        before = [p for p in range(prefix) if not window or row.positions[at] + prefix - p < window]
        assert found[cell] == (token, len(before), {int(k + starts[number]) for k in near})


@pytest.mark.parametrize("endings", [1, 4])
def test_endings_are_computed_apart_where_that_saves_pairs(endings: int) -> None:
    texts = [[0, *range(100, 250), *range(1000 * n, 1000 * n + 60)] for n in range(1, endings + 1)]
    (row,) = plan([Span(np.array(t, np.int32), 151) for t in texts], pairs_per_token=100.0).rows
    made = groups([row], 0, {0}, 1024, torch.float32, torch.device("cpu"))
    pairs = sum(g.shape[0] * g.shape[1] * (g.biases[0].shape[-1] if g.biases else g.shape[1]) for g in made)
    assert pairs <= (211**2 if endings == 1 else 0.55 * len(row) ** 2)
