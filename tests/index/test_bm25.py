"""BM25 against the formula, word by word and row by row."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.index.bm25 import Bm25, build_bm25
from loomwork.index.fuse import best
from loomwork.text.words import search_words

words = st.sampled_from(["merge", "sorted", "list", "readCsv", "a_b", "x"])
documents = st.lists(st.lists(words, max_size=9).map(" ".join), min_size=1, max_size=12)


def reference(texts: list[str], query: str, k1: float, b: float) -> list[float]:
    rows = [search_words(t) for t in texts]
    mean = max(1.0, sum(map(len, rows)) / len(rows))
    holds = {word: sum(word in set(row) for row in rows) for word in search_words(query)}
    scores = []
    for row in rows:
        counts, total = Counter(row), 0.0
        for word in search_words(query):
            holding = holds[word]
            idf = math.log(1 + (len(rows) - holding + 0.5) / (holding + 0.5))
            tf = counts[word]
            if tf == 0:
                continue
            total += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(row) / mean))
        scores.append(total)
    return scores


@settings(deadline=None)
@given(documents, st.lists(words, max_size=5).map(" ".join), st.sampled_from([(1.2, 0.75), (0.9, 0.4), (2.0, 1.0)]))
def test_scores_are_those_of_the_formula(texts, query, constants):
    k1, b = constants
    index = build_bm25(texts, k1=k1, b=b)
    assert index.scores(query) == pytest.approx(reference(texts, query, k1, b), rel=1e-5, abs=1e-6)


def test_a_saved_index_gives_the_same_scores(tmp_path):
    texts = ["merge two sorted lists", "read a CSV file", "", "sorted(list) returns a sorted list"]
    index = build_bm25(texts)
    index.save(tmp_path / "bm25")
    again = Bm25.load(tmp_path / "bm25", 4)
    assert again.words == index.words
    for query in ("sorted list", "csvFile", "nothing here", ""):
        assert (again.scores(query) == index.scores(query)).all()
    assert isinstance(again.weights, np.memmap)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 1.5, -2.0]), max_size=20), st.integers(0, 25))
def test_best_is_a_stable_sort(scores, k):
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    assert best(np.array(scores), k).tolist() == expected


def test_cranfield_ranks_as_bm25_should(test_data):
    folder = test_data / "retrieval/cranfield"
    text = (folder / "cran.all.1400.xml").read_text("utf-8")
    root = ElementTree.fromstring(text if text.lstrip().startswith("<root") else f"<root>{text}</root>")
    numbers, texts = [], []
    for doc in root.iter("doc"):
        numbers.append((doc.findtext("docno") or "").strip())
        texts.append(f"{doc.findtext('title') or ''} {doc.findtext('text') or ''}")
    queries = ElementTree.fromstring((folder / "cran.qry.xml").read_text("utf-8"))
    relevant: dict[str, set[str]] = defaultdict(set)
    for line in (folder / "cranqrel.trec.txt").read_text("utf-8").splitlines():
        query, _, document, grade = line.split()
        if int(grade) > 0:
            relevant[query].add(document)
    index = build_bm25(texts)
    found = []
    for i, query in enumerate(queries.iter("top"), 1):  # judgements count queries from 1 to 225
        hits = [numbers[j] for j in best(index.scores(query.findtext("title") or ""), 10)]
        found.append(next((1 / r for r, n in enumerate(hits, 1) if n in relevant[str(i)]), 0.0))
    assert len(found) == 225
    assert np.mean(found) > 0.48  # .496 when this was written; no stemming, no stop words
    assert index.scores("heat transfer") == pytest.approx(reference(texts, "heat transfer", 1.2, 0.75), abs=1e-4)
