"""Packing: every token predicted once an epoch, rows never too long, batches from their number alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loomwork.learn.packing import Packing, Pieces, read_pieces
from loomwork.models.packed_llama import IGNORED

from loomwork.core.errors import InputError
from loomwork.stats.bins import best_fit


def pieces_of(lengths: list[int]) -> Pieces:
    """Pieces whose tokens tell which piece they are of: 100 * piece + place."""
    ids = np.concatenate([100 * i + np.arange(n) for i, n in enumerate(lengths)]).astype(np.uint32)
    ends = np.cumsum(lengths)
    return Pieces(ids, ends - lengths, ends, text_bytes=1)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.randoms())
def test_best_fit_places_every_item_once_and_as_many_rows_whatever_the_order(lengths, random):
    rows = best_fit(np.array(lengths), 20)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 20 for row in rows)
    assert len(rows) <= max(1, 11 / 9 * np.ceil(sum(lengths) / 20) + 1 + max(0, sum(n > 10 for n in lengths)))
    random.shuffle(lengths)
    assert len(best_fit(np.array(lengths), 20)) == len(rows)


def test_best_fit_takes_the_fullest_row_that_has_room():
    assert best_fit(np.array([3, 7, 4, 6]), 10) == [[1, 0], [3, 2]]


@given(st.lists(st.integers(2, 16), min_size=1, max_size=40), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_predicts_every_token_but_the_first_once(lengths, rows, seed):
    packing = Packing(pieces_of(lengths), 16, rows, seed)
    taken = packing.take(2 * packing.rows_per_epoch, packing.rows_per_epoch)  # the third epoch
    scored = taken.targets != IGNORED
    pairs = Counter(zip(taken.ids[scored].tolist(), taken.targets[scored].tolist(), strict=True))
    assert pairs == Counter((100 * i + k, 100 * i + k + 1) for i, n in enumerate(lengths) for k in range(n - 1))
    assert int(scored.sum()) == packing.targets_per_epoch
    assert packing.filled == pytest.approx(float((taken.texts >= 0).float().mean()))


def test_a_batch_depends_on_its_number_only_and_epochs_differ():
    lengths = np.random.default_rng(0).integers(2, 16, 50).tolist()
    one, other = Packing(pieces_of(lengths), 16, 4, 1), Packing(pieces_of(lengths), 16, 4, 1)
    for step in (9, 0, 30, 9):  # any order, over the ends of epochs
        one.batch(step + 1)
        assert one.batch(step).ids.equal(other.batch(step).ids)
    assert one.epoch(0) != one.epoch(1)
    assert one.epoch(0) != Packing(pieces_of(lengths), 16, 4, 2).epoch(0)


def test_texts_become_pieces_that_overlap_by_one_token(test_data, make_dataset, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(test_data / "models" / "stories260K-hf")
    texts = ["Once upon a time", None, "", "Lily had </s> a ball. " * 9]
    data = make_dataset([{"text": t} for t in texts])
    pieces = read_pieces(data, "text", tokenizer, 16, tmp_path / "ids")
    assert pieces.text_bytes == sum(len(t) for t in texts if t)
    assert pieces.lengths.max() == 16
    assert pieces.lengths.min() > 1
    whole = []
    for text in (texts[0], texts[3]):
        ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert not {1, 2} & set(ids)
        whole.append([1, *ids, 2])
    found: list[list[int]] = []
    for start, end in zip(pieces.starts, pieces.ends, strict=True):
        ids = pieces.ids[start:end].tolist()
        if ids[0] == 1:
            found.append(ids)
        else:
            assert found[-1][-1] == ids[0]
            found[-1] += ids[1:]
    assert found == whole


def test_what_cannot_be_packed_is_refused(test_data, make_dataset, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(test_data / "models" / "stories260K-hf")
    with pytest.raises(InputError, match="no row of the dataset has a text"):
        read_pieces(make_dataset([{"text": ""}]), "text", tokenizer, 16, tmp_path / "ids")
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-text"):
        read_pieces(make_dataset([{"text": "a"}]), "text", tokenizer, 16, tmp_path / "ids")
