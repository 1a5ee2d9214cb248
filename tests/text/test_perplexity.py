"""The kernels against the model of text/ngram.py, and a model of words worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.minhash import Texts
from loomwork.text.ngram import train_symbols
from loomwork.text.perplexity import CHARACTERS, WORDS, Surprise, marked, train_surprise, unit_numbers

SIZE = {"word": WORDS + 1, "character": CHARACTERS + 1}
words = st.lists(st.sampled_from(["a", "b", "the", "cat,", "ü", "猫"]), max_size=7).map(" ".join)
units = st.sampled_from(["word", "character"])


def symbols(texts: list[str], unit: str) -> np.ndarray:
    encoded = Texts.of(texts)
    return marked(encoded.data, encoded.offsets, unit)


@settings(deadline=None, max_examples=60)
@given(st.lists(words, min_size=1, max_size=6), st.lists(words, min_size=1, max_size=4), st.integers(1, 4), units)
def test_bits_are_those_of_the_reference_model(texts, asked, order, unit):
    reference = train_symbols(symbols(texts, unit), SIZE[unit], order)
    encoded = Texts.of(asked)
    bits, count = Surprise.of(reference, unit).bits(encoded.data, encoded.offsets)
    for text, cost, n in zip(asked, bits, count, strict=True):
        row = symbols([text], unit)
        assert n == row.size - 2
        assert cost == pytest.approx(-np.log2(reference.symbol_probabilities(row)).sum(), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.lists(words, min_size=1, max_size=6), st.integers(1, 3), words)
def test_probabilities_of_all_words_sum_to_one(texts, order, context):
    """The sum over every word that can follow a context, by asking for each; a small table of symbols."""
    seen = symbols(texts, "word")
    different = {s: i for i, s in enumerate(sorted(set(seen.tolist()) - {WORDS, WORDS + 1}))}
    size = len(different) + 2  # one word that never occurred, and the end
    small = np.array([{WORDS: size - 1, WORDS + 1: size}.get(s, different.get(s)) for s in seen.tolist()])
    model = train_symbols(small, size, order)
    before = [different.get(s, size - 2) for s in symbols([context], "word")[1:-1].tolist()]
    total = 0.0
    for symbol in range(size):
        row = np.array([size, *before, symbol, size - 1])
        total += model.symbol_probabilities(row)[len(before)]
    assert total == pytest.approx(1, abs=1e-9)


def test_a_model_worked_out_by_hand():
    """Unigrams of "a a b": counts a 2, b 1, end 1; discounts 0.5 for one and 1 for two (too few to estimate)."""
    model = train_surprise(symbols(["a a b"], "word"), "word", 1)
    encoded = Texts.of(["a", "b", ""])
    bits, _ = model.bits(encoded.data, encoded.offsets)
    size = WORDS + 1
    left = (1 + 0.5 + 0.5) / 4
    p = {"a": (2 - 1) / 4 + left / size, "b": 0.5 / 4 + left / size, "end": 0.5 / 4 + left / size}
    assert bits == pytest.approx([-math.log2(p[w]) - math.log2(p["end"]) for w in "ab"] + [-math.log2(p["end"])])


def test_bigrams_worked_out_by_hand():
    """Bigrams of "x y" and "x z": after x come y and z once each; Kneser-Ney counts of single words are contexts."""
    model = train_surprise(symbols(["x y", "x z"], "word"), "word", 2)
    encoded = Texts.of(["x y"])
    bits, _ = model.bits(encoded.data, encoded.offsets)
    size = WORDS + 1
    # Different words before: x 1 (begin), y 1, z 1, end 2 (y and z), 5 in all. Discounts 0.5, 0.5, 0.5 and 1.
    one = 2.5 / 5 / size
    x, y, end = 0.5 / 5 + one, 0.5 / 5 + one, 1 / 5 + one
    # begin -> x twice (discount 1 of 2), x -> y once of 2 (0.5 each), y -> end once of 1 (0.5).
    expected = [(2 - 1) / 2 + 1 / 2 * x, 0.5 / 2 + 1 / 2 * y, 0.5 / 1 + 0.5 * end]
    assert bits[0] == pytest.approx(-sum(math.log2(p) for p in expected))


def test_units():
    encoded = Texts.of(["The cat, sat", "", "ü猫"])
    numbers, rows = unit_numbers(encoded.data, encoded.offsets, "word")
    assert np.diff(rows).tolist() == [4, 0, 1]  # a comma is a word of its own
    numbers, rows = unit_numbers(encoded.data, encoded.offsets, "character")
    assert numbers[rows[2] :].tolist() == [ord("ü"), ord("猫") % CHARACTERS]


def test_real_text_is_less_surprising_with_longer_contexts(test_data):
    pieces = (test_data / "lm/wikitext-2.valid.txt").read_text(encoding="utf-8").lower().split("\n")
    train, held = Texts.of(pieces[: len(pieces) * 9 // 10]), Texts.of(pieces[len(pieces) * 9 // 10 :])
    found = {}
    for order in (1, 2, 3):
        bits, n = train_surprise(marked(train.data, train.offsets, "word"), "word", order).bits(held.data, held.offsets)
        found[order] = 2 ** (bits.sum() / (n.sum() + n.size))
    assert found[1] > found[2] > found[3]
    assert 100 < found[3] < 1000
