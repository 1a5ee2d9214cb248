"""Words as spans of bytes: Python's own split is the oracle."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.spans import ALPHA, SPACE, SYMBOL, TERMINAL, character_kinds, hashes_of, split_words
from tests.text.text_bytes import as_bytes, as_words, spelled

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=6)


@settings(deadline=None)
@given(TEXTS)
def test_words_are_those_of_str_split(texts: list[str]) -> None:
    data, offsets = as_bytes(texts)
    words = split_words(data, offsets)
    assert spelled(words, data) == [text.split() for text in texts]
    flat = [word for text in texts for word in text.split()]
    assert words.chars.tolist() == [len(word) for word in flat]
    assert [bool(k & ALPHA) for k in words.kinds] == [any(c.isalpha() for c in word) for word in flat]
    assert [bool(k & SYMBOL) for k in words.kinds] == [all(map(symbol, word)) for word in flat]
    same = dict(zip(words.hashes.tolist(), flat, strict=True))
    assert [same[h] for h in words.hashes.tolist()] == flat  # one hash, one word


def symbol(char: str) -> bool:
    category = unicodedata.category(char)
    return (category[0] in "PS" or category in ("Cc", "Cf")) and not char.isspace()


@settings(deadline=None)
@given(TEXTS)
def test_given_spans_are_measured_as_ours(texts: list[str]) -> None:
    data, offsets = as_bytes(texts)
    ours, theirs = split_words(data, offsets), as_words(texts, [text.split() for text in texts])
    for name in ("starts", "ends", "rows", "chars", "kinds", "hashes"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


@settings(deadline=None)
@given(TEXTS)
def test_marks_apart_loses_nothing(texts: list[str]) -> None:
    data, offsets = as_bytes(texts)
    words = spelled(split_words(data, offsets, marks_apart=True), data)
    assert ["".join(found) for found in words] == ["".join(text.split()) for text in texts]
    assert all(found for found in words for found in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('A word, 3.5 km ("x")...', ["A", "word", ",", "3.5", "km", "(", '"', "x", '"', ")", "..."]),
        ("don't already-done", ["don", "'t", "already", "-", "done"]),
        ("-- …… “x”", ["--", "…", "…", "“", "x", "”"]),
        ("a\u3000b\x00c\n日本語。", ["a", "b\x00c", "日本語", "。"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_marks_apart(text: str, words: list[str]) -> None:
    data, offsets = as_bytes([text])
    assert spelled(split_words(data, offsets, marks_apart=True), data) == [words]


def test_hashes_are_those_of_words_in_texts() -> None:
    data, offsets = as_bytes(["of the être"])
    assert set(hashes_of(["the", "être", "of"]).tolist()) == set(split_words(data, offsets).hashes.tolist())
    assert hashes_of([]).size == 0


def test_sentence_terminal_is_unicodes() -> None:
    import polars as pl

    every = [chr(i) for i in range(0x20000) if not 0xD800 <= i < 0xE000]
    expected = pl.Series(every).str.contains(r"^\p{Sentence_Terminal}$").to_numpy()
    kinds = character_kinds()[[ord(c) for c in every]]
    assert ((kinds & TERMINAL != 0) == expected).all()
    assert not (kinds & SYMBOL)[kinds & SPACE != 0].any()
