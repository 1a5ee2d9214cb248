"""The n-gram model against a dictionary implementation, and as a distribution."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.ngram import BEGIN, END, train_ngram

small = st.binary(max_size=12).map(lambda b: bytes(b"abc"[x % 3] for x in b))
corpora = st.lists(small | st.binary(max_size=6), min_size=1, max_size=8)


def discounts(counts: list[int]) -> list[float]:
    n = Counter(counts)
    found = [0.0, 0.5, 1.0, 1.5]
    if n[1] and n[2] and n[3]:
        y = n[1] / (n[1] + 2 * n[2])
        for i in (1, 2, 3):
            value = i - (i + 1) * y * n[i + 1] / n[i]
            found[i] = value if 0 < value < i else found[i]
    return found


def reference(texts: list[bytes], order: int):
    """Chen and Goodman's recursion over dictionaries; returns p(symbol | context)."""
    plain: list[Counter] = [Counter() for _ in range(order + 1)]
    for text in texts:
        row = (BEGIN, *text, END)
        for i in range(1, len(row)):
            for length in range(1, order + 1):
                if i - length + 1 >= 0:
                    plain[length][row[i - length + 1 : i + 1]] += 1
    counts = [Counter() for _ in range(order + 1)]
    for length in range(1, order + 1):
        for gram, seen in plain[length].items():
            left = len([g for g in plain[length + 1] if g[1:] == gram]) if length < order else 0
            counts[length][gram] = seen if length == order or gram[0] == BEGIN else left
    taken = [discounts(list(c.values())) for c in counts]
    after: list[dict] = [defaultdict(dict) for _ in range(order + 1)]
    for length in range(1, order + 1):
        for gram, count in counts[length].items():
            after[length][gram[:-1]][gram[-1]] = count

    def probability(symbol: int, context: tuple[int, ...]) -> float:
        found = 1 / 257
        for length in range(1, order + 1):
            if length - 1 > len(context):
                break
            seen = after[length].get(context[len(context) - length + 1 :], {})
            total = sum(seen.values())
            if total:
                d = taken[length]
                rest = sum(d[min(3, c)] for c in seen.values()) / total
                count = seen.get(symbol, 0)
                found = (count - d[min(3, count)]) / total + rest * found
        return found

    return probability


@settings(deadline=None, max_examples=60)
@given(corpora, small | st.binary(max_size=5), st.integers(1, 5))
def test_bits_are_those_of_the_recursion(texts, text, order):
    model, probability = train_ngram(texts, order), reference(texts, order)
    row = (BEGIN, *text, END)
    expected = sum(-math.log2(probability(row[i], row[:i])) for i in range(1, len(row)))
    assert model.bits(text) == pytest.approx(expected, rel=1e-9)
    assert model.order == order


@settings(deadline=None, max_examples=60)
@given(corpora, small | st.binary(max_size=9), st.integers(1, 7))
def test_probabilities_sum_to_one_after_every_context(texts, context, order):
    model = train_ngram(iter(texts), order)
    found = model.probabilities(context)
    assert found.shape == (257,)
    assert found.sum() == pytest.approx(1, abs=1e-9)
    assert (found > 0).all()
    symbol = 97
    assert model.byte_probabilities(context + bytes([symbol]))[len(context)] == pytest.approx(found[symbol])
    assert model.byte_probabilities(context)[-1] == pytest.approx(found[END])


def test_real_text_costs_less_with_longer_contexts(test_data):
    text = (test_data / "lm/tinyshakespeare.txt").read_bytes()
    pieces = text.split(b"\n\n")
    train, held = pieces[: len(pieces) * 9 // 10], pieces[len(pieces) * 9 // 10 :]
    per_byte = {}
    for order in (1, 3, 6):
        model = train_ngram(train, order)
        per_byte[order] = sum(map(model.bits, held)) / sum(map(len, held))
    assert per_byte[1] > per_byte[3] > per_byte[6]
    assert 1.5 < per_byte[6] < 2.4


def test_what_was_seen_costs_less_than_what_was_not():
    model = train_ngram([b"the cat sat on the mat"] * 20, 6)
    assert model.bits(b"the cat sat on the mat") < 8 < 40 < model.bits(bytes(range(200, 222)))
    assert np.isfinite(model.bits(b""))


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="at least one text"):
        train_ngram([])
    with pytest.raises(ValueError, match="at least 1"):
        train_ngram([b"a"], 0)
