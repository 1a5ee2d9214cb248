"""Words that name groups of people."""

from __future__ import annotations

import re

import numpy as np

from loomwork.text.demographic import count_terms, term_lists


def test_whole_words_are_counted_case_aside():
    found = count_terms(["She said HE, he and Herself.", "The theatre; shepherds.", ""])["gender"]
    assert found["female"].tolist() == [2, 0, 0]
    assert found["male"].tolist() == [2, 0, 0]


def test_real_texts_against_a_regular_expression(test_data):
    texts = (test_data / "lm" / "wizard_of_oz.txt").read_text("utf-8-sig").split("\n\n")
    found = count_terms(texts)
    for axis, groups in term_lists().items():
        for group, terms in groups.items():
            pattern = re.compile(r"(?<![\w'’])(?:" + "|".join(terms) + r")(?!['’]?\w)", re.IGNORECASE)
            expected = [len(pattern.findall(t.replace("_", " "))) for t in texts]
            assert found[axis][group].sum() == sum(expected), (axis, group)
    assert found["gender"]["female"].sum() > 500


def test_no_word_stands_in_two_groups_of_an_axis():
    for groups in term_lists().values():
        words = [w for terms in groups.values() for w in terms]
        assert len(words) == len(set(words))
        assert all(re.fullmatch("[a-z]+", w) for w in words)


def test_nothing_is_counted_in_nothing():
    assert all(np.array_equal(c, np.zeros(1)) for axis in count_terms([""]).values() for c in axis.values())
