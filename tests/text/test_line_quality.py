"""FineWeb's quantities: counted by hand, and by plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.line_quality import LineQuality, line_quality
from loomwork.text.spans import split_words
from tests.text.text_bytes import as_bytes

PIECES = ["a word", "Ends.", "Ende!", "終わり。", "x" * 31, " ", "\n", "\n \n", "\r\n", "é", "\x00", "no end,"]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), min_size=1, max_size=4)


def measured(texts: list[str]) -> LineQuality:
    data, offsets = as_bytes(texts)
    return line_quality(data, offsets, split_words(data, offsets))


def test_by_hand() -> None:
    found = measured(["A line.\n\n" + "b" * 31 + "\nA line.\n"])
    assert found.lines[0] == 3
    assert found.terminal[0] == pytest.approx(2 / 3)
    assert found.short[0] == pytest.approx(2 / 3)
    assert found.duplicate_chars[0] == pytest.approx(7 / 45)
    assert found.feeds[0] == pytest.approx(4 / 5)


def test_nothing_in_a_text_gives_zeros() -> None:
    found = measured(["", "\n\n", " "])
    assert found.lines.tolist() == found.terminal.tolist() == found.duplicate_chars.tolist() == [0, 0, 0]


@settings(deadline=None)
@given(TEXTS)
def test_as_plain_python_counts(texts: list[str]) -> None:
    found = measured(texts)
    for i, text in enumerate(texts):
        lines = [line for line in text.split("\n") if line.strip()]
        seen: set[str] = set()
        again = [line for line in lines if line in seen or seen.add(line)]  # type: ignore[func-returns-value]
        assert found.lines[i] == len(lines)
        assert found.terminal[i] == pytest.approx(sum(s.endswith((".", "!", "。")) for s in lines) / max(len(lines), 1))
        assert found.short[i] == pytest.approx(sum(len(s) <= 30 for s in lines) / max(len(lines), 1))
        assert found.duplicate_chars[i] == pytest.approx(sum(map(len, again)) / max(len(text.replace("\n", "")), 1))
        assert found.feeds[i] == pytest.approx(text.count("\n") / max(len(text.split()), 1))
