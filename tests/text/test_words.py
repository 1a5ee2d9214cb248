"""Identifiers are taken apart, other words are left whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.text.words import search_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("asyncio.events.AbstractEventLoop.run_forever(x)", "asyncio events abstract event loop run forever x"),
        ("parseHTMLFile IPv4Address x2", "parse html file ipv4 address x2"),
        ("Grüße, Ζεύς! naïve", "grüße ζεύς naïve"),
        ("__init__ -- 3.14", "init 3 14"),
        ("", ""),
    ],
)
def test_search_words(text, words):
    assert search_words(text) == words.split()


@given(st.text(max_size=40))
def test_words_are_lower_case_and_without_marks(text):
    for word in search_words(text):
        assert word
        assert "_" not in word
        assert not any(c.isspace() for c in word)
