"""Runs of words."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.minhash import Texts
from loomwork.text.overlap import covered, folded_words

WORD = re.compile(r"[0-9A-Za-zéÉЖжΣ]+", re.ASCII)
texts = st.lists(st.text("aB c.éÉ0ЖжΣ\u00a0–“\n", max_size=30), max_size=6)


def words_of(found, data):
    return [bytes(data.data[a:b]).decode() for a, b in zip(found.starts, found.ends, strict=True)]


@given(texts)
@settings(deadline=None)
def test_words_are_runs_of_letters_and_digits(given_texts):
    data = Texts.of(given_texts)
    found = folded_words(data)
    assert words_of(found, data) == [w for t in given_texts for w in WORD.findall(t)]
    assert np.diff(found.rows).tolist() == [len(WORD.findall(t)) for t in given_texts]


@given(texts, st.integers(1, 4))
@settings(deadline=None)
def test_runs_are_equal_where_their_folded_words_are(given_texts, size):
    data = Texts.of(given_texts)
    found = folded_words(data)
    runs = found.runs(size)
    folded = ["".join(c.lower() for c in w) for w in words_of(found, data)]  # a Greek final s is as any other
    keys: dict[int, tuple[str, ...]] = {}
    for at, row in enumerate(found.row_of):
        whole = at + size <= found.rows[row + 1]
        assert (runs[at] != 0) == whole
        if whole:
            assert keys.setdefault(int(runs[at]), tuple(folded[at : at + size])) == tuple(folded[at : at + size])
    assert len(set(keys.values())) == len(keys)


def test_chinese_characters_are_words():
    data = Texts.of(["你好，世界 abc。"])
    assert words_of(folded_words(data), data)[:2] == ["你", "好"]
    assert "abc" in words_of(folded_words(data), data)


def test_case_and_typographic_marks_do_not_count_in_other_scripts_either():
    data = Texts.of(["СЪЕШЬ ЖЕ «ещё» этих — мягких", "съешь же ещё этих мягких", "Ça “va”… là‑bas", "ça va là bas"])
    found = folded_words(data)
    cut = found.rows.tolist()
    assert found.hashes[cut[0] : cut[1]].tolist() == found.hashes[cut[1] : cut[2]].tolist()
    assert found.hashes[cut[2] : cut[3]].tolist() == found.hashes[cut[3] : cut[4]].tolist()


def test_covered():
    starts = np.array([0, 1, 0, 0, 0, 1, 1, 0, 0], bool)
    assert covered(starts, 2).astype(int).tolist() == [0, 1, 1, 0, 0, 1, 1, 1, 0]
