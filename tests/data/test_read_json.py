"""JSON files that are JSON lines, and what stands beside the rows of a JSON document."""

from __future__ import annotations

import gzip
import json

import pytest

from loomwork.data.read import read
from loomwork.data.readers import SourceFile
from loomwork.data.readers import json as json_reader
from tests.data.read_rows import reasons, rows_of, texts

LINES = (
    '{"text": "one", "n": 1}\r\n\n{"text": "two"}\n{"text": "cut\n"three"\n3\n{"text": "' + "x" * 500 + '"}\n{"n": 4}'
)


@pytest.mark.parametrize("name", ["c4-train.00000-of-01024.json.gz", "a.json"])
def test_json_lines_in_a_json_file_are_read_as_json_lines(name, tmp_path, run_step):
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(f"\n  {LINES}".encode()))
    found, card = run_step(read, path=tmp_path / name, max_row_bytes=200)
    rows = [(r["source"].removeprefix(f"{name}:"), r["text"], r["n"]) for r in rows_of(found)]
    assert rows == [("2", "one", 1), ("4", "two", None), ("6", "three", None), ("9", None, 4)]
    faults = [(f"{name}:{line}", why) for line, why in ((5, "not JSON"), (7, "not an object"), (8, "too large"))]
    assert reasons(found) == faults
    assert card.metrics["rows_dropped"] == 3


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a",\n "deep": {"b": [{"c": 1},\n{"c": 2}]}}\n\n',
        '\n{"text": "a", "deep": {"b": [{"c": 1}, {"c": 2}]}}\n \n',
        '{\n"text": "a"\n,\n"deep":\n{"b": [{"c": 1}\n,\n{"c": 2}\n]\n}\n}',
    ],
)
def test_one_document_on_any_lines_is_one_row(content, tmp_path, run_step):
    (tmp_path / "a.json").write_text(content)
    found, _ = run_step(read, path=tmp_path)
    (row,) = rows_of(found)
    assert row == {"text": "a", "deep": {"b": [{"c": 1}, {"c": 2}]}, "source": "a.json:1"}


@pytest.mark.parametrize(
    "content", ['{"a": 1}\n}', '{"a": 1}}\n{"a": 2}', '{"a": 1}\nnothing', '{"a": 1} {"a": 2}\n{"a": 3}']
)
def test_a_broken_document_keeps_its_message(content, tmp_path, run_step):
    (tmp_path / "a.json").write_text(content)
    (tmp_path / "b.jsonl").write_text('{"a": 1}')
    found, _ = run_step(read, path=tmp_path)
    (dropped,) = rows_of(found, "dropped")
    assert dropped["reason"].startswith("not JSON: Extra data: line ")
    assert dropped["text"] == content


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 20])
def test_lines_are_known_wherever_a_block_ends(block, tmp_path, monkeypatch):
    monkeypatch.setattr(json_reader, "BLOCK_BYTES", block)
    (tmp_path / "a.json").write_text('{"text": "één"}\n\n\n{"text": "two"}\n', "utf-8")
    chunks = list(json_reader.read(SourceFile(tmp_path / "a.json", ".json")))
    tables = [chunk.rows if isinstance(chunk.rows, list) else chunk.rows.to_pylist() for chunk in chunks]
    assert [row["text"] for table in tables for row in table] == ["één", "two"]
    assert [place for chunk in chunks for place in chunk.places] == [1, 4]


def test_lines_are_streamed(tmp_path):
    size, read_bytes = 40_000, []
    (tmp_path / "a.json").write_text("".join(f'{{"text": "{"word " * 100}{n}"}}\n' for n in range(size)))

    def opened():
        stream = (tmp_path / "a.json").open("rb")
        plain, stream = stream, type("Counted", (), {"close": stream.close, "read": None})()
        stream.read = lambda n: read_bytes.append(n) or plain.read(n)
        return stream

    found = json_reader.read(SourceFile(tmp_path / "a.json", ".json", opener=opened))
    assert len(next(found).rows) > 1000
    assert sum(read_bytes) < 3 << 20 < (tmp_path / "a.json").stat().st_size
    assert sum(len(chunk.rows) for chunk in found) < size


def test_a_damaged_archive_gives_the_lines_before_the_damage(tmp_path, run_step):
    packed = gzip.compress(b'{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "a.json.gz").write_bytes(packed[:-8])
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b'{"text": "only"}\n')[:-8])
    (tmp_path / "c.jsonl").write_text('{"text": "c"}')
    found, _ = run_step(read, path=tmp_path)
    assert texts(found)[:2] == [("a.json.gz:1", "one"), ("a.json.gz:2", "two")]
    assert {source for source, _ in reasons(found)} == {"a.json.gz", "b.json.gz"}


def test_what_stands_beside_the_rows_is_in_every_row_or_counted(tmp_path, run_step):
    document = {"version": "1.0", "licence": "MIT", "n": 3, "data": [{"a": 1}, {"a": 2, "licence": "own"}]}
    more = {"info": {"by": "me"}, "tags": ["x"], "a": 0, "none": None, "empty": [], "long": "x" * 5000}
    (tmp_path / "a.json").write_text(json.dumps(document | more))
    found, card = run_step(read, path=tmp_path)
    assert rows_of(found) == [
        {"a": 1, "version": "1.0", "licence": "MIT", "n": 3, "source": "a.json:1"},
        {"a": 2, "version": "1.0", "licence": "own", "n": 3, "source": "a.json:2"},
    ]
    assert card.metrics["dropped: beside the rows"] == 1
    (dropped,) = rows_of(found, "dropped")
    assert (dropped["source"], dropped["reason"]) == (
        "a.json",
        "beside the rows: info, tags, long, a, which no row has",
    )
    assert json.loads(dropped["text"]) == {"info": {"by": "me"}, "tags": ["x"], "long": "x" * 5000, "a": 0}
