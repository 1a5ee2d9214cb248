"""Matching statistics: against a search of every run in every text."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.matching import Matcher
from loomwork.text.minhash import Texts

texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join), min_size=1, max_size=5)


def by_hand(items: list[str], stream: list[str]) -> list[list[int]]:
    """The longest run that ends at each word and stands in a text of the stream."""
    padded = [f" {text} " for text in stream]
    found = []
    for item in items:
        words = item.split()
        found.append(
            [
                max(
                    (n for n in range(1, end + 1) if any(f" {' '.join(words[end - n : end])} " in s for s in padded)),
                    default=0,
                )
                for end in range(1, len(words) + 1)
            ]
        )
    return found


@settings(deadline=None, max_examples=400)
@given(texts, texts, st.integers(1, 4))
def test_every_run_is_found_that_a_search_by_hand_finds(items, stream, size):
    matcher = Matcher(Texts.of(items))
    for start in range(0, len(stream), 2):  # in pieces
        matcher.look(Texts.of(stream[start : start + 2]))
    longest = matcher.longest()
    expected = by_hand(items, stream)
    assert longest.tolist() == [n for one in expected for n in one]
    for item, share, ends in zip(items, matcher.share(size, longest), expected, strict=True):
        runs = len(item.split()) - size + 1
        assert np.isnan(share) if runs < 1 else share == sum(n >= size for n in ends) / runs
    sizes, last = matcher.longest_of_each(longest)
    assert sizes.tolist() == [max(ends, default=0) for ends in expected]
    assert all((at >= 0) == (n > 0) for at, n in zip(last, sizes, strict=True))


def test_case_and_punctuation_do_not_count_and_no_run_crosses_two_texts():
    matcher = Matcher(Texts.of(["The quick, brown fox!", "jumps over", ""]))
    matcher.look(Texts.of(["a QUICK brown", "fox jumps"]))
    assert matcher.longest().tolist() == [0, 1, 2, 1, 1, 0]
    sizes, last = matcher.longest_of_each()
    assert sizes.tolist() == [2, 1, 0]
    words, data = matcher.words, Texts.of(["The quick, brown fox!"]).data
    at = int(last[0])
    assert bytes(data[words.starts[at - 1] : words.ends[at]]) == b"quick, brown"


def test_many_copies_cost_no_more_than_one():
    """The work is bounded by the words of both sides, whatever repeats in them."""
    line = " ".join(f"w{i}" for i in range(40))
    matcher = Matcher(Texts.of([line] * 500))
    matcher.look(Texts.of([line] * 2000))
    assert matcher.share(13).tolist() == [1.0] * 500
