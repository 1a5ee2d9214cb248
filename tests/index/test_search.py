"""Indexes as artifacts: rows, scores, vectors, and what they refuse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from loomwork.core.artifact import Index
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.data.index import index
from loomwork.index.fuse import convex, standardise
from loomwork.index.search import open_index, write_index
from loomwork.index.vectors import cosines, open_vectors, write_vectors

ROWS = [
    {"passage": "heapq.merge(*iterables) merge sorted inputs", "name": "heapq.merge"},
    {"passage": "csv.DictReader(f) rows as dictionaries", "name": "csv.DictReader"},
    {"passage": "", "name": "nothing"},
    {"passage": "sorted(iterable) a new sorted list", "name": "sorted"},
]


def letters(texts: list[str]) -> np.ndarray:
    """A plain embedding for tests: letter counts, normalised."""
    counts = np.array([[t.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts], np.float32) + 1e-3
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_answers_carry_row_ids_texts_and_columns(make_dataset, run_step):
    data = make_dataset(ROWS)
    made, card = run_step(index, data=data)
    found = open_index(made).search("merge sorted lists", k=3)
    assert [h.columns["name"] for h in found] == ["heapq.merge", "sorted"]
    ids = {r["name"]: r["row_id"].hex() for r in data.rows()}
    assert [h.row_id for h in found] == [ids["heapq.merge"], ids["sorted"]]
    assert found[0].text == ROWS[0]["passage"]
    assert found[0].score > found[1].score > 0
    assert (card.metrics["rows"], open_index(made).model) == (4, "")
    assert open_index(made).search("unheard", k=3) == [] == open_index(made).search("merge", k=0)


def test_the_same_rows_give_the_same_bytes(make_dataset, run_step):
    data = make_dataset(ROWS)
    assert run_step(index, data=data)[0].id == run_step(index, data=data)[0].id


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_vectors_and_words_are_fused(make_dataset, tmp_path, precision):
    tables = list(make_dataset(ROWS).tables())
    (tmp_path / "index").mkdir()
    about = write_index(
        tables, tmp_path / "index", text="passage", embed=letters, model="abc", precision=precision, batch_rows=3
    )
    assert about["vectors"] == {"model": "abc", "dimensions": 26, "precision": precision}
    opened = open_index(Index(tmp_path / "index"))
    query = "merge sorted"
    vector = letters([query])[0]
    exact = letters([r["passage"] for r in ROWS]) @ vector
    dense = cosines(opened.vectors, 3 * vector)
    assert dense == pytest.approx(exact, abs=1e-5 if precision == "float32" else 2e-3)
    expected = 0.5 * standardise(opened.bm25.scores(query)) + 0.5 * standardise(dense)
    hits = opened.search(query, vector, k=4, weight=0.5)
    assert [h.score for h in hits] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
    assert hits[0].columns["name"] == "heapq.merge"
    with pytest.raises(InputError, match="shape"):
        opened.search(query, vector[:5])


def test_rows_are_found_across_row_groups_and_from_threads(tmp_path, make_dataset, run_step):
    rows = [{"passage": f"common word{i}", "n": i} for i in range(1500)]
    opened = open_index(run_step(index, data=make_dataset(rows))[0])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: opened.search(f"word{i}", k=1)[0].columns["n"], range(0, 1500, 7)))
    assert found == list(range(0, 1500, 7))


def test_forgotten_rows_are_left_out(make_dataset, run_step):
    data = make_dataset(ROWS)
    ids = {r["name"]: r["row_id"] for r in data.rows()}
    with use_context(Context(forgotten=frozenset([ids["sorted"]]))):
        opened = open_index(run_step(index, data=data)[0])
        assert opened.about["rows"] == 3
        assert [h.columns["name"] for h in opened.search("sorted")] == ["heapq.merge"]
    with use_context(Context(forgotten=frozenset(ids.values()))), pytest.raises(InputError, match="forgotten"):
        run_step(index, data=data)


def test_shards_that_differ_in_types_are_indexed(tmp_path, run_step):
    from loomwork.core.dataset import Dataset, DatasetWriter

    (tmp_path / "in").mkdir()
    with DatasetWriter(tmp_path / "in", shard_rows=1) as writer:
        writer.write([{"passage": "one", "n": None}])
        writer.write([{"passage": "two", "n": 2}])
        writer.write([{"passage": "three", "n": 0.5, "more": "x"}])
    opened = open_index(run_step(index, data=Dataset(tmp_path / "in"))[0])
    assert opened.search("three")[0].columns == {"n": 0.5, "more": "x"}
    assert opened.search("one")[0].columns == {"n": None, "more": None}


def test_what_an_index_refuses(make_dataset, run_step, tmp_path):
    opened = open_index(run_step(index, data=make_dataset(ROWS))[0])
    with pytest.raises(InputError, match="no vectors"):
        opened.search("x", np.ones(3))
    with pytest.raises(InputError, match="no rows"):
        run_step(index, data=make_dataset([]))
    with pytest.raises(InputError, match="no column 'passage'"):
        run_step(index, data=make_dataset([{"body": "x"}]))
    (tmp_path / "old").mkdir()
    (tmp_path / "old/index.json").write_text('{"format": 0}')
    with pytest.raises(InputError, match="format"):
        open_index(Index(tmp_path / "old"))


def test_the_number_of_vectors_must_be_the_announced_one(tmp_path):
    for rows in (3, 5):
        with pytest.raises(ValueError, match="announced"):
            write_vectors([np.ones((2, 2)), np.ones((2, 2))], tmp_path / "v.npy", rows=rows)
    assert write_vectors([np.ones((2, 2)), np.ones((2, 2))], tmp_path / "v.npy", rows=4) == (4, 2)
    assert open_vectors(tmp_path / "v.npy").shape == (4, 2)


def test_scores_that_do_not_differ_say_nothing():
    assert (convex(np.zeros(3), np.array([1.0, 2.0, 3.0]), 0.5) == 0.5 * standardise(np.array([1.0, 2.0, 3.0]))).all()
