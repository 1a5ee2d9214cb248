"""Reading ease against published examples and the history of inaugural addresses."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.text.readability import readability, syllables_of

# Of the article "Flesch–Kincaid readability tests" in Wikipedia: a sentence, its reading ease.
PUBLISHED = [
    ("The cat sat on the mat.", 116.1),
    ("This sentence, taken as a reading passage unto itself, is being used to prove a point.", 69.0),
    ("The Australian platypus is seemingly a hybrid of a mammal and reptilian creature.", 37.5),
]
SYLLABLES = {  # as the CMU Pronouncing Dictionary has them
    1: ["the", "strength", "through", "cat's", "make", "walked", "makes", "friend", "called"],
    2: ["table", "wanted", "boxes", "being", "playing", "people", "nation", "able"],
    3: ["media", "video", "radio", "actual", "sarcasm", "radios"],
    4: ["information", "mathematics"],
}


@pytest.mark.parametrize(("text", "ease"), PUBLISHED)
def test_published_examples(text, ease):
    assert readability([text]).reading_ease[0] == pytest.approx(ease, abs=0.05)


@pytest.mark.parametrize(("count", "word"), [(n, w) for n, words in SYLLABLES.items() for w in words])
def test_syllables(count, word):
    assert syllables_of(word) == count


def test_sentences_end_where_they_should():
    found = readability(
        [
            "One. Two! Three?",
            "J. Smith wrote e.g. this, vs. that.",
            "A heading\n\nA line\nthat goes on. “Quoted.” Done",
            "... ! ?",
            "",
            "No end",
        ]
    )
    assert found.sentences.tolist() == [3, 1, 3, 0, 0, 1]
    assert np.isnan(found.reading_ease[[3, 4]]).all()


def test_inaugural_addresses_became_easier(test_data):
    folder = test_data / "lm" / "nltk_inaugural"
    files = sorted(folder.glob("[12]*.txt"))
    grades = readability([f.read_text("utf-8", "replace") for f in files]).grade
    assert np.median(grades[:15]) > np.median(grades[-15:]) + 4
