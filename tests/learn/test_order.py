"""The order of rows: batches from their number alone, every row once an epoch, and the steps that saw a row."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.learn.order import RowOrder, TokenOrder, positions, save_order
from loomwork.learn.parts import split_rows
from loomwork.stats.bins import best_fit

Lengths = st.lists(st.integers(1, 20), min_size=1, max_size=60)


@given(Lengths, st.randoms())
def test_best_fit_places_every_item_once_and_as_many_rows_whatever_the_order(lengths, random):
    rows = best_fit(np.array(lengths), 20)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 20 for row in rows)
    assert len(rows) <= max(1, 11 / 9 * np.ceil(sum(lengths) / 20) + 1 + max(0, sum(n > 10 for n in lengths)))
    random.shuffle(lengths)
    assert len(best_fit(np.array(lengths), 20)) == len(rows)


def test_best_fit_takes_the_fullest_row_that_has_room():
    assert best_fit(np.array([3, 7, 4, 6]), 10) == [[1, 0], [3, 2]]


@given(Lengths, st.integers(0, 3))
def test_an_epoch_of_tokens_takes_every_row_once(lengths, seed):
    order = TokenOrder(np.array(lengths), 20, seed)
    per_epoch = order.steps_per_epoch
    for epoch in (0, 2):
        taken = [order.at(epoch * per_epoch + s) for s in range(per_epoch)]
        assert sorted(r for rows in taken for r in rows) == list(range(len(lengths)))
        assert all(sum(lengths[r] for r in rows) <= 20 for rows in taken)
    assert order.filled == pytest.approx(sum(lengths) / (20 * per_epoch))


@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_of_rows_takes_every_row_once(rows, batch, seed):
    order = RowOrder(rows, batch, seed)
    taken = [r for step in range(-(-3 * rows // batch)) for r in order.at(step)]
    for epoch in range(3):
        assert sorted(taken[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    assert all(len(order.at(step)) == batch for step in range(5))


def test_a_batch_depends_on_its_number_only_and_epochs_differ():
    lengths = np.random.default_rng(0).integers(2, 16, 50)
    pairs = [(RowOrder(50, 7, 1), RowOrder(50, 7, 1)), (TokenOrder(lengths, 64, 1), TokenOrder(lengths, 64, 1))]
    for one, other in pairs:
        for step in (9, 0, 30, 9):  # any order, over the ends of epochs
            one.at(step + 1)
            assert one.at(step) == other.at(step)
    assert TokenOrder(lengths, 64, 1).epoch(0) != TokenOrder(lengths, 64, 1).epoch(1)
    assert TokenOrder(lengths, 64, 1).epoch(0) != TokenOrder(lengths, 64, 2).epoch(0)
    assert RowOrder(50, 50, 1).at(0) != RowOrder(50, 50, 1).at(1)


@pytest.mark.parametrize("kind", ["rows", "tokens"])
@pytest.mark.parametrize("steps", [1, 5, 23])
def test_positions_are_the_steps_that_saw_a_row(kind, steps, tmp_path):
    lengths = np.random.default_rng(0).integers(2, 16, 30)
    row_ids = [bytes([i // 2]) * 16 for i in range(30)]  # two pieces a row
    order = RowOrder(30, 7, 1) if kind == "rows" else TokenOrder(lengths, 64, 1)
    seen: dict[bytes, set[int]] = {}
    for step in range(steps):
        for row in order.at(step):
            seen.setdefault(row_ids[row], set()).add(step)
    save_order(tmp_path, order, row_ids, lengths, steps)
    for row_id in set(row_ids):
        assert positions(tmp_path, row_id) == sorted(seen.get(row_id, ()))
    assert positions(tmp_path, b"elsewhere".ljust(16)) == []


def test_more_rows_a_step_than_there_are(tmp_path):
    order = RowOrder(3, 8, 0)
    assert Counter(order.at(0) + order.at(1) + order.at(2)) == {0: 8, 1: 8, 2: 8}
    save_order(tmp_path, order, [bytes([i]) * 16 for i in range(3)], [1, 1, 1], 2)
    assert positions(tmp_path, bytes(16)) == [0, 1]


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 60), st.booleans())
def test_parts_hold_each_row_once_within_the_limit(lengths, limit, padded):
    rows = [100 + i for i in range(len(lengths))]
    parts = split_rows(rows, lengths, limit, padded=padded)
    assert sorted(r for part in parts for r in part) == rows
    for part in parts:
        sizes = [max(1, lengths[r - 100]) for r in part]
        held = max(sizes) * len(sizes) if padded else sum(sizes)
        assert held <= limit or len(part) == 1
        if padded:
            assert 2 * min(sizes) >= max(sizes)


def test_each_process_takes_its_share(monkeypatch):
    from loomwork.learn import distributed

    lengths = [9, 1, 5, 5, 2, 8, 3]
    shares = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "dist", SimpleNamespace(
            is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda rank=rank: rank,
            get_world_size=lambda: 3))  # fmt: skip
        shares.append(distributed.mine(list(range(7)), lengths))
    assert sorted(r for share in shares for r in share) == list(range(7))
    loads = [sum(lengths[r] for r in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths)
