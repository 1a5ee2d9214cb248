"""Files made to end a read, or never to let it end, are set aside; the files beside them are read."""

from __future__ import annotations

import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loomwork.core.dataset import DatasetWriter
from loomwork.core.errors import InputError
from loomwork.data.read import read
from loomwork.data.read_sql import read_sql
from loomwork.data.readers import DEEPEST, too_deep
from loomwork.data.readers.pdf import mended
from tests.data.read_rows import reasons, rows_of, texts


def nested(depth: int) -> str:
    """An object with so many values within one another."""
    return '{"text": ' + '{"a": ' * (depth - 1) + "1" + "}" * depth


def test_the_depth_of_values_is_counted():
    assert [too_deep(json.loads(nested(n))) for n in (1, DEEPEST, DEEPEST + 1)] == [False, False, True]
    assert too_deep({"a": [[]] * 3}) is False


@pytest.mark.parametrize("depth", [33, 100, 200, 250, 600, 100_000])
def test_rows_that_are_nested_too_deeply_are_set_aside(depth, tmp_path, run_step):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "one"}\n' + nested(depth) + '\n{"text": "three"}\n')
    (folder / "b.json").write_text('[{"text": "first"}, ' + nested(depth) + "]")
    (folder / "c.txt").write_text("good")
    data, _ = run_step(read, path=folder)
    assert texts(data) == [("a.jsonl:1", "one"), ("a.jsonl:3", "three"), ("b.json:1", "first"), ("c.txt", "good")]
    said = reasons(data)
    assert [source for source, _ in said] == ["a.jsonl:2", "b.json:2"]
    assert {reason for _, reason in said} <= {"nested too deeply", "not JSON"}
    assert depth > 600 or {reason for _, reason in said} == {"nested too deeply"}


def test_deep_columns_of_arrow_and_parquet_are_set_aside(tmp_path, run_step):
    folder = tmp_path / "in"
    folder.mkdir()
    table = pa.table({"text": [json.loads(nested(40))["text"]]})
    pq.write_table(table, folder / "a.parquet")
    with pa.OSFile(str(folder / "b.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    (folder / "c.txt").write_text("good")
    data, _ = run_step(read, path=folder)
    assert texts(data) == [("c.txt", "good")]
    dropped = rows_of(data, "dropped")
    assert [r["source"] for r in dropped] == ["a.parquet", "b.arrow"]
    assert all("'text' is nested too deeply" in r["reason"] for r in dropped)


def test_columns_named_like_ours_and_like_their_new_names_are_kept(tmp_path, run_step):
    row = {"text": "x", "source": "mine", "given_source": "theirs", "row_id": "7", "given_given_source": "first"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    data, _ = run_step(read, path=path)
    assert rows_of(data) == [
        {
            "text": "x",
            "given_given_given_source": "mine",
            "given_source": "theirs",
            "given_row_id": "7",
            "given_given_source": "first",
            "source": "a.jsonl:1",
        }
    ]


def test_rows_that_are_dropped_keep_their_own_reasons(tmp_path):
    row = {"text": "x", "reason": "mine", "given_reason": "theirs"}
    with DatasetWriter(tmp_path / "out") as writer:
        writer.drop([row], "ours")
    [file] = (tmp_path / "out" / "dropped").glob("*.parquet")
    assert pq.read_table(file).to_pylist() == [
        {"text": "x", "given_given_reason": "mine", "given_reason": "theirs", "reason": "ours"}
    ]


def test_a_page_of_too_many_elements_is_set_aside(tmp_path, run_step):
    """Its text would take half a minute, and a page of 64 MB hours."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.html").write_text("<html><body><p>" + "<b>word</b> " * 200_000 + "</p></body></html>")
    (folder / "b.txt").write_text("good")
    data, _ = run_step(read, path=folder)
    assert texts(data) == [("b.txt", "good")]
    assert reasons(data) == [("a.html", "too many elements in one")]


def test_words_of_pdf_pages_are_joined_in_one_pass():
    """A search from each character of a long word would take hours."""
    long = "a" * 1_000_000
    assert mended(long) == long
    assert mended("well-known and well-\nknown, ex-\nample") == "well-known and well-known, example"


def test_a_database_that_is_not_there_is_not_made(tmp_path, run_step):
    path = tmp_path / "typo.db"
    with pytest.raises(InputError, match=r"no such SQLite file: typo\.db"):
        run_step(read_sql, url=f"sqlite:///{path}", query="SELECT 1 AS a")
    assert not path.exists()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.execute("INSERT INTO t VALUES (5)")
    data, _ = run_step(read_sql, url=f"sqlite:///{path}", query="SELECT a FROM t")
    assert [r["a"] for r in rows_of(data)] == [5]
