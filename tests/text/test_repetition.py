"""Gopher's shares of repetition: counted by hand, by plain Python and by datatrove."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.repetition import Repetition, repetition
from loomwork.text.spans import split_words
from tests.text.text_bytes import as_bytes

PIECES = ["a", "bb", "ccc", "日本", "é", " ", "\n", "\n\n", "\n\n\n", " \n", "a bb", "a bb ccc a bb ccc", "\x00", "."]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), min_size=1, max_size=4)


def measured(texts: list[str], **lengths: list[int]) -> Repetition:
    data, offsets = as_bytes(texts)
    return repetition(data, offsets, split_words(data, offsets), **lengths)


def test_lines_and_paragraphs_by_hand() -> None:
    found = measured(["one\ntwo\none\n\none\ntwo\none"])  # 25 characters; 6 lines, two paragraphs, the second a copy
    assert found.lines[0] == pytest.approx(4 / 6)
    assert found.line_chars[0] == pytest.approx(12 / 24)
    assert found.paragraphs[0] == pytest.approx(1 / 2)
    assert found.paragraph_chars[0] == pytest.approx(11 / 24)


def test_line_feeds_around_a_text_make_no_lines() -> None:
    found = measured(["\nabc\n", "\n\n\nabc\n\ndef\n\n"])
    assert found.lines.tolist() == found.paragraphs.tolist() == [0, 0]


def test_the_most_frequent_ngram_by_hand() -> None:
    found = measured(["aa b aa b aa c"])  # 14 characters; "aa b" and "b aa" stand twice, "aa b" first
    assert found.top[2][0] == pytest.approx(2 * 4 / 14)
    assert found.top[3][0] == pytest.approx(2 * 7 / 14) == pytest.approx(len("aa b aa") * 2 / 14)
    assert found.top[4][0] == pytest.approx(len("aa b aa b") / 14)  # all stand once: the first


def test_duplicate_ngrams_by_hand() -> None:
    text = "v w x y z v w x y z v w"  # the second "v w x y z" is one; what overlaps it is not counted
    found = measured([text])
    assert found.duplicate[5][0] == pytest.approx(5 / len(text))
    assert found.duplicate[6][0] == pytest.approx(6 / len(text))  # "v w x y z v" at 5, after that at 0
    assert found.duplicate[8][0] == 0


def test_overlapping_copies_are_counted_once() -> None:
    found = measured(["a a a a a a a a a a a a"], duplicate=[5])  # at 1 to 5, and at 6 to 10
    assert found.duplicate[5][0] == pytest.approx(10 / 23)


def test_short_and_empty_texts_have_no_ngrams() -> None:
    found = measured(["", "word", "\n", "  "])
    assert all(not share.any() for share in [*found.top.values(), *found.duplicate.values()])
    assert not found.lines.any()


def duplicates(pieces: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    again = [p for p in pieces if p in seen or seen.add(p)]  # type: ignore[func-returns-value]
    return len(again), sum(map(len, again))


def most_frequent(words: list[str], n: int) -> int:
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not grams:
        return 0
    gram, count = grams.most_common(1)[0]
    return len(" ".join(gram)) * count


def repeated(words: list[str], n: int) -> int:
    seen, found, i = set(), 0, 0
    while i + n <= len(words):
        gram = tuple(words[i : i + n])
        if gram in seen:
            found += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return found


@settings(deadline=None)
@given(TEXTS, st.sampled_from([[2, 3, 4], [1], [4, 2], []]), st.sampled_from([[5, 6, 7, 8, 9, 10], [3, 2], [1], []]))
def test_as_plain_python_counts(texts: list[str], top: list[int], duplicate: list[int]) -> None:
    found = measured(texts, top=top, duplicate=duplicate)
    for i, text in enumerate(texts):
        words, chars = text.split(), max(len(text), 1)
        lines, paragraphs = re.split("\n+", text.strip("\n")), re.split("\n{2,}", text.strip())
        assert found.lines[i] == pytest.approx(duplicates(lines)[0] / len(lines))
        assert found.line_chars[i] == pytest.approx(duplicates(lines)[1] / chars)
        assert found.paragraphs[i] == pytest.approx(duplicates(paragraphs)[0] / len(paragraphs))
        assert found.paragraph_chars[i] == pytest.approx(duplicates(paragraphs)[1] / chars)
        assert [found.top[n][i] for n in top] == pytest.approx([most_frequent(words, n) / chars for n in top])
        assert [found.duplicate[n][i] for n in duplicate] == pytest.approx(
            [repeated(words, n) / chars for n in duplicate]
        )


@settings(deadline=None)
@given(TEXTS)
def test_shares_are_those_of_datatrove(texts: list[str]) -> None:
    theirs = pytest.importorskip("datatrove.pipeline.filters.gopher_repetition_filter", reason="the extra bench has it")
    found = measured(texts)
    for i, text in enumerate(texts):
        words, lines, chars = text.split(), re.split("\n+", text.strip("\n")), max(len(text), 1)
        assert found.lines[i] == pytest.approx(theirs.find_duplicates(lines)[0] / len(lines))
        for n in (2, 3, 4):
            grams = theirs.get_n_grams(words, n)
            assert found.top[n][i] == pytest.approx(theirs.find_top_duplicate(grams) / chars if grams else 0)
