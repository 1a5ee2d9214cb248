"""Words, n-grams and hashed counts against plain Python."""

from __future__ import annotations

import re
import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.lexical import (
    compression_ratio,
    distinct_n,
    hashed_counts,
    letter_words,
    oddness,
    unit_rows,
    word_ngrams,
)
from loomwork.text.minhash import Texts

WORD = re.compile(r"\w(?:[\w]|['’](?=\w))*")  # for texts of letters, digits, spaces and common marks
plain = st.text(alphabet="abcé9 .,'’\n-ж中", max_size=40)


def words_of(texts: list[str]) -> list[list[str]]:
    encoded = Texts.of(texts)
    found = letter_words(encoded)
    spelled = [encoded.data[s:e].tobytes().decode() for s, e in zip(found.starts, found.ends, strict=True)]
    return [spelled[a:b] for a, b in zip(found.rows, found.rows[1:], strict=False)]


@settings(deadline=None)
@given(st.lists(plain, min_size=1, max_size=5))
def test_words_are_runs_of_letters(texts):
    assert words_of(texts) == [WORD.findall(t) for t in texts]


@settings(deadline=None)
@given(st.lists(plain, min_size=1, max_size=5), st.integers(1, 4))
def test_ngrams_do_not_reach_over_texts_and_distinct_n_is_the_plain_ratio(texts, n):
    grams = [[tuple(w[i : i + n]) for i in range(len(w) - n + 1)] for w in words_of(texts)]
    words = letter_words(Texts.of(texts))
    _, rows = word_ngrams(words, n)
    assert Counter(rows.tolist()) == Counter({i: len(g) for i, g in enumerate(grams) if g})
    every = [g for text in grams for g in text]
    ratio = len(set(every)) / len(every) if every else 0.0
    assert distinct_n(words, n) == (pytest.approx(ratio), len(every))


def test_distinct_n_of_the_first_words_only():
    words = letter_words(Texts.of(["a b a b", "c c c c"]))
    assert distinct_n(words, 1, most_words=4) == (0.5, 4)
    assert distinct_n(words, 2, most_words=6) == (pytest.approx(3 / 4), 4)  # ab ba ab | cc


def test_compression_is_zlibs_and_repetition_shows():
    texts = ["one two three", "four five six"]
    joined = b"one two three\nfour five six\n"
    assert compression_ratio(texts) == len(joined) / len(zlib.compress(joined, 6))
    assert compression_ratio(["the same line"] * 500) > 20
    assert compression_ratio([]) == 1


def test_hashed_counts_count_words_and_pairs():
    counts = hashed_counts(["To be or not to be", "", "be"], most_n=2)
    assert counts.sum(axis=1).ravel().tolist()[0] == [11, 0, 1]
    assert sorted(counts[0].data) == [1, 1, 1, 1, 1, 2, 2, 2]  # or, not, three pairs; to, be, "to be"
    unit = unit_rows(counts)
    assert np.asarray(unit.multiply(unit).sum(axis=1)).ravel() == pytest.approx([1, 0, 1])


def test_the_oddest_text_is_the_one_in_another_script():
    texts = ["the cat sat on the mat and looked at the rat"] * 20 + ["кошка села на ковёр"]
    assert int(np.argmax(oddness(Texts.of(texts)))) == 20
    assert oddness(Texts.of(["a", ""])).tolist() == [0, 0]
