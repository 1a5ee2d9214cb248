"""Bad input: a counted row or a clear message, and the rest goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.files import digest_files
from loomwork.core.step import Files
from loomwork.data.read import read
from loomwork.data.readers import SourceFile, json_lines
from loomwork.data.readers import csv as csv_reader
from loomwork.data.readers import json as json_reader
from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers._unpacked import Limits
from tests.data.read_rows import reasons, rows_of, texts

LONG = {
    "a.jsonl": b'{"text": "one"}\n{"text": "' + b"x" * 5000 + b'"}\n{"text": "two"}\n',
    "a.csv": b"text\none\n" + b"x" * 5000 + b"\ntwo\n",
    "a.tsv": b"text\none\n" + b"x" * 5000 + b"\ntwo\n",
    "a.json": b'[{"text": "one"}, {"text": "' + b"x" * 5000 + b'"}, {"text": "two"}]',
    "a.txt": b"one\n" + b"x" * 5000 + b"\ntwo\n",
}


@pytest.mark.parametrize("name", LONG)
def test_a_row_that_is_too_large_is_set_aside_and_the_next_is_read(name, tmp_path, run_step):
    (tmp_path / name).write_bytes(LONG[name])
    place = 3 if name.endswith("sv") else 2
    data, card = run_step(read, path=tmp_path / name, text_unit="line", max_row_bytes=1000)
    assert [text for _, text in texts(data)] == ["one", "two"]
    assert reasons(data) == [(f"{name}:{place}", "too large")]
    assert len(rows_of(data, "dropped")[0]["text"]) <= 2000
    assert card.metrics["dropped: too large"] == 1
    whole, _ = run_step(read, path=tmp_path / name, text_unit="line")
    assert len(rows_of(whole)) == 3


def peak_megabytes(script: str) -> float:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def read_in_a_process(path, out, **more) -> float:
    out.mkdir()
    call = f"read(path={str(path)!r}, out=Path({str(out)!r}), **{more!r})"
    return peak_megabytes(f"from pathlib import Path; from loomwork.data.read import read; {call}; {PEAK}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.json"])
def test_a_line_of_a_gigabyte_does_not_fill_the_memory(name, tmp_path):
    begin = {
        "a.jsonl": b'{"text": "one"}\n{"text": "',
        "a.csv": b"text\none\n",
        "a.txt": b"one\n",
        "a.json": b'[{"text": "',
    }
    (tmp_path / "first.jsonl").write_bytes(b'{"text": "first"}\n')
    with (tmp_path / name).open("wb") as file:
        file.write(begin[name])
        for _ in range(1024):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"text": "two"}\n' if name == "a.jsonl" else b"\ntwo\n")
    peak = read_in_a_process(tmp_path, tmp_path.parent / f"out-{name}", text_unit="line")
    assert peak < 1500


def test_bytes_that_are_zero_are_counted_or_kept(tmp_path, run_step):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "o\0ne"}\n{"text": "t\\u0000wo"}\n\0\0\0\n{"text": "three"}\n')
    (tmp_path / "b.csv").write_bytes(b"text\nfo\0ur\n")
    (tmp_path / "c.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4)
    data, _ = run_step(read, path=tmp_path)
    assert texts(data) == [("a.jsonl:2", "t\0wo"), ("a.jsonl:4", "three"), ("b.csv:2", "fo\0ur")]
    assert reasons(data) == [("a.jsonl:1", "not JSON"), ("a.jsonl:3", "not JSON"), ("c.txt", "not UTF-8")]


@pytest.mark.usefixtures("values_are_few")
def test_files_of_different_columns_and_types_go_together_as_far_as_they_can(tmp_path, run_step):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "a", "more": [1]}\n{"id": 2.5, "text": "b"}\n')
    mixed = [{"id": "x7", "text": "c", "label": "yes"}, {"id": None, "text": "d", "label": "no"}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mixed))
    pq.write_table(pa.table({"id": pa.array([3], pa.int8()), "text": ["e"], "more": [[2.5]]}), tmp_path / "c.parquet")
    pq.write_table(pa.table({"id": [b"raw"], "text": ["f"]}), tmp_path / "d.parquet")
    data, card = run_step(read, path=tmp_path)
    assert [(r["id"], r["text"], r["label"], r["more"]) for r in rows_of(data)] == [
        (1.0, "a", None, [1.0]),
        (2.5, "b", None, None),
        (None, "d", "no", None),
        (3.0, "e", None, [2.5]),
    ]
    assert reasons(data) == [("b.jsonl:1", "another type"), ("d.parquet:1", "another type")]
    assert json.loads(rows_of(data, "dropped")[0]["text"]) == mixed[0]
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == 6


def test_not_a_number_is_kept_as_such(tmp_path, run_step):
    (tmp_path / "a.jsonl").write_text('{"n": 1.5}\n{"n": NaN}\n{"n": -Infinity}\n{"n": 1e999}\n')
    data, _ = run_step(read, path=tmp_path / "a.jsonl")
    assert [str(r["n"]) for r in rows_of(data)] == ["1.5", "nan", "-inf", "inf"]


def test_damaged_tables_are_counted(tmp_path, run_step):
    table = pa.table({"text": [os.urandom(20).hex() for _ in range(50_000)]})
    pq.write_table(table, tmp_path / "cut.parquet", row_group_size=1000)
    whole = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    holed = bytearray(whole)
    holed[len(whole) // 2 : len(whole) // 2 + 4000] = os.urandom(4000)
    (tmp_path / "holed.parquet").write_bytes(holed)
    (tmp_path / "empty.parquet").write_bytes(b"")
    feather.write_feather(table, tmp_path / "cut.arrow", chunksize=1000)
    (tmp_path / "cut.arrow").write_bytes((tmp_path / "cut.arrow").read_bytes()[:-500])
    (tmp_path / "z.txt").write_text("goes on")
    data, card = run_step(read, path=tmp_path)
    assert sorted(reasons(data)) == [
        (f"{name}", "damaged file") for name in ("cut.arrow", "cut.parquet", "empty.parquet", "holed.parquet")
    ]
    assert texts(data)[-1] == ("z.txt", "goes on")
    assert card.metrics["dropped: damaged file"] == 4


def test_arrow_files_streams_and_feather(tmp_path, run_step):
    table = pa.table({"text": ["a", "b"], "kind": pa.array(["x", "y"]).dictionary_encode()})
    feather.write_feather(table, tmp_path / "a.feather")
    with pa.ipc.new_file(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(tmp_path / "c.arrows", table.schema) as writer:
        writer.write_table(table)
    data, _ = run_step(read, path=tmp_path)
    files = ("a.feather", "b.arrow", "c.arrows")
    assert texts(data) == [(f"{f}:{i}", t) for f in files for i, t in enumerate("ab", 1)]
    assert {r["kind"] for r in rows_of(data)} == {"x", "y"}


def test_a_file_that_vanishes_while_it_is_listed_is_counted(tmp_path, run_step, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "x"}\n')
    original = json_lines.read

    def read_and_remove(file):  # somebody else's clean-up, between listing and reading
        (tmp_path / "b.jsonl").unlink(missing_ok=True)
        yield from original(file)

    monkeypatch.setattr(json_lines, "read", read_and_remove)
    data, _ = run_step(read, path=tmp_path)
    assert texts(data) == [("a.jsonl:1", "x"), ("c.jsonl:1", "x")]
    assert reasons(data) == [("b.jsonl", "unreadable file")]


def test_a_file_that_is_cut_while_it_is_read_keeps_what_was_read(tmp_path, run_step):
    lines = b"".join(b'{"text": "%06d"}\n' % i for i in range(400_000))
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines)
    chunks = json_lines.read(SourceFile(path, ".jsonl"))
    rows = len(next(chunks).rows)
    os.truncate(path, 3_000_007)
    rest = list(chunks)
    rows += sum(len(c.rows) for c in rest)
    faults = [f for c in rest for f in c.faults]
    assert 100_000 < rows < 400_000
    assert [f.reason.split(":")[0] for f in faults] == ["not JSON"]


def test_readers_and_encodings_can_be_chosen(tmp_path, run_step):
    (tmp_path / "a.log").write_bytes('{"text": "žlutý"}\n'.encode("cp1250"))
    data, _ = run_step(read, path=tmp_path / "a.log", reader="json_lines", encoding="cp1250")
    assert rows_of(data) == [{"text": "žlutý", "source": "a.log:1", "encoding": "cp1250"}]
    data, _ = run_step(read, path=tmp_path / "a.log", reader="text", encoding="cp1252")
    assert rows_of(data)[0]["text"] == '{"text": "žlutý"}\n'  # these letters are the same in both
    (tmp_path / "b.csv").write_bytes(b"a;b\n1;x,y\n")
    (tmp_path / "c.csv").write_bytes("name;place\nJosé;Málaga\nÁngel;Cádiz\n".encode("cp1252"))
    (tmp_path / "d.md").write_bytes(b"plain " * 300_000 + "# Déjà vu, très bien, où êtes-vous".encode("cp1252"))
    data, _ = run_step(read, path=tmp_path / "[bcd].*")
    rows = rows_of(data)
    assert (rows[0]["a"], rows[0]["b"], rows[0]["encoding"]) == (1, "x,y", None)
    assert [(r["name"], r["place"], r["encoding"]) for r in rows[1:3]] == [
        ("José", "Málaga", "cp1252"),
        ("Ángel", "Cádiz", "cp1252"),
    ]
    assert rows[3]["text"].endswith("# Déjà vu, très bien, où êtes-vous")
    assert rows[3]["encoding"] == "cp1252"


def test_a_text_with_some_bytes_of_another_encoding_is_read(test_data, tmp_path, run_step):
    data, _ = run_step(read, path=test_data / "lm/nltk_webtext/wine.txt")
    (row,) = rows_of(data)
    assert row["encoding"] == "utf-8+cp1252"
    assert "not muchover £20. " in row["text"]
    whole = (test_data / "lm/nltk_webtext/wine.txt").read_bytes()
    assert row["text"].encode() == whole.replace(b" \xa320", " £20".encode())  # and nothing else is changed
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"plain words " * 9 + "naïve, déjà".encode() + b" caf\xe9s")
    (folder / "b.jsonl").write_bytes(b'{"text": "ASCII"}\n' * 9 + b'{"text": "\xe2\x82\xac5, \xe2\x82\xac6, \xa37"}\n')
    data, _ = run_step(read, path=folder)
    assert [r["text"][-10:] for r in rows_of(data) if r["text"] != "ASCII"] == ["déjà cafés", "€5, €6, £7"]


def test_a_late_stray_byte_costs_no_text(tmp_path, run_step):
    megabyte = "A naïve guest pays a lot here for a room with a view of the sea. ".encode() * 20_000
    (tmp_path / "a.txt").write_bytes(megabyte + b"caf\xe9, " + megabyte)
    (tmp_path / "b.jsonl").write_bytes(
        b'{"text": "a sch\xc3\xb6n room with a view"}\n' * 70_000 + b'{"text": "caf\xe9"}\n'
    )
    (tmp_path / "c.txt").write_bytes(megabyte + "в Москве ".encode() * 90_000 + b"\xff " + megabyte)
    data, _ = run_step(read, path=tmp_path)
    (whole, *lines, damaged) = rows_of(data)
    assert whole["encoding"] == "utf-8+cp1252"
    assert whole["text"] == megabyte.decode() + "café, " + megabyte.decode()
    assert [len(lines), lines[-1]["text"], lines[-1]["encoding"]] == [70_001, "café", "utf-8+cp1252"]
    assert damaged["encoding"] == "utf-8, damaged"  # c.txt: no character of cp1252
    assert damaged["text"] == megabyte.decode() + "в Москве " * 90_000 + "\ufffd " + megabyte.decode()
    assert reasons(data) == []


def test_a_few_wrong_bytes_and_a_cut_end_cost_no_text(tmp_path, run_step):
    german, chinese = "Schöne Grüße aus Köln. ".encode() * 200, "你好，世界。".encode() * 300
    (tmp_path / "a.txt").write_bytes(german[:2000] + b"\xff" + german[2000:])
    (tmp_path / "b.txt").write_bytes(chinese[:-1])
    data, _ = run_step(read, path=tmp_path)
    first, second = rows_of(data)
    assert (first["text"].count("\ufffd"), first["encoding"]) == (1, "utf-8, damaged")
    assert second["text"] == ("你好，世界。" * 300)[:-1] + "\ufffd"


def test_texts_with_escapes_are_read_by_their_encoding(tmp_path, run_step):
    text = "こんにちは、世界。これは手紙です。\n" * 5
    (tmp_path / "a.txt").write_bytes(text.encode("iso2022_jp"))
    data, _ = run_step(read, path=tmp_path)
    assert [r["text"] for r in rows_of(data)] == [text]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_a_file_whose_name_is_not_utf8_is_read(tmp_path, run_step):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xffa.txt")).write_text("one")
    (tmp_path / "b.txt").write_text("two")
    data, _ = run_step(read, path=tmp_path)
    assert sorted(r["text"] for r in rows_of(data)) == ["one", "two"]
    assert digest_files(tmp_path, Files(), tmp_path / "digests")


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0\x1b\ufeff", codec="utf-8")), st.integers(1, 9))
def test_blocks_of_any_size_hold_whole_characters_and_the_same_text(text, size):
    stream = Utf8Stream(io.BytesIO(text.encode()), None, lambda name: None)
    assert "".join(block.decode() for block in stream.blocks(size)) == text


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_wide_encodings_and_marks(codec, tmp_path, run_step):
    (tmp_path / "a.txt").write_bytes("Grüße an alle\n".encode(codec))
    (tmp_path / "b.csv").write_bytes("text,n\nGrüße,1\n".encode(codec))
    (tmp_path / "c.jsonl").write_bytes('{"text": "Grüße"}\n'.encode(codec))
    (tmp_path / "d.json").write_bytes('[{"text": "Grüße"}]'.encode(codec))
    data, _ = run_step(read, path=tmp_path)
    assert [text for _, text in texts(data)] == ["Grüße an alle\n", "Grüße", "Grüße", "Grüße"]
    assert reasons(data) == []


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
lines = st.lists(
    st.dictionaries(st.sampled_from("abcd"), values, min_size=1).map(json.dumps).map(str.encode)
    | st.sampled_from(
        [
            b"",
            b"{}",
            b"[1]",
            b'{"a": 1} {"b": 2}',
            b'{"a":',
            b"2}",
            b'{"a": 1, "a": 2}',
            b'"s"',
            b'{"a": "\xff"}',
            b"\0",
        ]
    )
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), scalars, min_size=1), min_size=1),
    lines,
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_arrow_reads_lines_as_python_does_or_not_at_all(first, content, end):
    """The fast way through JSON lines gives the rows, values and places that the slow way gives."""
    schema = json_lines._columns(first, None)
    block = end.join([*content, b""]) if content else b"\n"
    slow = list(json_lines._lines(block, 1, 1 << 20))
    fast = json_lines._by_arrow(block, schema) if schema is not None else None
    if fast is None:
        return
    rows = [row for _, row in slow]
    assert [place for place, _ in slow] == list(range(1, len(fast) + 1))
    got = fast.to_pylist()
    for row, other in zip(rows, got, strict=True):
        assert repr({k: _plain(row.get(k), schema.field(k).type) for k in other}) == repr(other)


def _plain(value, kind):
    return float(value) if pa.types.is_floating(kind) and isinstance(value, int) else value


fields = st.text(st.sampled_from('abcdé0123456789.-+eE ,;"\t\r\n'), max_size=6)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(fields, min_size=n, max_size=n), max_size=12)))
def test_csv_gives_what_was_written(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    width = len(records[0]) if records else 1
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow([f"c{i}," for i in range(width)])
    writer.writerows(records)
    path.write_bytes(buffer.getvalue().encode())
    chunks = list(csv_reader.read(SourceFile(path, ".csv")))
    assert not any(c.faults for c in chunks)
    got = [list(row.values()) for c in chunks if len(c.rows) for row in c.rows.to_pylist()]
    assert len(got) == len(records)
    for row, other in zip(records, got, strict=True):
        for text, value in zip(row, other, strict=True):
            assert (value is None and text == "") or (value == text if isinstance(value, str) else value == float(text))


def test_a_large_csv_is_read_twice_with_the_same_result(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("n,text\n" + "".join(f"{i},t{i}\n" for i in range(30_000)) + "1.5,last\nshort\n")
    once = list(csv_reader.read(SourceFile(path, ".csv")))
    monkeypatch.setattr(csv_reader, "KEPT_BYTES", 1000)
    twice = list(csv_reader.read(SourceFile(path, ".csv")))
    assert [(c.rows, list(c.places), c.faults) for c in once] == [(c.rows, list(c.places), c.faults) for c in twice]
    assert pa.types.is_float64(once[0].rows.schema.field("n").type)
    assert [f.place for c in once for f in c.faults] == [30_003]


def test_a_large_array_is_read_with_bounded_memory(tmp_path):
    item = json.dumps({"text": "word " * 2000})
    with (tmp_path / "a.json").open("w") as file:
        file.write("[" + item)
        for _ in range(8000):
            file.write("," + item)
        file.write("]")
    assert (tmp_path / "a.json").stat().st_size > 80e6
    chunks = rows = 0
    for chunk in json_reader.read(SourceFile(tmp_path / "a.json", ".json", limits=Limits(row_bytes=1 << 20))):
        chunks += 1
        rows += len(chunk.rows)
        assert sum(len(r["text"]) for r in chunk.rows) < 64 << 20
    assert (rows, chunks > 1) == (8001, True)
