"""Scores and labels beside the data: they stay with their rows through every verb of the writer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError


def new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def numbers(folder: Path, rows: int, shard_rows: int = 3) -> Dataset:
    with DatasetWriter(out := new(folder), shard_rows=shard_rows) as w:
        for i in range(rows):
            w.write([{"n": i}])
    return Dataset(out)


def labelled(data: Dataset, name: str, factor: int, skip: int = -1) -> Dataset:
    """The dataset with a sidecar whose values are n * factor; the shard number `skip` gets none."""
    with DatasetWriter(out := new(data.path.parent)) as w:
        for i, shard in enumerate(data.shards()):
            values = pq.read_table(shard)["n"].to_numpy() * factor
            if i == skip:
                w.share(shard)
            else:
                w.extend(shard, pl.DataFrame({name: values}), name)
    return Dataset(out)


def inodes(data: Dataset) -> list[int]:
    return [s.stat().st_ino for s in data.shards()]


def test_extend_shares_the_data_and_adds_columns(tmp_path):
    data = numbers(tmp_path, 7)
    once = labelled(data, "score", 2)
    twice = labelled(once, "lang-id", 3)
    assert inodes(twice) == inodes(data)
    assert [(r["n"], r["score"], r["lang-id"]) for r in twice.rows()] == [(i, 2 * i, 3 * i) for i in range(7)]
    assert [r["row_id"] for r in twice.rows()] == [r["row_id"] for r in data.rows()]
    assert list(twice.rows(["lang-id"])) == [{"lang-id": 3 * i} for i in range(7)]
    assert twice.parts == ["data"]
    assert twice.manifest["parts"]["data"] == data.manifest["parts"]["data"]
    assert len({Dataset(d.path).digest for d in (data, once, twice)}) == 3
    twice.require("score")
    again = labelled(twice, "score", 5)  # a new score takes the place of the old one
    assert [(r["score"], r["lang-id"]) for r in again.rows()] == [(5 * i, 3 * i) for i in range(7)]


def test_what_cannot_be_a_sidecar_is_refused(tmp_path):
    data = labelled(numbers(tmp_path, 2), "score", 2)
    (shard,) = data.shards()
    writer = DatasetWriter(tmp_path)
    with pytest.raises(InputError, match="'a/b'"):
        writer.extend(shard, pa.table({"a": [1, 2]}), "a/b")
    with pytest.raises(InputError, match="3 rows and 1 columns"):
        writer.extend(shard, pa.table({"a": [1, 2, 3]}), "a")
    with pytest.raises(InputError, match="column 'n', and so has the data"):
        writer.extend(shard, pa.table({"n": [1, 2]}), "a")
    with pytest.raises(InputError, match="column 'score', and so has the data"):
        writer.extend(shard, pa.table({"score": [1, 2]}), "a")
    with pytest.raises(ValueError, match="3 values in the mask"):
        writer.keep(shard, [True, True, True])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rows=st.integers(1, 14), skip=st.integers(-1, 5), shard_rows=st.integers(1, 5))
def test_labels_stay_with_their_rows(data, rows, skip, shard_rows):
    """Kept and dropped rows are the input rows, each with its labels; a whole shard is shared with its sidecars."""
    with tempfile.TemporaryDirectory() as folder:
        before = labelled(labelled(numbers(Path(folder), rows), "score", 2), "lang", 3, skip if rows > 3 else -1)
        masks = data.draw(st.lists(st.lists(st.none() | st.booleans(), min_size=3, max_size=3), min_size=5, max_size=5))
        with DatasetWriter(new(Path(folder)), shard_rows=shard_rows) as w:
            for shard, table, mask in zip(before.shards(), before.tables(), masks, strict=False):
                verb = data.draw(st.sampled_from(["keep", "share", "carry", "parts"]))
                if verb == "keep":
                    w.keep(shard, mask[: len(table)], [f"because: {i}" for i in range(len(table))])
                elif verb == "share":
                    w.share(shard)
                elif verb == "carry":
                    w.carry(table)
                else:
                    w.carry(table.slice(0, 1))
                    w.drop(table.slice(1), "rest")
        after = Dataset(w.out)
        expected = {r["n"]: r for r in before.rows()}
        got = [r for part in after.parts for r in after.select(part).rows()]
        assert sorted(r["n"] for r in got) == list(range(rows))
        assert sum(w.counts.values()) == rows
        assert sum(w.reasons.values()) == w.counts["dropped"]
        for row in got:
            row.pop("reason", None)
            assert {"lang": None} | row == expected[row["n"]]  # of a part of which no row has a label, it has no column
        for folder_of_labels in w.out.glob("*+*"):  # labels are beside the data, not in it
            part, _, name = folder_of_labels.name.partition("+")
            for file in folder_of_labels.iterdir():
                shard = w.out / part / file.name
                assert pq.read_schema(file).names == [name]
                assert pq.read_metadata(file).num_rows == pq.read_metadata(shard).num_rows
                assert name not in pq.read_schema(shard).names


def test_changed_rows_keep_their_labels_and_ids_do_not_depend_on_labels(tmp_path):
    data = numbers(tmp_path, 4)
    with DatasetWriter(new(tmp_path)) as w:
        for table in labelled(data, "score", 2).tables():
            w.write(table, origins=table["row_id"])
    after = Dataset(w.out)
    assert [r["score"] for r in after.rows()] == [0, 2, 4, 6]
    assert "score" not in pq.read_schema(after.shards()[0]).names
    assert [r["row_id"] for r in after.rows()] == [r["row_id"] for r in data.rows()]
    assert [r["origin_ids"] for r in after.rows()] == [[r["row_id"]] for r in data.rows()]


@pytest.mark.parametrize("verb", ["share", "keep", "extend"])
def test_forgotten_rows_go_with_their_labels(tmp_path, verb):
    data = labelled(numbers(tmp_path, 5), "score", 2)
    gone = frozenset(r["row_id"] for r in data.rows() if r["n"] == 1)
    with use_context(Context(forgotten=gone)), DatasetWriter(new(tmp_path)) as w:
        for shard in data.shards():
            rows = pq.read_metadata(shard).num_rows
            if verb == "share":
                w.share(shard)
            elif verb == "keep":
                w.keep(shard, [True] * rows)
            else:
                w.extend(shard, [{"x": 7}] * rows, "x")
    after = Dataset(w.out)
    assert [(r["n"], r["score"]) for r in after.rows()] == [(n, 2 * n) for n in (0, 2, 3, 4)]
    assert w.forgotten == 1
    if verb == "extend":
        assert [r["x"] for r in after.rows()] == [7] * 4


def test_a_column_called_reason_is_kept_beside_the_reason(tmp_path):
    with DatasetWriter(tmp_path) as w:
        w.drop(pa.table({"reason": ["mine"], "n": [1]}), "too short: 1 word")
    (row,) = Dataset(tmp_path, "dropped").rows()
    assert (row["given_reason"], row["reason"], w.reasons) == ("mine", "too short: 1 word", {"too short": 1})
