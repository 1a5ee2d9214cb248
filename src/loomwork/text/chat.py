"""Chat, instruction and preference records of the common formats, as lists of messages.

A message is {"role": "system" | "user" | "assistant" | "tool", "content": text}. A conversation is a list of them;
a preference is a conversation (`prompt`) and two ways to go on (`chosen`, `rejected`).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

Message = dict[str, str]
Format = Literal["messages", "sharegpt", "alpaca", "prompt-completion", "preference"]

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "model", "bot", "chatgpt", "bard", "bing", "ai", "function_call"), "assistant"
    ),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response"), "tool"),
}
COMPLETIONS = ("completion", "response", "answer", "output", "target")  # what an answer's column is called
PROMPTS = ("prompt", "question", "instruction", "query", "input")
CONVERSATIONS = ("conversations", "messages")  # beside two answers: the prompt, or all of the chosen conversation
ALPACA = ("instruction", "input", "history")  # what is asked
TURN = re.compile(r"\n\n(Human|Assistant): ?")  # of the transcripts of Bai et al. (2022)
FIRST = ("user", "assistant")  # an assistant may greet first


class Fault(ValueError):
    """Why a record is no conversation: a few words, then ": " and details."""


def recognise(columns: Iterable[str]) -> Format | None:
    """The format that records with these columns have, or None.

    Args:
        columns: the names of a record's fields.
    """
    have = set(columns)
    if {"chosen", "rejected"} <= have:
        return "preference"
    if "messages" in have:
        return "messages"
    if "conversations" in have:
        return "sharegpt"
    if {"instruction", "output"} <= have:
        return "alpaca"
    return "prompt-completion" if have & set(PROMPTS) and have & set(COMPLETIONS) else None


def used_columns(kind: Format, columns: Iterable[str]) -> list[str]:
    """The columns that messages take the place of; the others are the user's own."""
    have = list(columns)
    asked = _first((*PROMPTS, *CONVERSATIONS), have)
    names = {
        "messages": {"messages"},
        "sharegpt": {"conversations", "system"},
        "alpaca": {"output", "system", *ALPACA},
        "preference": {"chosen", "rejected", "system", *(ALPACA if asked == "instruction" else (asked,))},
        "prompt-completion": {_first(PROMPTS, have), _first(COMPLETIONS, have), "system"},
    }[kind]
    return [c for c in have if c in names]


def read_columns(kind: Format, columns: Iterable[str]) -> list[str]:
    """The columns that `convert` looks at: in a row without its prompt, a preference's other columns may have it."""
    have = list(columns)
    names = {*used_columns(kind, have), *((*PROMPTS, *CONVERSATIONS) if kind == "preference" else ())}
    return [c for c in have if c in names]


def convert(record: Mapping[str, Any], kind: Format) -> dict[str, list[Message]]:
    """One record as messages: {"messages": ...}, or {"prompt": ..., "chosen": ..., "rejected": ...}.

    Args:
        record: a row.
        kind: its format.

    Raises:
        Fault: it is not a record of that format, or the conversation is not well-formed.
    """
    if kind == "preference":
        return _preference(record)
    turns: list[Message] = _CONVERSATIONS[kind](record)
    check(turns)
    return {"messages": turns}


def check(turns: Sequence[Message], *, ends_with: str = "assistant") -> None:
    """Refuse a conversation that no chat template would render as it is meant.

    System messages come first; users (or tools) and assistants take turns; no message is empty; it ends with an
    assistant's, so that there is something to learn.

    Args:
        turns: the messages.
        ends_with: the role that must speak last.

    Raises:
        Fault: says what is wrong, and at which message.
    """
    if not turns:
        raise Fault("no messages")
    last = ""
    for number, turn in enumerate(turns, 1):
        role, content = turn["role"], turn["content"]
        if not content.strip():
            raise Fault(f"empty message: the {role}'s, number {number}")
        if role == "system" and last not in ("", "system"):
            raise Fault(f"system message in the middle: number {number}")
        if role == last and role in FIRST:
            raise Fault(f"roles do not alternate: two {role} messages in a row, number {number}")
        if role == "tool" and last not in ("assistant", "tool"):
            raise Fault(f"tool result without a call: number {number}")
        last = role
    if last != ends_with:
        raise Fault(f"does not end with the {ends_with}: it ends with the {last}")


def _preference(record: Mapping[str, Any]) -> dict[str, list[Message]]:
    sides = [_side(record.get(name)) for name in ("chosen", "rejected")]
    given = _given_prompt(record, sides[0])
    systems = _system(record) + given[: _systems(given)]
    given = given[_systems(given) :]
    shared = sides[0][: _systems(sides[0])]
    if sides[1][: len(shared)] == shared:
        systems, sides = systems + shared, [side[len(shared) :] for side in sides]
    if not given:
        pairs = zip(*sides, strict=False)
        given = [a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]
    sides = [side[len(given) :] if side[: len(given)] == given else side for side in sides]
    prompt = [turn for at, turn in enumerate(systems) if turn not in systems[:at]] + given
    check(prompt, ends_with="user" if not prompt or prompt[-1]["role"] != "tool" else "tool")
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        try:
            check([*prompt, *side])
        except Fault as fault:
            what, colon, details = str(fault).partition(": ")
            raise Fault(f"{what} ({name}){colon}{details}") from None
    if sides[0] == sides[1]:
        raise Fault("chosen equals rejected")
    return {"prompt": prompt, "chosen": sides[0], "rejected": sides[1]}


