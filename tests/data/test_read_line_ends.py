"""Lines and paragraphs of texts from Windows and from old Macs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.data.exact_dedup import exact_dedup
from loomwork.data.read import read
from loomwork.data.readers import SourceFile, _decoded
from loomwork.data.readers import text as text_reader
from tests.data.read_rows import reasons, texts

TEXT = "one\n  two \n\n \t\nthree\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_ends_of_lines_are_no_part_of_a_row(end, encoding, tmp_path, run_step):
    (tmp_path / "a.txt").write_bytes(TEXT.replace("\n", end).encode(encoding))
    for unit, expected in (
        ("line", [("a.txt:1", "one"), ("a.txt:2", "  two "), ("a.txt:5", "three")]),
        ("paragraph", [("a.txt:1", "one\n  two "), ("a.txt:5", "three")]),
    ):
        found, _ = run_step(read, path=tmp_path / "a.txt", text_unit=unit)
        assert texts(found) == expected


def test_the_same_line_of_two_systems_is_a_duplicate(tmp_path, run_step):
    (tmp_path / "a.txt").write_bytes(b"same line\nother\n")
    (tmp_path / "b.txt").write_bytes(b"same line\r\n")
    found, _ = run_step(read, path=tmp_path, text_unit="line")
    _, card = run_step(exact_dedup, data=found, columns=["text"])
    assert (card.metrics["rows"], card.metrics["rows_dropped"]) == (2, 1)


def test_a_carriage_return_within_a_line_of_unix_is_kept(tmp_path, run_step):
    (tmp_path / "a.txt").write_bytes(b"10 %\r20 %\ndone\n")
    found, _ = run_step(read, path=tmp_path / "a.txt", text_unit="line")
    assert texts(found) == [("a.txt:1", "10 %\r20 %"), ("a.txt:2", "done")]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_the_limit_counts_the_line_without_its_end(end, tmp_path, run_step):
    for unit, gap in (("line", ""), ("paragraph", end)):
        (tmp_path / "a.txt").write_bytes((end + gap).join(["x" * 20, "y" * 21, "z"]).encode())
        found, _ = run_step(read, path=tmp_path / "a.txt", text_unit=unit, max_row_bytes=20)
        assert [text for _, text in texts(found)] == ["x" * 20, "z"]
        assert [reason for _, reason in reasons(found)] == ["too large"]


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text("ab é", max_size=5), max_size=8),
    end=st.sampled_from(["\r\n", "\r"]),
    block=st.integers(2, 9),
)
def test_lines_do_not_depend_on_blocks(lines, end, block, tmp_path_factory):
    path = tmp_path_factory.mktemp("ends") / "a.txt"
    path.write_bytes(("a long first line" + end + end.join(lines)).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_decoded.Utf8Stream.blocks, "__defaults__", (block if end == "\r\n" else 18 + block,))
        chunks = list(text_reader.read(SourceFile(path, ".txt", unit="line", encoding="utf-8")))
    found = [(place, row["text"]) for chunk in chunks for place, row in zip(chunk.places, chunk.rows, strict=True)]
    assert found == [(n, line) for n, line in enumerate(["a long first line", *lines], 1) if line.strip()]
