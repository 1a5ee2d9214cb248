"""Cleaning settles, and says what a first sentence is."""

from __future__ import annotations

import re
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.clean import clean_text, clean_texts, first_sentence, split_heading
from tests.characters import ASSIGNED

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


def by_hand(text):
    """The same with Python's own expressions, character by character."""
    text = re.sub("\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text)
    text = (
        text
        if re.search("[\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17f9]", text)
        else text.replace("\u200b", "")
    )
    text = re.sub("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u2060\ufeff\ufff9-\ufffb\ufffe\uffff]", "", text)
    text = re.sub(r"(?m)[^\S\n]+$", "", unicodedata.normalize("NFC", text))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip().strip("\n")


columns = st.lists(st.text(ASSIGNED | st.sampled_from("\r\n\t \u2028\x00\ufeff\u0301e\xad\u200b\u0e01")), max_size=8)


@settings(deadline=None)
@given(columns)
def test_a_column_is_cleaned_as_its_texts_are_by_hand(texts):
    column = pl.Series(texts, dtype=pl.String)
    assert clean_texts(column).to_list() == [by_hand(text) for text in texts]
    assert column.to_list() == texts  # the input is not changed in place


@settings(deadline=None)
@given(columns)
def test_compatibility_forms_and_single_spaces_settle_too(texts):
    once = clean_texts(pl.Series(texts, dtype=pl.String), form="NFKC", spaces="single")
    assert clean_texts(once, form="NFKC", spaces="single").to_list() == once.to_list()
    for text in once.to_list():
        assert unicodedata.is_normalized("NFKC", text)
        assert not re.search(r"[^\S\n]{2}|(?m:^)[^\S\n]|[^\S\n](?m:$)", text)


def test_compatibility_characters_and_runs_of_spaces():
    cleaned = clean_texts(pl.Series(["  \ufb01ne \t\u00a0 day\n\t\uff21\u00b2"]), form="NFKC", spaces="single")
    assert cleaned.to_list() == ["fine day\nA2"]


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
        ("Donau\xaddampf\u200b\u2060schiff", "Donaudampfschiff"),
        ("ภาษา\u200bไทย", "ภาษา\u200bไทย"),
        ("می\u200cخواهم \u200d", "می\u200cخواهم \u200d"),
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