def _systems(turns: Sequence[Message]) -> int:
    """How many system messages come first."""
    return next((at for at, turn in enumerate(turns) if turn["role"] != "system"), len(turns))


def _side(value: Any) -> list[Message]:
    """What was chosen or rejected: a message, a list of them, a transcript, or an answer's text."""
    if isinstance(value, Mapping):
        return [_message(value)]
    if isinstance(value, list | tuple):
        return [_message(v) for v in value]
    text = content_text(value)
    return transcript(text) if TURN.match(text) else [{"role": "assistant", "content": text}]


def _given_prompt(record: Mapping[str, Any], chosen: list[Message]) -> list[Message]:
    """What a column of its own asks; [] if there is none, and the two sides begin with it."""
    for name in (*PROMPTS, *CONVERSATIONS):
        value = record.get(name)
        if isinstance(value, str) and value.strip():
            if name == "instruction":
                return _asked(record)
            return transcript(value) if TURN.match(value) else [{"role": "user", "content": value}]
        if isinstance(value, list | tuple) and value:
            turns = [_message(v) for v in value]
            if name in CONVERSATIONS and turns[-1]["role"] == "assistant":  # the whole chosen conversation
                return turns[: -len(chosen)] if turns[-len(chosen) :] == chosen else []
            return turns
    return []


def transcript(text: str) -> list[Message]:
    """Turns of a text "\\n\\nHuman: ...\\n\\nAssistant: ..."; an unanswered last call for the assistant is left out.

    Source: Bai et al. (2022), Training a helpful and harmless assistant, the format of its published data.
    """
    pieces = TURN.split(text)
    if pieces[0].strip():
        raise Fault("transcript without a first speaker")
    turns = [
        {"role": "user" if who == "Human" else "assistant", "content": said.strip()}
        for who, said in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    return turns[:-1] if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"] else turns


def _of_messages(record: Mapping[str, Any]) -> list[Message]:
    return [_message(v) for v in _list(record.get("messages"), "messages")]


def _of_sharegpt(record: Mapping[str, Any]) -> list[Message]:
    return _system(record) + [_message(v) for v in _list(record.get("conversations"), "conversations")]


def _of_alpaca(record: Mapping[str, Any]) -> list[Message]:
    answer: Message = {"role": "assistant", "content": content_text(record.get("output"))}
    return [*_system(record), *_asked(record), answer]


def _asked(record: Mapping[str, Any]) -> list[Message]:
    """Instruction and input are one message, with a blank line between them, as in Taori et al. (2023)."""
    asked = [content_text(record.get(name) or "").strip() for name in ("instruction", "input")]
    turns = []
    for pair in record.get("history") or []:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Fault("history is not pairs of texts")
        turns += [
            {"role": "user", "content": content_text(pair[0])},
            {"role": "assistant", "content": content_text(pair[1])},
        ]
    return [*turns, {"role": "user", "content": "\n\n".join(filter(None, asked))}]


def _of_prompt_completion(record: Mapping[str, Any]) -> list[Message]:
    turns = _system(record)
    for names, role in ((PROMPTS, "user"), (COMPLETIONS, "assistant")):
        value = record.get(_first(names, record))
        turns += (
            [_message(v) for v in value]
            if isinstance(value, list)
            else [{"role": role, "content": content_text(value)}]
        )
    return turns


_CONVERSATIONS: dict[Format, Callable[[Mapping[str, Any]], list[Message]]] = {
    "messages": _of_messages,
    "sharegpt": _of_sharegpt,
    "alpaca": _of_alpaca,
    "prompt-completion": _of_prompt_completion,
}


def _first(names: Sequence[str], have: Iterable[str]) -> str:
    among = set(have)
    return next((n for n in names if n in among), names[0])


def _system(record: Mapping[str, Any]) -> list[Message]:
    value = record.get("system")
    return [{"role": "system", "content": content_text(value)}] if value else []


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise Fault(f"{name} is not a list: {type(value).__name__}")
    return value


def _message(value: Any) -> Message:
    """A message of {"role", "content"} or {"from", "value"}; calls of tools are kept as JSON text."""
    if not isinstance(value, Mapping):
        raise Fault(f"a message is not an object: {type(value).__name__}")
    role = value.get("role") or value.get("from")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise Fault(f"unknown role: {role!r}")
    content = value.get("content") if value.get("content") is not None else value.get("value")
    if value.get("tool_calls"):
        calls = json.dumps(value["tool_calls"], ensure_ascii=False, sort_keys=True)
        content = f"{content_text(content or '')}\n{calls}".strip()
    return {"role": ROLES[role.lower()], "content": content_text(content)}


def is_text(part: Any) -> bool:
    """Whether a part of a message's content is a text."""
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def content_text(value: Any) -> str:
    """A text, or the texts of a list of parts (OpenAI's form).

    Raises:
        Fault: it is no text, or some part is none.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        for part in value:
            if not is_text(part):
                kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
                raise Fault(f"content that is not text: {kind}")
        return "\n".join(part["text"] for part in value)
    raise Fault("no text" if value is None else f"content that is not text: {type(value).__name__}")
