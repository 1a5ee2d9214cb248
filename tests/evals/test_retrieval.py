from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.retrieval import retrieval


def plain_bm25_ranks(rows):
    """BM25 by the book, document by document; Lucene's idf."""
    words = [re.findall(r"[a-z0-9]+", r["passage"].lower()) for r in rows]
    mean = sum(map(len, words)) / len(words)
    counts = [Counter(w) for w in words]
    holds = Counter(w for c in counts for w in c)
    ranks = []
    for i, row in enumerate(rows):
        query = re.findall(r"[a-z0-9]+", row["query"].lower())
        scores = []
        for text, count in zip(words, counts, strict=True):
            total = 0.0
            for word in query:
                if word in count:
                    idf = math.log(1 + (len(rows) - holds[word] + 0.5) / (holds[word] + 0.5))
                    length = 0.25 + 0.75 * len(text) / mean
                    total += idf * count[word] * 2.2 / (count[word] + 1.2 * length)
            scores.append(total)
        ranks.append(sum(s >= scores[i] - 1e-6 for s in scores))
    return ranks


def test_bm25_ranks_on_cranfield_match_a_plain_implementation(cranfield, make_dataset, run_step):
    rows = cranfield[:400]
    found, card = run_step(retrieval, data=make_dataset(rows), cluster="author")
    items = found.items()
    expected = plain_bm25_ranks(rows)
    ranks = items.column("rank").to_pylist()
    assert np.mean(np.array(ranks) == expected) > 0.99  # float32 sums may swap near ties
    values = np.array([1 / r if r <= 10 else 0 for r in ranks])
    assert items.column("mrr@10").to_numpy() == pytest.approx(values)
    mrr, first, ten = found.scores
    assert [s.name for s in card.scores] == ["mrr@10", "recall@1", "recall@10"]
    assert mrr.value == pytest.approx(values.mean())
    assert 0.5 < mrr.value < first.value + 0.3
    assert first.value <= mrr.value <= ten.value
    assert (mrr.n, mrr.cluster_unit, mrr.n_clusters) == (400, "author", len({r["author"] for r in rows}))
    assert mrr.interval.low < mrr.value < mrr.interval.high
    assert (mrr.model, mrr.contamination) == ("none", "checked")


def test_the_first_passages_are_kept(cranfield, make_dataset, run_step):
    data = make_dataset(cranfield[:60])
    found, _ = run_step(retrieval, data=data, top=3)
    items = found.items().to_pylist()
    assert all(len(i["top_ids"]) == 3 for i in items)
    assert all((i["top_ids"][0] == i["row_id"]) == (i["rank"] == 1) for i in items)
    assert [i["row_id"] for i in items] == [r["row_id"] for r in data.rows()]


def test_the_same_bytes_each_time_and_no_dependence_on_row_order(cranfield, make_dataset, run_step):
    rows = cranfield[:80]
    data = make_dataset(rows)
    one, two = (run_step(retrieval, data=data, cluster="author")[0] for _ in range(2))
    assert one.id == two.id
    turned, _ = run_step(retrieval, data=make_dataset(rows[::-1]), cluster="author")
    for ours, theirs in zip(one.scores, turned.scores, strict=True):
        assert ours.value == pytest.approx(theirs.value)
        assert ours.interval.low == pytest.approx(theirs.interval.low)


def test_a_real_encoder_beats_chance_by_far_and_says_that_contamination_is_unknown(
    cranfield, make_dataset, run_step, minilm
):
    rows = [{**row, "passage": " ".join(row["passage"].split()[:25])} for row in cranfield[:50]]
    found, _ = run_step(retrieval, data=make_dataset(rows), model=minilm)
    score = found.score("recall@1")
    assert score.value > 0.5  # chance is 1 of 50
    assert score.model == minilm.digest
    assert score.contamination == "unknown"
    assert score.interval.method == "Wilson score"


def test_passages_that_repeat_count_against_each_other(make_dataset, run_step):
    words = ["alpha", "beta", "gamma"]
    rows = [{"query": f"{w} {i}", "passage": f"about {w}"} for i, w in enumerate(words * 2)]
    found, card = run_step(retrieval, data=make_dataset(rows), k=5)
    assert found.items().column("rank").to_pylist() == [2] * 6
    assert [s.name for s in found.scores] == ["mrr@5", "recall@1", "recall@5"]
    assert card.metrics["repeated_passages"] == 3
    assert "3 passages repeat" in card.notes[0]


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([], {}, "no column 'query'|no rows"),
        ([{"query": "a b", "passage": "c"}], {}, "one row gives no interval"),
        ([{"query": "a", "passage": "c"}, {"query": " ", "passage": "d"}], {}, "row 1 .* no text in column 'query'"),
        ([{"query": "a", "passage": "c"}, {"query": "b", "passage": None}], {}, "row 1 .* 'passage': None"),
        ([{"query": "a", "passages": "c"}], {}, "no column 'passage'"),
        (
            [{"query": "a", "passage": "c", "m": 1}, {"query": "b", "passage": "d", "m": 1}],
            {"cluster": "m"},
            "makes 1 cluster",
        ),
    ],
)
def test_bad_input_is_refused(rows, settings, message, make_dataset, run_step):
    with pytest.raises(InputError, match=message):
        run_step(retrieval, data=make_dataset(rows), **settings)
