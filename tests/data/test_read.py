"""Every format gives its rows with their places; what cannot be read is set aside, never lost in silence."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.data.read import read
from loomwork.data.readers import SourceFile, readers
from loomwork.data.readers import json as json_reader
from tests.data.read_rows import rows_of, zipped


def test_each_format_gives_rows_with_their_source(tmp_path, run_step):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("one\n\ntwo")
    (folder / "b.md").write_bytes(b"\xef\xbb\xbf# Title")
    (folder / "c.jsonl").write_text('{"text": "x", "n": 1}\n\n{"text": "y", "n": 2.5}\n"z"\n')
    (folder / "deep/d.json").write_text('[{"text": "p"}, {"text": "q"}]')
    (folder / "e.csv").write_text('text,n\n"a, ""b""\nc",3\nd,\n')
    (folder / "f.tsv").write_text('text\tn\n"open\t4\n')
    pq.write_table(pa.table({"text": ["r", "s"], "n": [5, 6]}), folder / "g.parquet")
    with gzip.open(folder / "h.jsonl.gz", "wt") as stream:
        stream.write('{"text": "zipped"}\n')
    data, card = run_step(read, path=folder)
    assert [(r["source"], r["text"], r["n"]) for r in rows_of(data)] == [
        ("a.txt", "one\n\ntwo", None),
        ("b.md", "# Title", None),
        ("c.jsonl:1", "x", 1),
        ("c.jsonl:3", "y", 2.5),
        ("c.jsonl:4", "z", None),
        ("deep/d.json:1", "p", None),
        ("deep/d.json:2", "q", None),
        ("e.csv:2", 'a, "b"\nc', 3),
        ("e.csv:4", "d", None),
        ("f.tsv:2", '"open', 4),
        ("g.parquet:1", "r", 5),
        ("g.parquet:2", "s", 6),
        ("h.jsonl.gz:1", "zipped", None),
    ]
    assert card.metrics["files"] == 8
    only, _ = run_step(read, path=folder / "*.jsonl")
    assert [r["source"] for r in rows_of(only)] == ["c.jsonl:1", "c.jsonl:3", "c.jsonl:4"]
    single, _ = run_step(read, path=folder / "e.csv")
    assert [r["source"] for r in rows_of(single)] == ["e.csv:2", "e.csv:4"]


def test_text_by_paragraph_and_line(tmp_path, run_step):
    (tmp_path / "a.txt").write_text("one\ntwo\n\n\nthree\n")
    for unit, expected in (
        ("paragraph", [("a.txt:1", "one\ntwo"), ("a.txt:5", "three")]),
        ("line", [("a.txt:1", "one"), ("a.txt:2", "two"), ("a.txt:5", "three")]),
    ):
        data, _ = run_step(read, path=tmp_path / "a.txt", text_unit=unit)
        assert [(r["source"], r["text"]) for r in rows_of(data)] == expected


NO_TEXT = "é".encode() * 9 + b"caf\xe9 \xff\x81"
BROKEN = {
    "cut.jsonl": (b'{"text": "kept"}\n{"text": "cu', "cut.jsonl:2", "not JSON"),
    "bytes.jsonl": (NO_TEXT + b'\n{"text": "kept"}\n', "bytes.jsonl:1", "not UTF-8"),
    "twice.jsonl": (b'{"text": "a", "text": "b"}\n{"text": "kept"}\n', "twice.jsonl:1", "repeated key"),
    "twice.json": (b'[{"text": "kept"}, {"text": {"a": 1, "a": 2}}, {"text": "kept"}]', "twice.json:2", "repeated key"),
    "lone.jsonl": (b'{"text": "\\ud800"}\n{"text": "kept"}\n', "lone.jsonl:1", "a text with half a surrogate pair"),
    "number.jsonl": (b'{"text": "kept"}\n3\n', "number.jsonl:2", "not an object"),
    "huge.jsonl": (
        b'{"text": "kept"}\n{"big": 99999999999999999999999}\n',
        "huge.jsonl:2",
        "an integer beyond 64 bits",
    ),
    "cut.json": (b'[{"text": "kept"}, {"text": "c', "cut.json:2", "not JSON"),
    "wrong.json": (b'[{"text": "kept"} {"text": "c"}]', "wrong.json:1", "not JSON"),
    "after.json": (b'[{"text": "kept"}] [', "after.json:2", "not JSON"),
    "latin.txt": (NO_TEXT, "latin.txt", "not UTF-8"),
    "short.csv": (b"text,n\nkept,1\nonly\n", "short.csv:3", "wrong number of fields"),
    "quote.csv": (b'text\nkept\n"open', "quote.csv:3", "not CSV"),
    "latin.csv": (b"text\n" + NO_TEXT + b"\nkept\n", "latin.csv:2", "not UTF-8"),
    "twice.csv": (b"text,text\na,b\n", "twice.csv:1", "bad header"),
    "odd.xyz": (b"?", "odd.xyz", "unknown format"),
    "bad.parquet": (b"PAR1", "bad.parquet", "damaged file"),
    "cut.jsonl.gz": (gzip.compress(b'{"text": "kept"}\n' * 9)[:-9], "cut.jsonl.gz", "damaged file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_set_aside_with_its_place(name, tmp_path, run_step):
    content, source, reason = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "aa.jsonl").write_text('{"text": "first"}\n')
    data, card = run_step(read, path=tmp_path)
    (dropped,) = rows_of(data, "dropped")
    assert (dropped["source"], dropped["reason"].split(":")[0]) == (source, reason)
    assert card.metrics[f"dropped: {reason}"] == 1 == card.metrics["rows_dropped"]
    texts = [r["text"] for r in rows_of(data)]
    assert texts[0] == "first"
    assert set(texts[1:]) <= {"kept"}
    assert ("kept" in texts) == ((b"kept" in content or name.endswith(".gz")) and name != "wrong.json")


@pytest.mark.usefixtures("values_are_few")
def test_what_no_column_can_hold_is_named_with_its_column(tmp_path, run_step):
    most = 2**63 - 1
    lines = ['{"a": [{"b": "\\udc00"}]}', '{"\\ud800": 1}', f'{{"n": {{"m": [{most + 1}]}}}}', f'{{"n": {-most - 2}}}']
    good = [f'{{"n": {most}}}', f'{{"n": {-most - 1}}}', '{"a": [{"b": "\\ud83d\\ude00"}], "n": 0}', '{"n": true}']
    (tmp_path / "a.jsonl").write_text("\n".join([*good[:3], *lines, good[3]]))
    data, card = run_step(read, path=tmp_path / "a.jsonl")
    assert [r["n"] for r in rows_of(data)] == [most, -most - 1, 0]
    why = [r["reason"] for r in rows_of(data, "dropped")]
    assert [w.split(":")[0] for w in why] == [
        *["a text with half a surrogate pair"] * 2,
        *["an integer beyond 64 bits"] * 2,
        "another type",
    ]
    columns = ["in 'a'", r"in '\ud800'", f"{most + 1} in 'n'", f"{-most - 2} in 'n'"]
    assert all(part in w for part, w in zip(columns, why[:4], strict=True))
    assert card.metrics["dropped: an integer beyond 64 bits"] == 2


def test_nothing_readable_is_refused(tmp_path, run_step):
    (tmp_path / "a.xyz").write_text("?")
    with pytest.raises(InputError, match="1 x unknown format"):
        run_step(read, path=tmp_path)
    with pytest.raises(InputError, match="no such file"):
        run_step(read, path=tmp_path / "nothing")
    with pytest.raises(InputError, match="no file matches"):
        run_step(read, path=tmp_path / "*.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing could be read"):
        run_step(read, path=tmp_path / "empty")


@pytest.mark.usefixtures("values_are_few")
def test_columns_keep_their_types_and_a_value_of_another_is_set_aside(tmp_path, run_step):
    lines = [{"n": 1, "m": {}}, {"n": "one"}, {"n": 2, "source": "mine", "m": {"k": ["v"]}}, {"n": None, "m": {"j": 1}}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data, _ = run_step(read, path=tmp_path / "a.jsonl")
    rows = rows_of(data)
    assert [(r["n"], r["given_source"], r["source"]) for r in rows] == [
        (1, None, "a.jsonl:1"),
        (2, "mine", "a.jsonl:3"),
        (None, None, "a.jsonl:4"),
    ]
    assert rows[1]["m"]["k"] == ["v"]
    (dropped,) = rows_of(data, "dropped")
    assert (dropped["source"], json.loads(dropped["text"])) == ("a.jsonl:2", {"n": "one"})


def test_csv_numbers_are_numbers_only_where_all_are(tmp_path, run_step):
    (tmp_path / "a.csv").write_text("whole,decimal,code,mixed,none\n1,0.5,007,3,\n-2,4,010,x,\n,1e3,100,,\n")
    data, _ = run_step(read, path=tmp_path / "a.csv")
    rows = rows_of(data)
    assert [r["whole"] for r in rows] == [1, -2, None]
    assert [r["decimal"] for r in rows] == [0.5, 4.0, 1000.0]
    assert [r["code"] for r in rows] == ["007", "010", "100"]
    assert [r["mixed"] for r in rows] == ["3", "x", ""]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), values, min_size=1, max_size=3), max_size=6), st.data())
def test_an_array_is_read_as_a_stream_whatever_the_block_size(tmp_path_factory, rows, data):
    text = json.dumps(rows, indent=data.draw(st.sampled_from([None, 1])), ensure_ascii=data.draw(st.booleans()))
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(text, "utf-8", errors="surrogatepass")
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    block = data.draw(st.integers(1, 40))
    before, json_reader.BLOCK_BYTES = json_reader.BLOCK_BYTES, block
    try:
        chunks = list(json_reader.read(SourceFile(path, ".json")))
    finally:
        json_reader.BLOCK_BYTES = before
    assert [row for chunk in chunks for row in chunk.rows] == rows
    assert not any(chunk.faults for chunk in chunks)


def test_real_files_are_read_whole(test_data, run_step):
    counts = {"tasks/gsm8k_test.jsonl": 1319, "tasks/HumanEval.jsonl.gz": 164, "instructions/alpaca_5000.json": 5000}
    for name, rows in counts.items():
        data, card = run_step(read, path=test_data / name)
        assert (card.metrics["rows"], card.metrics["rows_dropped"]) == (rows, 0)
        assert len(data.schema.names) >= 4
    _, card = run_step(read, path=test_data / "bias/crows_pairs_anonymized.csv")
    assert card.metrics["rows"] == 1508  # the paper's number of pairs


def test_a_reader_is_found_by_its_file():
    assert {".txt", ".md", ".jsonl", ".json", ".csv", ".tsv", ".parquet"} <= set(readers())


def test_a_text_without_an_extension_is_a_text(tmp_path, run_step):
    (tmp_path / "README").write_text("Read me first.", "utf-8")
    (tmp_path / "program").write_bytes(b"\x7fELF\x02\x01")
    (tmp_path / "nothing").write_bytes(b"")
    found, card = run_step(read, path=str(tmp_path))
    assert [(r["text"], r["source"]) for r in found.select("data").rows()] == [("Read me first.", "README")]
    assert card.metrics["rows_dropped"] == 2


def test_an_array_of_objects_is_read_through_the_object_around_it(tmp_path, run_step):
    (tmp_path / "a.json").write_text('{"version": 2, "data": [{"text": "one"}, {"text": "two"}]}')
    (tmp_path / "b.json").write_text('{"text": "three", "items": ["x", "y"]}')
    data, _ = run_step(read, path=tmp_path)
    assert [(r["source"], r["text"]) for r in rows_of(data)] == [
        ("a.json:1", "one"),
        ("a.json:2", "two"),
        ("b.json:1", "three"),
    ]


@pytest.mark.usefixtures("values_are_few")
def test_a_column_of_several_types_is_read_as_text_when_asked(tmp_path, run_step):
    ids = [7, "x7", [1, "é"]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": x, "n": n}) + "\n" for n, x in enumerate(ids, 1)))
    (tmp_path / "b.csv").write_text("id,n\n1,4\n02,5\n")
    (tmp_path / "c.csv").write_text("id,n\n1,6\n2,7\n")
    pq.write_table(pa.table({"id": [b"\xc3\xa9"], "n": [8]}), tmp_path / "d.parquet")
    zipped(tmp_path / "e.zip", in__csv=b"id,n\n3,9\n")
    _, card = run_step(read, path=tmp_path)
    assert any("as_text=[id]" in note for note in card.notes)
    data, card = run_step(read, path=tmp_path, as_text=["id"])
    assert {r["n"]: r["id"] for r in rows_of(data) if r["n"]} == {
        **{1: "7", 2: "x7", 3: '[1, "é"]'},
        **{4: "1", 5: "02", 6: "1", 7: "2", 8: "é", 9: "3"},
    }
    assert card.metrics["rows_dropped"] == 0
    with pytest.raises(InputError, match=r"(?s)no row has a column 'idd'.*'id'"):
        run_step(read, path=tmp_path, as_text=["idd"])


def test_a_column_read_as_text_is_one_beyond_the_rows_that_python_reads(tmp_path, run_step):
    lines = [json.dumps({"id": i if i % 9000 else f"x{i}", "n": i}) for i in range(20_000)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    data, _ = run_step(read, path=tmp_path / "a.jsonl", as_text=["id"])
    assert [r["id"] for r in rows_of(data)] == [str(i) if i % 9000 else f"x{i}" for i in range(20_000)]


FRONT = """---
title: On boats
authors: [Ann, {name: Bob}, [no, list]]
date: 2024-02-03
license: CC-BY-4.0
draft: true
---

# Boats

They float.
"""


def test_front_matter_of_markdown_gives_columns(tmp_path, run_step):
    (tmp_path / "a.md").write_text(FRONT)
    others = {
        "rule.md": "---\nnot: [closed\n---\ntext",
        "list.md": "---\n- a\n---\ntext",
        "date.md": "---\ndate: 2024-02-31\n---\ntext",
        "later.md": "text\n---\ntitle: x\n---\n",
        "only.md": "---\ntitle: x\n---\n",
        "python.md": "---\ntitle: !!python/object/apply:os.system [ls]\n---\ntext",
        "a.txt": FRONT,
    }
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    data, _ = run_step(read, path=tmp_path)
    found = {r.pop("source"): r for r in rows_of(data)}
    assert found.pop("a.md") == {
        "text": "# Boats\n\nThey float.\n",
        "front_matter": FRONT.split("---\n")[1],
        **{"title": "On boats", "author": "Ann", "date": "2024-02-03", "licence": "CC-BY-4.0"},
    }
    assert {name: row["text"] for name, row in found.items()} == others
    assert not any(row["title"] for row in found.values())
