"""Spelling of real text with planted errors, before and after; words that must not be touched."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.spelling import WORD, Speller

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def speller():
    return Speller(["frobnicate", "Zzyzx"])


def misspelt(word: str, draw: random.Random) -> str:
    """One edit: a letter left out, put in, taken for another, or two letters swapped."""
    i, letter = draw.randrange(len(word) - 1), draw.choice(LETTERS)
    return draw.choice(
        [word[:i] + word[i + 1 :], word[:i] + letter + word[i:], word[:i] + letter + word[i + 1 :],
         word[:i] + word[i + 1] + word[i] + word[i + 2 :]]
    )  # fmt: skip


@pytest.mark.parametrize("source", ["c4_demo.jsonl", "wiki_demo.txt"])
def test_the_error_rate_of_real_text_falls_by_half(source, test_data, capsys):
    lines = (test_data / "lm" / source).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines] if source.endswith("jsonl") else lines
    draw = random.Random(7)
    planted = [
        WORD.sub(lambda m: misspelt(m.group(), draw) if draw.random() < 0.05 else m.group(), text) for text in texts
    ]
    speller = Speller()
    common = Counter(word for text in planted for word in speller.unknown(text))
    speller.protect(word for word, documents in common.items() if documents >= 5)
    corrected = [speller.correct(text)[0] for text in planted]
    words = before = after = broken = 0
    for rows in zip(texts, planted, corrected, strict=True):
        for right, wrong, found in zip(*(re.findall(r"\S+", row) for row in rows), strict=True):
            words += 1
            before += right != wrong
            after += right != found
            broken += right == wrong != found
    with capsys.disabled():
        print(
            f"\n  spelling, {source}: {before / words:.2%} of {words} words wrong before, {after / words:.2%} after; "
            f"{broken / words:.2%} were right and were changed"
        )
    assert before / words > 0.02
    assert after / words < 0.5 * before / words
    assert broken / words < 0.003


def test_what_is_corrected(speller):
    assert speller.correct("they recieve the goverment, definately") == ("they receive the government, definitely", 3)


@pytest.mark.parametrize(
    "text",
    [
        "Goverment and RECIEVE have capitals",
        "see https://exampel.org/recieve and recieve@exampel.org",
        "goverment_name, recieve2, self.recieve(), #goverment, @goverment, --recieve, path/goverment",
        "in `goverment` or \n\n    recieve = goverment\n",
        "we frobnicate zzyzx",
        "behaviors honored pediatrics cataloging theatres organisation",
        "teh wrd",
        "don't, isn't, the boys' goverment's",
        "schöen größze",
    ],
)
def test_what_stays(speller, text):
    assert speller.correct(text) == (text, 0)


def test_other_languages_stay(speller, test_data):
    for name in ("German_Deutsch", "Spanish_Espanol", "Dutch_Nederlands", "Finnish_Suomi", "Swaheli"):
        text = (test_data / "web/udhr" / f"{name}-Latin1").read_bytes().decode("cp1252")
        assert speller.correct(text) == (text, 0)


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.sampled_from("abehrt .,'\n`"), max_size=60))
def test_correcting_twice_changes_nothing_more(speller, text):
    once, made = speller.correct(text)
    assert speller.correct(once) == (once, 0)
    assert (made == 0) == (once == text)
    assert len(once.split()) == len(text.split())


def test_a_dictionary_of_ones_own(tmp_path):
    (tmp_path / "words.txt").write_text("hausboot 10\nwolken 5\n")
    assert Speller(dictionary=tmp_path / "words.txt").correct("hausbott wolkne") == ("hausboot wolken", 2)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds no line"):
        Speller(dictionary=tmp_path / "empty.txt")
