"""Cleaning settles, and says what a first sentence is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.clean import clean_text, first_sentence, split_heading

messy = st.text(st.characters() | st.sampled_from("\r\n\t \u2028\x00\ufeff\u0301e"), max_size=60)


@settings(deadline=None)
@given(messy)
def test_cleaning_twice_changes_nothing_more(text):
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(c) == "Cc" and c not in "\t\n" for c in once)
    assert "\n\n\n" not in once
    once.encode()  # fails on lone surrogates


@settings(deadline=None)
@given(messy)
def test_cleaning_keeps_every_visible_character(text):
    def visible(s):
        kept = (c for c in unicodedata.normalize("NFC", s) if unicodedata.category(c)[0] in "LMNPS")
        return unicodedata.normalize("NFC", "".join(kept))

    assert visible(clean_text(text)) == visible(text)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("a \r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\ufeffa\x00b\x1b", "ab"),
        ("e\u0301", "é"),
        ("one\n \n\t\n\ntwo  \n\n", "one\n\ntwo"),
        ("    indented\n\tstays", "    indented\n\tstays"),
        (" \n\x00 ", ""),
    ],
)
def test_what_cleaning_does(dirty, expected):
    assert clean_text(dirty) == expected


@pytest.mark.parametrize(
    ("text", "sentence", "rest"),
    [
        ("Return the\n  index. Then stop.", "Return the index.", "Then stop."),
        ("Return the index\n\nThen stop.", "Return the index", "Then stop."),
        ("Read e.g. a file. More", "Read e.g. a file.", "More"),
        ("一つ目。二つ目。", "一つ目。", "二つ目。"),
        ("only", "only", ""),
        ("", "", ""),
    ],
)
def test_first_sentence(text, sentence, rest):
    assert first_sentence(text) == (sentence, rest)


def test_an_underlined_line_is_a_heading():
    assert split_heading('The "assert" statement\n******\n\nBody.') == ('The "assert" statement', "Body.")
    assert split_heading("No heading\nhere") == ("", "No heading\nhere")
