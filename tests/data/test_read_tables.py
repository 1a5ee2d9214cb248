"""CSV that is damaged or has no header, empty files and links: every line is a row or counted."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.data.read import read
from loomwork.data.readers import SourceFile
from loomwork.data.readers import csv as csv_reader
from tests.data.read_rows import reasons, rows_of

STRAY = {
    "unclosed": (9, '9,"an unclosed quote here'),
    "text after the quote": (19, '19,"quoted" and then more'),
    "last": (999, '999,"open'),
    "first": (0, '0,"open'),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", STRAY)
def test_a_stray_quote_costs_its_own_line(tmp_path, run_step, name, newline):
    at, stray = STRAY[name]
    lines = [f"{i},text {i}" for i in range(1000)]
    lines[at] = stray
    (tmp_path / "a.csv").write_text(newline.join(["id,text", *lines, ""]), newline="")
    data, card = run_step(read, path=tmp_path / "a.csv")
    assert [(r["id"], r["source"]) for r in rows_of(data)] == [(i, f"a.csv:{i + 2}") for i in range(1000) if i != at]
    (dropped,) = rows_of(data, "dropped")
    assert (dropped["source"], dropped["text"]) == (f"a.csv:{at + 2}", stray)
    assert dropped["reason"].startswith("not CSV: ")
    assert card.metrics["dropped: not CSV"] == 1


def test_a_stray_quote_is_found_over_many_blocks(tmp_path, run_step):
    lines = [f"{i},{'word ' * 20}" for i in range(40_000)]  # 4 MB
    for at in (5, 20_000, 39_990):
        lines[at] = f'{at},"open'
    (tmp_path / "a.csv").write_text("\n".join(["id,text", *lines]))
    data, _ = run_step(read, path=tmp_path / "a.csv")
    gone = {5, 20_000, 39_990}
    assert [r["source"] for r in rows_of(data)] == [f"a.csv:{i + 2}" for i in range(40_000) if i not in gone]
    assert [r["source"] for r in rows_of(data, "dropped")] == [f"a.csv:{i + 2}" for i in sorted(gone)]


def test_a_quote_that_swallows_records_of_another_width_gives_them_back(tmp_path, run_step):
    (tmp_path / "a.csv").write_text(
        'a,b,c\n1,"open\n2,x,y\n3,x,y\n4,x,end"\n5,x,y\n6,"two\nlines",y\n7,"short\nrecord"\n'
    )
    data, _ = run_step(read, path=tmp_path / "a.csv")
    assert [(r["a"], r["b"]) for r in rows_of(data)] == [
        (2, "x"),
        (3, "x"),
        (4, "x"),
        (5, "x"),
        (6, "two\nlines"),
    ]
    assert [(r["source"], r["reason"][:16]) for r in rows_of(data, "dropped")] == [
        ("a.csv:2", "not CSV: a quote"),
        ("a.csv:9", "wrong number of "),
    ]


def test_a_file_that_breaks_off_in_a_quote_keeps_the_lines_before(tmp_path, run_step):
    whole = gzip.compress(('a,b\n1,x\n2,"open\n' + "".join(f"{i},{hash_of(i)}\n" for i in range(3, 30_000))).encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[:-5000])
    data, card = run_step(read, path=tmp_path / "a.csv.gz")
    assert [r["a"] for r in rows_of(data)][:3] == [1, 3, 4]
    assert card.metrics["rows"] > 20_000
    assert {"not CSV", "damaged file"} == {reason for _, reason in reasons(data)} - {"wrong number of fields"}


def hash_of(i: int) -> int:
    return i * 2654435761 % 2**32


plain = st.lists(st.text(st.sampled_from("ab1 .é"), min_size=1, max_size=5), min_size=2, max_size=2)
spanning = st.lists(st.text(st.sampled_from('ab1, "\r\né'), max_size=8), min_size=2, max_size=2)
stray = st.sampled_from(['a,"b" c', '"a" b,c', 'a,"b""" c'])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(plain, spanning, stray), max_size=15))
def test_records_that_are_csv_survive_those_that_are_not(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(["x", "y"])
    for record in records:
        if isinstance(record, str):
            buffer.write(record + "\r\n")
        else:
            writer.writerow(record)
    path.write_bytes(buffer.getvalue().encode())
    chunks = list(csv_reader.read(SourceFile(path, ".csv")))
    good = [r for r in records if not isinstance(r, str)]
    assert sum(len(c.rows) for c in chunks) == len(good)
    assert [f.text for c in chunks for f in c.faults] == [r for r in records if isinstance(r, str)]


def test_real_text_with_lone_quotes_loses_no_line(test_data, run_step):
    path = test_data / "glue/MRPC/msr_paraphrase_train.txt"
    data, card = run_step(read, path=path, reader="csv")
    lines = len(path.read_bytes().splitlines())
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == lines - 1 == 4076
    assert card.metrics["rows"] > 3600
    places = [int(r["source"].rsplit(":", 1)[1]) for p in ("data", "dropped") for r in rows_of(data, p)]
    assert sorted(places) == list(range(2, lines + 1))


@pytest.mark.parametrize(("name", "columns"), [("sms_spam", ["label", "text"]), ("ag_news_dev", ["text", "label"])])
def test_a_real_table_without_a_header(test_data, run_step, name, columns):
    path = test_data / f"classification/{name}.tsv"
    records = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line]
    named, card = run_step(read, path=path, columns=columns)
    width = len(columns)
    assert [[str(r[c]) for c in columns] for r in rows_of(named)] == [r for r in records if len(r) == width]
    assert card.notes == []
    guessed, card = run_step(read, path=path)
    assert len(guessed) == len(named) - 1
    assert f"the first line of {name}.tsv was taken for the columns' names" in card.notes[0]
    plain, card = run_step(read, path=path, header=False)
    assert rows_of(plain)[0]["column_1"] == records[0][0]
    assert len(plain) == len(named)
    assert card.notes == []


