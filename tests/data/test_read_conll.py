"""CoNLL files: sentences as rows; what has no tag is set aside with its sentence."""

from __future__ import annotations

import collections

import pytest

from loomwork.core.errors import InputError
from loomwork.data.read import read
from tests.data.read_rows import reasons, rows_of

COUNTS = {  # of the paper's table: sentences, tokens
    "wnut17train.conll": (3394, 62730),
    "emerging.dev.conll": (1009, 15733),
    "emerging.test.annotated": (1287, 23394),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_known_counts_of_wnut_17(name, test_data, run_step):
    data, card = run_step(read, path=test_data / "ner" / "wnut17" / name, reader="conll")
    rows = rows_of(data)
    assert (len(rows), sum(len(r["tokens"]) for r in rows)) == COUNTS[name]
    assert card.metrics["rows_dropped"] == 0
    if name == "emerging.test.annotated":
        tags = collections.Counter(t[0] for r in rows for t in r["tags"])
        assert tags["B"] == 1079


def test_every_word_is_where_the_file_has_it(test_data, run_step):
    file = test_data / "ner" / "wnut17" / "emerging.dev.conll"
    data, _ = run_step(read, path=file)  # the extension says how it is read
    expected = [tuple(line.split("\t")) for line in file.read_text().split("\n") if line.strip()]
    assert [pair for r in data.rows() for pair in zip(r["tokens"], r["tags"], strict=True)] == expected


def test_columns_by_spaces_and_documents(tmp_path, run_step):
    begin = "-DOCSTART- -X- O O"
    text = f"{begin}\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n{begin}\r\n\r\nPeter NNP B-NP B-PER\r\n"
    (tmp_path / "a.conll").write_bytes(text.encode())
    data, _ = run_step(read, path=tmp_path)
    rows = [{k: r[k] for k in ("tokens", "tags", "document", "source")} for r in rows_of(data)]
    assert rows == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"], "document": 1, "source": "a.conll:3"},
        {"tokens": ["Peter"], "tags": ["B-PER"], "document": 2, "source": "a.conll:8"},
    ]


def test_a_sentence_with_a_bad_line_is_set_aside_whole(tmp_path, run_step):
    good = b"fine\tO\n\n"
    bad = b"Berlin\tB-LOC\nwithout\n\n" + b"\tO\n\n" + b"x\t \n\n" + b"caf\xe9 \xff\xfe\x80\tO\n\n"
    (tmp_path / "a.conll").write_bytes(good + bad + good * 2)
    data, card = run_step(read, path=tmp_path, encoding="utf-8")
    assert [r["tokens"] for r in rows_of(data)] == [["fine"]] * 3
    assert reasons(data) == [
        ("a.conll:4", "no word and tag"),
        ("a.conll:6", "no word and tag"),
        ("a.conll:8", "no word and tag"),
        ("a.conll:10", "not UTF-8"),
    ]
    assert rows_of(data, "dropped")[0]["text"] == "Berlin\tB-LOC\nwithout"
    assert card.metrics["dropped: no word and tag"] == 3


def test_a_sentence_that_never_ends_is_set_aside(tmp_path, run_step):
    (tmp_path / "a.conll").write_text("a\tO\n" * 400 + "\nb\tO\n")
    data, _ = run_step(read, path=tmp_path, max_row_bytes=200)
    assert [r["tokens"] for r in rows_of(data)] == [["b"]]
    assert reasons(data) == [("a.conll:1", "too large")]


def test_a_file_of_something_else_is_refused(tmp_path, run_step):
    (tmp_path / "a.conll").write_text("A text without any tags.\nWord\n")
    with pytest.raises(InputError, match="no word and tag"):
        run_step(read, path=tmp_path / "a.conll")
