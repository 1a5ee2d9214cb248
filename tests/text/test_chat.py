"""Chat records of the common formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.text.chat import Fault, check, convert, read_columns, recognise, transcript, used_columns

USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
RUDE, BRIEF = {"role": "assistant", "content": "Go away"}, {"role": "system", "content": "Be brief"}


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"messages": [USER, BOT]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, BOT]}, "messages"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, "sharegpt"),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, "alpaca"),
        ({"question": "Hi", "answer": "Hello"}, "prompt-completion"),
        ({"prompt": [USER], "completion": [BOT]}, "prompt-completion"),
    ],
)
def test_the_same_conversation_in_every_format(record, kind):
    assert recognise(record) == kind
    assert convert(record, kind) == {"messages": [USER, BOT]}


def test_system_history_and_tools():
    record = {
        "instruction": "Translate",
        "input": "cat",
        "output": "Katze",
        "system": "Be brief",
        "history": [["Translate\n\ndog", "Hund"]],
    }
    roles = [(m["role"], m["content"]) for m in convert(record, "alpaca")["messages"]]
    assert roles == [
        ("system", "Be brief"),
        ("user", "Translate\n\ndog"),
        ("assistant", "Hund"),
        ("user", "Translate\n\ncat"),
        ("assistant", "Katze"),
    ]
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather"}}]}
    turns = convert({"messages": [USER, call, {"role": "tool", "content": "rain"}, BOT]}, "messages")["messages"]
    assert turns[1]["content"] == '[{"function": {"name": "weather"}}]'


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Hi", "chosen": "Hello", "rejected": "Go away"},
        {
            "conversations": [{"from": "human", "value": "Hi"}],
            "chosen": BOT,
            "rejected": {"from": "gpt", "value": "Go away"},
        },
        {"chosen": [USER, BOT], "rejected": [USER, {"role": "assistant", "content": "Go away"}]},
        {"prompt": "Hi", "chosen": [USER, BOT], "rejected": [USER, {"role": "assistant", "content": "Go away"}]},
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away"},
        {"prompt": "Hi", "chosen": [USER, BOT], "rejected": [USER, RUDE], "messages": [USER, BOT]},
        {"chosen": [USER, BOT], "rejected": [USER, RUDE], "messages": [USER, BOT]},
        {"messages": [USER, BOT], "chosen": "Hello", "rejected": "Go away"},
        {"messages": [USER], "chosen": "Hello", "rejected": "Go away"},
        {"prompt": None, "messages": [USER], "chosen": "Hello", "rejected": "Go away"},
        {"system": "", "input": "Hi", "chosen": "Hello", "rejected": "Go away"},
        {"query": "Hi", "chosen": "Hello", "rejected": "Go away"},
        {"instruction": "Hi", "input": "", "chosen": "Hello", "rejected": "Go away"},
    ],
)
def test_the_same_preference_in_every_format(record):
    assert recognise(record) == "preference"
    read = {name: record[name] for name in read_columns("preference", record)}
    assert convert(read, "preference") == {"prompt": [USER], "chosen": [BOT], "rejected": [RUDE]}


@pytest.mark.parametrize(
    "record",
    [
        {"system": "Be brief", "input": "Hi", "chosen": "Hello", "rejected": "Go away"},
        {"system": "Be brief", "prompt": "Hi", "chosen": [USER, BOT], "rejected": [USER, RUDE]},
        {"system": "Be brief", "prompt": "Hi", "chosen": [BRIEF, USER, BOT], "rejected": [BRIEF, USER, RUDE]},
        {"prompt": "Hi", "chosen": [BRIEF, USER, BOT], "rejected": [BRIEF, USER, RUDE]},
        {"system": "Be brief", "chosen": [USER, BOT], "rejected": [USER, RUDE]},
        {"system": "Be brief", "messages": [USER, BOT], "chosen": [USER, BOT], "rejected": [USER, RUDE]},
        {"messages": [BRIEF, USER, BOT], "chosen": "Hello", "rejected": "Go away"},
    ],
)
def test_a_system_message_stands_once_before_the_prompt(record):
    assert convert(record, "preference") == {"prompt": [BRIEF, USER], "chosen": [BOT], "rejected": [RUDE]}


def test_instruction_and_input_are_asked_in_a_preference_too():
    record = {"instruction": "Translate", "input": "cat", "history": [["Hi", "Hello"]], "chosen": "a", "rejected": "b"}
    prompt = [USER, BOT, {"role": "user", "content": "Translate\n\ncat"}]
    assert convert(record, "preference")["prompt"] == prompt
    assert used_columns("preference", [*record, "score"]) == list(record)


def test_columns_that_are_no_prompt_stay_the_user_s_own():
    sides = ["chosen", "rejected"]
    assert used_columns("preference", [*sides, "prompt", "messages", "input"]) == [*sides, "prompt"]
    assert used_columns("preference", [*sides, "messages", "source"]) == [*sides, "messages"]
    assert used_columns("preference", [*sides, "question", "system"]) == [*sides, "question", "system"]


@pytest.mark.parametrize(
    ("record", "kind", "reason"),
    [
        ({"messages": []}, "messages", "no messages"),
        ({"messages": "Hi"}, "messages", "messages is not a list"),
        ({"messages": [USER]}, "messages", "does not end with the assistant"),
        ({"messages": [USER, USER, BOT]}, "messages", "roles do not alternate"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, "messages", "empty message"),
        ({"messages": [USER, {"role": "system", "content": "x"}, BOT]}, "messages", "system message in the middle"),
        ({"messages": [{"role": "tool", "content": "x"}, BOT]}, "messages", "tool result without a call"),
        ({"messages": [USER, {"role": "owl", "content": "x"}]}, "messages", "unknown role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, BOT]}, "messages", "not text: image_url"),
        ({"messages": [USER, {"role": "assistant"}]}, "messages", "no text"),
        ({"instruction": "a", "output": None}, "alpaca", "no text"),
        ({"instruction": "a", "output": "b", "history": [["one"]]}, "alpaca", "history"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "preference", "chosen equals rejected"),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "preference", r"empty message \(rejected\)"),
        ({"chosen": "b", "rejected": "c"}, "preference", "no messages"),
        ({"prompt": "a", "chosen": "b"}, "preference", "no text"),
    ],
)
def test_what_is_no_conversation(record, kind, reason):
    with pytest.raises(Fault, match=reason):
        convert(record, kind)


def test_not_recognised():
    assert recognise(["text", "label"]) is None


def test_a_transcript_with_an_open_end():
    assert transcript("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:") == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]


texts = st.text(min_size=1).filter(str.strip)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.none() | texts)
def test_every_alternating_conversation_is_kept_as_it_is(pairs, system):
    turns = [{"role": "system", "content": system}] if system else []
    for asked, answered in pairs:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    check(turns)
    assert convert({"messages": turns}, "messages")["messages"] == turns
    shared = [
        {"from": {"user": "human", "assistant": "gpt"}.get(m["role"], "system"), "value": m["content"]} for m in turns
    ]
    assert convert({"conversations": shared}, "sharegpt")["messages"] == turns
