"""Near duplicates against sets of word tuples compared pair by pair."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.minhash import Groups, Texts, bands_for, jaccard, near_duplicates, preferred, sketch

POEMS = [
    "白日依山盡，黃河入海流。",
    "x" * 64 + " " + "y" * 63 + " z",
    "é" * 40 + "一二" * 40,
    "",
    "_",
    "a" * 8 + " " + "b" * 9,
]
WORD = re.compile(r"[\u3000-\u9fff]|(?:(?![\u3000-\u9fff])[A-Za-z0-9_\u0080-\U0010ffff])+")


def shingles(text: str, words: int) -> set[tuple[str, ...]]:
    """The reference: sets of tuples of words, no hash."""
    found = [w for w in WORD.findall(text) if not "\u3000" <= w <= "\u303f"]
    lower = [re.sub("[A-Z]", lambda m: m.group().lower(), w) for w in found]
    if not lower:
        return set()
    length = min(words, len(lower))
    return {tuple(lower[i : i + length]) for i in range(len(lower) - length + 1)}


def exact(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def greedy(texts: list[str], threshold: float, words: int, order: list[int]) -> set[int]:
    """The reference: every pair compared; in order, a text is kept unless it is like one that is kept already."""
    sets = [shingles(t, words) for t in texts]
    kept: set[int] = set()
    for i in order:
        if not any(exact(sets[i], sets[j]) >= threshold for j in kept):
            kept.add(i)
    return kept


def grouped(texts: list[str], *, words: int = 5, keep: str = "longest", threads: int = 1, **settings) -> Groups:
    found = sketch(Texts.of(texts), words=words, threads=threads)
    return near_duplicates(found, order=preferred(found, keep), threads=threads, **settings)


sentences = st.lists(st.sampled_from(["a", "B", "c", "dd", "é", "一", "二", "。", "x_1"]), max_size=14).map(" ".join)


@settings(deadline=None)
@given(sentences, sentences, st.integers(1, 6))
def test_jaccard_is_that_of_word_tuples(a, b, words):
    assert jaccard(a, b, words=words) == pytest.approx(exact(shingles(a, words), shingles(b, words)))


@settings(deadline=None)
@given(st.text(st.sampled_from("aZ_9 .é一〇。，\n"), max_size=300), st.integers(0, 70))
def test_words_that_cross_blocks_of_64_bytes(text, shift):
    moved = " " * shift + text
    assert jaccard(moved, text, words=2) == (1 if shingles(text, 2) else 0)
    other = text[: len(text) // 2] + "b" + text[len(text) // 2 :]
    assert jaccard(moved, other, words=1) == pytest.approx(exact(shingles(text, 1), shingles(other, 1)))


def test_what_a_word_is():
    assert jaccard("Ab, c!", "ab C", words=1) == 1
    assert jaccard("一二三四", "一二三五", words=1) == 3 / 5
    assert jaccard("", "", words=1) == 0
    assert jaccard("a b", "a b c", words=5) == 0  # each is one shingle, of all its words


THRESHOLDS = st.sampled_from([0.3, 0.5, 0.8, 1.0])


@settings(deadline=None)
@given(st.lists(sentences, max_size=30), THRESHOLDS, st.integers(1, 3), st.sampled_from(["longest", "first"]))
def test_every_dropped_text_is_like_the_one_kept_for_it_and_what_is_kept_stays(texts, threshold, words, keep):
    found = grouped(texts, threshold=threshold, words=words, keep=keep)
    for row, kept in enumerate(found.kept):
        assert found.kept[kept] == kept
        if row != kept:
            truth = exact(shingles(texts[row], words), shingles(texts[kept], words))
            assert found.jaccard[row] == pytest.approx(truth)
            assert truth >= threshold
            assert row > kept if keep == "first" else len(texts[row].encode()) <= len(texts[kept].encode())
    left = [texts[i] for i in sorted(set(found.kept.tolist()))]
    again = grouped(left, threshold=threshold, words=words, keep=keep)
    assert (again.kept == np.arange(len(left))).all()


@settings(deadline=None)
@given(st.lists(sentences, max_size=30), THRESHOLDS, st.integers(1, 3), st.randoms())
def test_the_order_of_the_rows_changes_nothing(texts, threshold, words, random):
    def content(found: Groups, rows: list[str]) -> list[tuple[str, str, float]]:
        return sorted((rows[i], rows[k], j) for i, (k, j) in enumerate(zip(found.kept, found.jaccard, strict=True)))

    settings = {"threshold": threshold, "words": words}
    shuffled = random.sample(texts, len(texts))
    assert content(grouped(texts, **settings), texts) == content(grouped(shuffled, **settings), shuffled)


def varied(rng: random.Random, count: int, words: int) -> list[str]:
    return [" ".join(f"w{rng.randrange(3000)}" for _ in range(rng.randrange(words // 4, words))) for _ in range(count)]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_recall_and_precision_of_planted_duplicates(threshold):
    rng = random.Random(3)
    texts = varied(rng, 250, 120)
    for source in texts[:200]:
        words = source.split()
        for _ in range(rng.choice([0, 1, 1, 2, 4])):
            words[rng.randrange(len(words))] = "changed"
        texts.append(" ".join(words))
    rng.shuffle(texts)
    truth = greedy(texts, threshold, 5, sorted(range(len(texts)), key=lambda i: -len(texts[i])))
    found = grouped(texts, threshold=threshold)
    assert (found.jaccard >= threshold).all()  # precision is 1: pairs are verified
    gone = len(texts) - len(set(found.kept.tolist()))
    expected = len(texts) - len(truth)
    assert gone >= 0.99 * expected > 30


def test_the_number_of_threads_changes_nothing():
    rng = random.Random(5)
    texts = varied(rng, 5000, 24)
    texts += texts[::7]
    one, three = (grouped(texts, threads=n) for n in (1, 3))
    assert (one.kept == three.kept).all()
    assert (one.jaccard == three.jaccard).all()


ELSEWHERE = """
import json, random, sys
import numpy as np
from loomwork.text import minhash_kernels as kernels
from loomwork.text.minhash import Texts, near_duplicates, sketch
texts = json.load(sys.stdin)
found = near_duplicates(sketch(Texts.of(texts)), threshold=0.5)
compiled = [f for f in (kernels.sketch_rows, kernels.band_pairs, kernels.similarities) if f.stats.cache_misses]
print(json.dumps({"kept": found.kept.tolist(), "jaccard": found.jaccard.tolist(), "compiled": len(compiled)}))
"""


def test_a_plain_processor_finds_the_same_and_compiles_once(tmp_path):
    texts = [*varied(random.Random(6), 200, 60), *POEMS]
    texts += [text[: len(text) * 9 // 10] for text in texts]
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    made = []
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            input=json.dumps(texts),
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=True,
        )
        made.append(json.loads(process.stdout))
    found = grouped(texts, threshold=0.5)
    assert made[0]["kept"] == made[1]["kept"] == found.kept.tolist()
    assert made[0]["jaccard"] == found.jaccard.tolist()
    assert [m["compiled"] for m in made] == [3, 0]


def test_which_text_is_kept():
    texts = ["a b c d e f g h i j", "a b c d e f g h i j, longer", "a b c d e f g h i j"]
    assert grouped(texts).kept.tolist() == [1, 1, 1]
    assert grouped(texts, keep="first").kept.tolist() == [0, 0, 0]


def test_bands_follow_the_threshold():
    assert bands_for(0.8) == (21, 6)
    assert bands_for(1.0) == (1, 128)
    for threshold in np.linspace(0.05, 1, 20):
        bands, rows = bands_for(threshold)
        assert bands * rows <= 128
        assert 1 - (1 - threshold**rows) ** bands >= 0.99