def test_header_and_columns(tmp_path, run_step):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.csv", "id,text\n1,x\n2,y,z\n")
    for given_settings, expected in (
        ({}, [{"id": 1, "text": "x"}]),
        ({"header": True}, [{"id": 1, "text": "x"}]),
        ({"header": True, "columns": ["n", "t"]}, [{"n": 1, "t": "x"}]),
        ({"columns": ["n", "t"]}, [{"n": "id", "t": "text"}, {"n": "1", "t": "x"}]),
        ({"header": False}, [{"column_1": "id", "column_2": "text"}, {"column_1": "1", "column_2": "x"}]),
    ):
        data, card = run_step(read, path=tmp_path / "a.zip", **given_settings)
        assert [{k: v for k, v in r.items() if k != "source"} for r in rows_of(data)] == expected
        assert card.metrics["rows_dropped"] == 1
        assert card.notes == []
    with pytest.raises(InputError, match="columns names 4"):
        run_step(read, path=tmp_path / "a.zip", columns=["a", "b", "c", "d"], header=True)


@pytest.mark.parametrize("columns", [[], ["a", "a"], ["a", ""]])
def test_wrong_names_of_columns_are_refused(tmp_path, run_step, columns):
    (tmp_path / "a.csv").write_text("1,2\n")
    with pytest.raises(InputError, match="columns"):
        run_step(read, path=tmp_path / "a.csv", columns=columns)


def test_settings_for_tables_are_refused_where_there_are_none(tmp_path, run_step):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match="for CSV and TSV"):
        run_step(read, path=tmp_path / "a.txt", header=False)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("1,text\n2,other\n", "'1' is a number"),
        ("ham,a\nspam,b\nham,c\n", "'ham' stands again"),
        (f"{'long ' * 12},x\nshort,y\n", "is a sentence"),
        ("id,text\n1,x\n", ""),
    ],
)
def test_names_that_look_like_values_are_noted(tmp_path, run_step, content, why):
    (tmp_path / "a.csv").write_text(content)
    _, card = run_step(read, path=tmp_path / "a.csv")
    assert [why in note for note in card.notes] == ([True] if why else [])


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "json", "txt", "md"])
def test_an_empty_file_is_counted(tmp_path, run_step, extension):
    (tmp_path / f"a.{extension}").write_bytes(b"")
    (tmp_path / "b.txt").write_text("kept")
    data, card = run_step(read, path=tmp_path)
    assert [source for source, _ in reasons(data)] == [f"a.{extension}"]
    if extension != "json":
        assert card.metrics["dropped: empty file"] == 1


def test_links_that_lead_out_of_the_folder_are_set_aside(tmp_path, run_step):
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("kept")
    (folder / "deep/inside.txt").symlink_to("../a.txt")
    (folder / "out.txt").symlink_to("../secret.txt")
    (folder / "deep/absolute.txt").symlink_to(tmp_path / "secret.txt")
    for path in (folder, folder / "**/*.txt"):
        data, _ = run_step(read, path=path)
        assert [(r["source"], r["text"]) for r in rows_of(data)] == [("a.txt", "kept"), ("deep/inside.txt", "kept")]
        assert sorted(reasons(data)) == [("deep/absolute.txt", "refused"), ("out.txt", "refused")]
    (tmp_path / "link").symlink_to(folder)
    data, _ = run_step(read, path=tmp_path / "link")
    assert len(rows_of(data)) == 2
    data, _ = run_step(read, path=folder / "out.txt")
    assert [r["text"] for r in rows_of(data)] == ["secret"]


def test_a_table_of_names_alone_is_no_empty_file(tmp_path, run_step):
    (tmp_path / "a.csv").write_text("id,text\n")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text("id,text\n1,x\n")
    data, _ = run_step(read, path=tmp_path)
    assert reasons(data) == [("a.csv", "no rows below the columns' names"), ("b.csv", "empty file")]
