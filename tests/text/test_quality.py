"""Gopher's quantities: counted by hand, and by plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.quality import STOP_WORDS, Quality, quality
from loomwork.text.spans import hashes_of, split_words
from tests.text.text_bytes import as_bytes, as_words

# Letters, marks and line ends that the rules look at, and some that only look like them
PIECES = ["the", "of", "to", "The", "word", "être", "日本", "12", "#", ".", "...", "…", "-", "•", "·", " ", "  ", "\n"]
PIECES += ["\r\n", "\r", "\u2028", "\x0b", "\x1c", "\x85", "\xa0", "\t", "\x00", ",", "—"]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), min_size=1, max_size=5)


def measured(texts: list[str]) -> Quality:
    data, offsets = as_bytes(texts)
    return quality(data, offsets, split_words(data, offsets), hashes_of(list(STOP_WORDS)))


def test_by_hand() -> None:
    text = "- the #one ... \n• of 2…\nlast, — line ..."
    found = measured([text])
    # words: - the #one ... • of 2… last, — line ...   (11; not only marks: the #one of 2… last, line)
    assert found.words[0] == 6
    assert found.mean_word_length[0] == pytest.approx((3 + 4 + 2 + 2 + 5 + 4) / 6)
    assert found.hash_ratio[0] == pytest.approx(1 / 11)
    assert found.ellipsis_ratio[0] == pytest.approx(3 / 11)
    assert found.bullet_lines[0] == pytest.approx(2 / 3)
    assert found.ellipsis_lines[0] == 1.0
    assert found.alphabetic_words[0] == pytest.approx(5 / 11)
    assert found.stop_words[0] == 2


def test_nothing_in_a_text_gives_zeros() -> None:
    found = measured(["", " \n ", "...", "\x00"])
    assert found.words.tolist() == [0, 0, 0, 0]
    assert found.mean_word_length.tolist() == [0, 0, 0, 0]
    assert found.bullet_lines.tolist() == [0, 0, 0, 0]
    assert found.ellipsis_lines.tolist() == [0, 0, 1, 0]


@settings(deadline=None)
@given(TEXTS)
def test_as_plain_python_counts(texts: list[str]) -> None:
    found = measured(texts)
    for i, text in enumerate(texts):
        words, lines = text.split(), text.splitlines()
        all_words, all_lines = max(len(words), 1), max(len(lines), 1)
        assert found.hash_ratio[i] == pytest.approx(text.count("#") / all_words)
        assert found.ellipsis_ratio[i] == pytest.approx((text.count("...") + text.count("…")) / all_words)
        assert found.bullet_lines[i] == pytest.approx(sum(s.lstrip().startswith(("•", "-")) for s in lines) / all_lines)
        assert found.ellipsis_lines[i] == pytest.approx(
            sum(s.rstrip().endswith(("...", "…")) for s in lines) / all_lines
        )
        assert found.alphabetic_words[i] == pytest.approx(sum(any(map(str.isalpha, w)) for w in words) / all_words)
        assert found.stop_words[i] == len(set(STOP_WORDS) & set(words))


@settings(deadline=None)
@given(TEXTS, st.integers(0, 4))
def test_a_text_is_measured_alone(texts: list[str], which: int) -> None:
    which %= len(texts)
    together, alone = measured(texts), measured([texts[which]])
    for name in vars(alone):
        assert getattr(together, name)[which] == getattr(alone, name)[0], name


def test_a_block_in_the_middle_of_the_bytes() -> None:
    texts = ["the first", "of # the - second", "third ..."]
    data, offsets = as_bytes(texts)
    part = quality(data, offsets[1:3], split_words(data, offsets[1:3]), hashes_of(list(STOP_WORDS)))
    assert {n: v.tolist() for n, v in vars(part).items()} == {
        n: v.tolist() for n, v in vars(measured(texts[1:2])).items()
    }


def test_words_may_be_given() -> None:
    data, offsets = as_bytes(["the.cat"])
    found = quality(data, offsets, as_words(["the.cat"], [["the", ".", "cat"]]), hashes_of(["the"]))
    assert (found.words[0], found.mean_word_length[0], found.stop_words[0]) == (2, 3, 1)
    assert found.alphabetic_words[0] == pytest.approx(2 / 3)
    assert np.isfinite(found.hash_ratio).all()
