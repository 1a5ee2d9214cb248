from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sacrebleu")
from loomwork.metrics.translation import make_metric, metric_of, segment_statistics, signature

WORDS = ["the", "cat", "sat", "on", "a", "mat", ".", ",", "Dog", "2"]
words = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
segments = st.lists(st.tuples(words, words, words), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(segments, st.sampled_from(["bleu", "chrf", "ter"]), st.integers(1, 2), st.sampled_from([0, 2]))
def test_the_metric_of_sums_is_sacrebleus_corpus_score(found, name, references, word_order):
    said, *wanted = (list(side) for side in zip(*found, strict=True))
    metric = make_metric(name, word_order=word_order)
    sums = segment_statistics(metric, said, wanted[:references]).sum(axis=0)
    assert float(metric_of(name)(sums)) == pytest.approx(metric.corpus_score(said, wanted[:references]).score, abs=1e-9)


def test_many_rows_of_sums_at_once_are_each_alone():
    rng = np.random.default_rng(0)
    for name, width in (("bleu", 10), ("chrf", 18), ("ter", 2)):
        sums = rng.integers(0, 20, (6, width)).astype(float)
        measure = metric_of(name)
        assert measure(sums) == pytest.approx([float(measure(row)) for row in sums])


def test_signatures_say_what_was_done():
    metric = make_metric("bleu", tokenize="zh", lowercase=True)
    segment_statistics(metric, ["a"], [["a"], ["b"]])
    assert signature(metric) == "BLEU|#:2|c:lc|e:no|tok:zh|s:exp|v:2.6.0"
    metric = make_metric("chrf", word_order=2)
    segment_statistics(metric, ["a"], [["a"]])
    assert signature(metric) == "chrF++|#:1|c:mixed|e:yes|nc:6|nw:2|s:no|v:2.6.0"
