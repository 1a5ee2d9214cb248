"""OpenAI's messages, whose content is a text or a list of parts, in one dataset."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loomwork.data.chat import chat
from loomwork.data.read import read
from tests.data.read_rows import reasons, rows_of

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def asked(content, answer="Yes."):
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def questions(data, part="data"):
    return [row["messages"][0]["content"] for row in rows_of(data, part)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_texts_and_parts_of_text_become_text(name, tmp_path, run_step):
    rows = [asked("Text?"), asked(parts("One", "two?")), {"messages": None, "id": 3}, asked(None)]
    path = lines(tmp_path / name, rows)
    if name == "a.json":
        path.write_text(json.dumps(rows))
    data, card = run_step(read, path=path)
    assert [r["messages"] and r["messages"][0]["content"] for r in rows_of(data)] == ["Text?", "One\ntwo?", None, None]
    assert card.metrics["rows_dropped"] == 0
    made, card = run_step(chat, data=data)
    assert questions(made) == ["Text?", "One\ntwo?"]
    assert card.metrics["rows_dropped"] == 2


def test_one_conversation_with_both(tmp_path, run_step):
    data, _ = run_step(read, path=lines(tmp_path / "a.jsonl", [asked(parts("Both?"))]))
    assert questions(data) == ["Both?"]
    assert questions(run_step(chat, data=data)[0]) == ["Both?"]


def test_an_image_is_the_fault_of_its_row_alone(tmp_path, run_step):
    mixed = [*parts("What is it?"), IMAGE]
    data, card = run_step(read, path=lines(tmp_path / "a.jsonl", [asked(mixed), asked("Text?"), asked(parts("Part?"))]))
    assert card.metrics["rows_dropped"] == 0  # parts that are no text are kept as they are until a step needs text
    made, card = run_step(chat, data=data)
    assert questions(made) == ["Text?", "Part?"]
    assert card.metrics["dropped: content that is not text"] == 1
    assert [r["reason"] for r in rows_of(made, "dropped")] == ["content that is not text: image_url"]


@pytest.mark.parametrize("first", ["text", "parts"])
def test_later_rows_get_the_form_of_the_first(first, tmp_path, run_step):
    """Past the first rows Arrow reads, until a line has another form."""
    texts = [asked(f"Question {i}?") for i in range(3000)]
    in_parts = [asked(parts(f"Part {i}?"), parts("Yes.")) for i in range(3000)]
    image = asked([*parts("What is it?"), IMAGE])
    rows = [*texts, image, *in_parts] if first == "text" else [*in_parts, image, *texts]
    data, card = run_step(read, path=lines(tmp_path / "a.jsonl", rows))
    made, after = run_step(chat, data=data)
    expected = [f"Question {i}?" for i in range(3000)], [f"Part {i}?" for i in range(3000)]
    assert questions(made) == [*expected[first != "text"], *expected[first == "text"]]
    assert card.metrics["rows_dropped"] + after.metrics["rows_dropped"] == 1
    why = rows_of(data if first == "text" else made, "dropped")[0]["reason"]
    assert why.startswith("content that is not text: image_url")
    if first == "text":
        assert reasons(data) == [("a.jsonl:3001", "content that is not text")]
        assert "in message 1, where other rows have text" in why
        assert json.loads(rows_of(data, "dropped")[0]["text"]) == image


def test_tables_of_both_forms(tmp_path, run_step):
    pq.write_table(pa.Table.from_pylist([asked("Text?") | {"n": 1}]), tmp_path / "a.parquet")
    both = [asked(parts("Part?"), parts("Yes.")) | {"n": 2}, asked([IMAGE], parts("No.")) | {"n": 3}]
    pq.write_table(pa.Table.from_pylist(both), tmp_path / "b.parquet")
    data, _ = run_step(read, path=tmp_path / "*.parquet")
    assert [(r["n"], r["messages"][0]["content"]) for r in rows_of(data)] == [(1, "Text?"), (2, "Part?")]
    assert reasons(data) == [("b.parquet:2", "content that is not text")]


def test_other_columns_and_what_are_no_messages_stay(tmp_path, run_step):
    rows = [{"messages": ["one", "two"], "n": 1}, {"messages": ["three"], "n": 2}]
    data, _ = run_step(read, path=lines(tmp_path / "a.jsonl", rows))
    assert [r["messages"] for r in rows_of(data)] == [["one", "two"], ["three"]]
