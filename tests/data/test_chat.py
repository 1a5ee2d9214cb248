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


def test_preferences_with_the_chosen_conversation_beside_them(make_dataset, run_step):
    asked, good, bad = ({"role": r, "content": c} for r, c in (("user", "Hi"), ("assistant", "a"), ("assistant", "b")))
    row = {"prompt": "Hi", "prompt_id": "1", "chosen": [asked, good], "rejected": [asked, bad], "score_chosen": 9.0}
    made, card = run_step(chat, data=make_dataset([row | {"messages": [asked, good]}]))
    (found,) = made.select("data").rows()
    assert (found["prompt"], found["chosen"], found["rejected"]) == ([asked], [good], [bad])
    assert (found["messages"], found["prompt_id"], found["score_chosen"]) == ([asked, good], "1", 9.0)
    assert card.metrics["rows_dropped"] == 0


def test_a_column_with_a_name_of_the_result_is_kept(make_dataset, run_step):
    data = make_dataset([{"prompt": "Hi", "completion": "Hello", "messages": "3 of them"}])
    made, _ = run_step(chat, data=data, format="prompt-completion")
    (row,) = made.select("data").rows()
    assert row["given_messages"] == "3 of them"
    assert [m["content"] for m in row["messages"]] == ["Hi", "Hello"]


def test_names_that_two_columns_would_have_are_refused(make_dataset, run_step):
    data = make_dataset([{"q": "Hi", "prompt": "Hello", "completion": "b"}])
    with pytest.raises(InputError, match="'q' and 'prompt' would both be 'prompt'") as error:
        run_step(chat, data=data, rename={"q": "prompt"})
    assert "{prompt: old_prompt}" in error.value.hint
    with pytest.raises(InputError, match="'q' and 'prompt' would both be 'ask'"):
        run_step(chat, data=data, rename={"q": "ask", "prompt": "ask"})
    with pytest.raises(InputError, match="'row_id' is a column that every dataset has"):
        run_step(chat, data=data, rename={"q": "row_id"})
    made, _ = run_step(chat, data=data, rename={"q": "prompt", "prompt": "q"})
    (row,) = made.select("data").rows()
    assert (row["q"], row["messages"][0]["content"]) == ("Hello", "Hi")
