"""Streams, parts, ids, origins, sidecars, shared shards."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.row_ids import row_ids

scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8)


def test_rows_round_trip_with_ids_and_origins(tmp_path):
    with DatasetWriter(tmp_path) as w:
        w.write([{"text": "a", "n": 1}, {"text": "b", "n": 2}])
    data = Dataset(tmp_path)
    assert len(data) == 2
    assert [r["text"] for r in data.rows()] == ["a", "b"]
    assert all(len(r["row_id"]) == 16 and r["origin_ids"] == [] for r in data.rows())


@given(st.lists(st.tuples(scalars, scalars), min_size=1, max_size=6))
def test_ids_are_equal_exactly_where_rows_are(rows):
    ids = row_ids(pa.table({"a": pa.array([str(type(a)) + str(a) for a, _ in rows]), "b": [repr(b) for _, b in rows]}))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            same = (type(a[0]), a[0], repr(a[1])) == (type(b[0]), b[0], repr(b[1]))
            assert (ids[i] == ids[j]) == same


def test_ids_do_not_depend_on_column_order_and_do_on_boundaries():
    one = row_ids(pa.table({"a": ["x"], "b": ["y"]}))
    assert one == row_ids(pa.table({"b": ["y"], "a": ["x"]}))
    assert one != row_ids(pa.table({"a": ["xy"], "b": [""]}))
    assert row_ids(pa.table({"a": [1]})) != row_ids(pa.table({"a": ["1"]}))


def test_an_unchanged_shard_is_shared_and_a_changed_one_keeps_its_row_ids(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    with DatasetWriter(first, shard_rows=2) as w:
        for i in range(6):
            w.write([{"n": i}])
    data = Dataset(first)
    assert len(data.shards()) == 3
    with DatasetWriter(second) as w:
        for shard in data.shards():
            numbers = pq.read_table(shard).column("n").to_pylist()
            w.keep(shard, [n != 3 for n in numbers], "is three")
    kept = Dataset(second)
    assert [s.stat().st_ino for s in kept.shards()][::2] == [s.stat().st_ino for s in data.shards()][::2]
    assert [r["n"] for r in kept.select("data").rows()] == [0, 1, 2, 4, 5]
    (dropped,) = kept.select("dropped").rows()
    assert (dropped["n"], dropped["reason"]) == (3, "is three")
    before = {r["n"]: r["row_id"] for r in data.rows()}
    assert all(before[r["n"]] == r["row_id"] for r in kept.select("data").rows())
    a, b = data.manifest["parts"]["data"]["files"], kept.manifest["parts"]["data"]["files"]
    assert len({f["sha256"] for f in a.values()} & {f["sha256"] for f in b.values()}) == 2


def test_forgotten_rows_are_left_out_by_every_writer(tmp_path):
    first, again, shared = tmp_path / "first", tmp_path / "again", tmp_path / "shared"
    first.mkdir(), again.mkdir(), shared.mkdir()
    with DatasetWriter(first) as w:
        w.write([{"n": 1}, {"n": 2}])
    gone = frozenset(r["row_id"] for r in Dataset(first).rows() if r["n"] == 2)
    with use_context(Context(forgotten=gone)):
        with DatasetWriter(again) as w:
            w.write([{"n": 1}, {"n": 2}])
        with DatasetWriter(shared) as w:
            w.keep(Dataset(first).shards()[0], [True, True])
    assert [r["n"] for r in Dataset(again).rows()] == [1] == [r["n"] for r in Dataset(shared).rows()]
    assert w.forgotten == 1


def test_sidecars_join_and_change_the_digest_of_their_part_only(tmp_path):
    with DatasetWriter(tmp_path) as w:
        w.write([{"n": 1}, {"n": 2}], part="train")
        w.write([{"n": 3}], part="holdout")
    before = {p: Dataset.open(tmp_path, p).digest for p in ("train", "holdout")}
    (tmp_path / "train+quality").mkdir()
    pq.write_table(pa.table({"quality": [0.5, 0.9]}), tmp_path / "train+quality" / "00000.parquet")
    assert [(r["n"], r["quality"]) for r in Dataset(tmp_path, "train").rows()] == [(1, 0.5), (2, 0.9)]
    after = {p: Dataset.open(tmp_path, p).digest for p in ("train", "holdout")}
    assert before["train"] != after["train"]
    assert before["holdout"] == after["holdout"]


def test_a_part_must_be_named_where_there_are_several(tmp_path):
    with DatasetWriter(tmp_path) as w:
        w.write([{"n": 1}], part="train")
        w.write([{"n": 3}], part="holdout")
    with pytest.raises(InputError, match="the parts holdout, train"):
        Dataset(tmp_path).table()
    with pytest.raises(InputError, match="did you mean 'holdout'"):
        Dataset(tmp_path).select("holdot")
    with pytest.raises(InputError, match="no column 'm'"):
        Dataset(tmp_path, "train").require("m")


def test_shards_of_different_columns_are_read_as_one(tmp_path):
    with DatasetWriter(tmp_path, shard_rows=1) as w:
        w.write([{"text": "a"}])
        w.write([{"body": "b"}])
    data = Dataset(tmp_path)
    data.require("text", "body")
    assert [(r["text"], r["body"]) for r in data.rows(["text", "body"])] == [("a", None), (None, "b")]


def test_an_empty_part_keeps_its_columns(tmp_path):
    with DatasetWriter(tmp_path) as w:
        w.write(pa.table({"text": pa.array([], pa.string())}))
    data = Dataset(tmp_path)
    assert len(data) == 0
    assert "text" in data.schema.names
    with pytest.raises(InputError, match="no rows"):
        data.require_rows()


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6), shard_rows=st.integers(1, 8))
def test_how_rows_arrive_does_not_change_what_is_written(sizes, shard_rows):
    """Row by row, in lots, all at once: the same shards, none longer than asked for, and the rows read back."""
    rows = [{"n": i, "text": f"row {i}"} for i in range(sum(sizes))]
    table = pa.Table.from_pylist(rows, schema=pa.schema({"n": pa.int64(), "text": pa.string()}))
    ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    lots = {"one": range(len(table) + 1), "lots": ends, "all": [0, len(table)]}
    written = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, cuts in lots.items():
            out = Path(folder) / name
            out.mkdir()
            with DatasetWriter(out, shard_rows=shard_rows) as w:
                for a, b in pairwise(cuts):
                    w.write(table.slice(a, b - a))
            written[name] = [s.read_bytes() for s in Dataset(out).shards()] if rows else []
            if rows:
                assert [{k: r[k] for k in ("n", "text")} for r in Dataset(out).rows()] == rows
                sizes_written = [pq.read_metadata(s).num_rows for s in Dataset(out).shards()]
                assert all(n == shard_rows for n in sizes_written[:-1])
                assert sizes_written[-1] <= shard_rows
                assert w.counts["data"] == len(rows)
    assert written["one"] == written["lots"] == written["all"]


def test_a_large_table_is_written_in_shards_of_bounded_size(tmp_path):
    with DatasetWriter(tmp_path) as w:
        w.write(pa.table({"text": ["x" * (1 << 20)] * 150}))
    shards = Dataset(tmp_path).shards()
    assert [pq.read_metadata(s).num_rows for s in shards] == [64, 64, 22]
