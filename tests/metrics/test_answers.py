from __future__ import annotations

import re
import string
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loomwork.metrics.answers import best_match, normalised, word_f1


def official_normalised(text):
    """normalize_answer of evaluate-v1.1.py and evaluate-v2.0.py, as it stands there."""
    kept = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return " ".join(re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", kept).split())


def official_f1(prediction, answer, version):
    ours, theirs = official_normalised(prediction).split(), official_normalised(answer).split()
    if version == 2 and (not ours or not theirs):
        return float(ours == theirs)
    same = sum((Counter(ours) & Counter(theirs)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


words = st.lists(st.sampled_from(["the", "a", "An", "Denver", "broncos", "İ", "ΟΔΟΣ", "-", "1,000", "a-b"]), max_size=6)
texts = st.one_of(st.text(max_size=20), words.map(" ".join))


@given(st.lists(texts, max_size=8))
def test_texts_in_one_piece_are_normalised_as_each_alone_by_the_official_script(found):
    assert normalised(found) == [official_normalised(text) for text in found]


@given(texts, texts)
def test_f1_is_the_official_scripts(prediction, answer):
    ours, theirs = normalised([prediction, answer])
    assert word_f1(ours, theirs, empty_counts=False) == official_f1(prediction, answer, 1)
    assert word_f1(ours, theirs, empty_counts=True) == official_f1(prediction, answer, 2)


@given(texts, st.lists(texts, min_size=1, max_size=4))
def test_the_best_answer_counts(prediction, answers):
    ours, *theirs = normalised([prediction, *answers])
    exact, f1 = best_match(ours, theirs, empty_counts=False)
    assert exact == max(official_normalised(prediction) == official_normalised(a) for a in answers)
    assert f1 == max(official_f1(prediction, a, 1) for a in answers)


def test_words_count_as_often_as_they_occur():
    assert word_f1("new new york", "new york", empty_counts=False) == 2 * (2 / 3) * 1 / (2 / 3 + 1)
