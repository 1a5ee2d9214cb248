"""Chat data of real files."""

import json

import pytest

from loomwork.core.errors import InputError
from loomwork.data.chat import chat


def test_real_instructions(test_data, make_dataset, run_step):
    rows = json.loads((test_data / "instructions" / "alpaca_en_demo.json").read_text("utf-8"))
    made, card = run_step(chat, data=make_dataset(rows))
    assert card.notes == ["format: alpaca"]
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == len(rows)
    first = next(iter(made.select("data").rows()))
    assert first["messages"][0]["content"].startswith(rows[0]["instruction"])
    assert first["messages"][-1] == {"role": "assistant", "content": rows[0]["output"]}
    assert not {"instruction", "input", "output"} & set(first)
    assert len(first["origin_ids"]) == 1


def test_real_preferences(test_data, make_dataset, run_step):
    rows = [json.loads(x) for x in (test_data / "preference" / "hh_harmless_base_test.jsonl").open(encoding="utf-8")]
    made, card = run_step(chat, data=make_dataset(rows))
    assert card.metrics["rows"] / len(rows) > 0.99
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == len(rows)
    for row in made.select("data").rows():
        assert row["prompt"][-1]["role"] == "user"
        assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"
    known = {"empty message", "roles do not alternate", "does not end with the assistant"}
    assert all(r["reason"].split(":")[0].split(" (")[0] in known for r in made.select("dropped").rows())


def test_other_names_and_other_columns(make_dataset, run_step):
    data = make_dataset([{"ask": "Hi", "reply": "Hello", "topic": "x"}, {"ask": "", "reply": "b", "topic": "y"}])
    with pytest.raises(InputError, match="no chat format is recognised in the columns ask, reply"):
        run_step(chat, data=data)
    made, card = run_step(chat, data=data, rename={"ask": "prompt", "reply": "completion"})
    (row,) = made.select("data").rows()
    assert row["topic"] == "x"
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    assert card.metrics["dropped: empty message"] == 1
    (dropped,) = made.select("dropped").rows()
    assert dropped["ask"] == ""  # as it was, under its own names: its id is that of its content
    assert dropped["row_id"] in {r["row_id"] for r in data.rows()}
    with pytest.raises(InputError, match="no row is a well-formed"):
        run_step(chat, data=make_dataset([{"prompt": "a", "answer": ""}]))
    with pytest.raises(InputError, match="no column 'asks'"):
        run_step(chat, data=data, rename={"asks": "prompt"})
