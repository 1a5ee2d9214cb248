"""What an OpenAI-compatible /completions endpoint answers, read as log-probabilities.

Source: https://platform.openai.com/docs/api-reference/completions (echo and logprobs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from loomwork.models.scoring.requests import Answer, Generate, LogLikelihood, Rolling
from loomwork.models.scoring.spans import moved

ROUNDING = 0.01  # by which a log-probability may be above 0: servers compute in 16 bits, too


class Rubbish(Exception):
    """An answer that is not what the API promises; the text says how."""


class Refused(Exception):
    """A call that the server refuses or cannot answer, and could not the next time."""


@dataclass(frozen=True)
class Question:
    """One call of the endpoint on behalf of a request.

    Args:
        body: of the call, without the model's name.
        start: where in the prompt that which is scored begins, in characters; -1 where text is generated.
    """

    body: dict[str, Any]
    start: int = -1


def questions_of(request: LogLikelihood | Rolling | Generate, begin: str, window: int) -> list[Question]:
    """The calls for a request.

    Args:
        request: what is asked.
        begin: stands for an empty context.
        window: the most characters of a rolling text that one call holds.
    """
    if isinstance(request, Generate):
        body = {"prompt": request.context or begin, "max_tokens": request.max_tokens, "top_p": request.top_p}
        body |= {"temperature": request.temperature, "seed": request.seed}
        stops = [s for s in request.stop if s][:4]  # the API takes four; all are looked for again afterwards
        return [Question(body | ({"stop": stops} if stops else {}))]
    pairs = [moved(request)] if isinstance(request, LogLikelihood) else list(pieces(request.text, window))
    made = []
    for context, continuation in pairs:
        before = context or begin
        if continuation:
            # One token more is generated, and left out: not every server takes max_tokens 0.
            body = {"prompt": before + continuation, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
            made.append(Question(body, len(before)))
    return made


def pieces(text: str, window: int) -> Iterator[tuple[str, str]]:
    """A long text as contexts and continuations, cut before spaces; each continuation at most half a window."""
    at, half = 0, max(1, window // 2)
    while at < len(text):
        end = at + (half if at else window)
        if end < len(text):
            space = max(text.rfind(" ", at + 1, end), text.rfind("\n", at + 1, end))
            end = space if space > at else end
        first = max(0, at - half)
        yield text[first:at], text[at:end]
        at = end


def read_answer(request: LogLikelihood | Rolling | Generate, question: Question, payload: Any) -> Answer:
    """The answer in one call's JSON.

    Raises:
        Rubbish: it is not there, or cannot be right.
        Refused: nothing stands before the first token, so that it has no log-probability.
    """
    if not isinstance(request, Generate):
        return _read_echo(request, question, payload)
    text, usage = _value(_choice(payload), "text", "choices[0]"), payload.get("usage")
    used = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if not isinstance(text, str):
        raise Rubbish(f"its text is {str(text)[:60]!r}, no text")
    ends = [at for s in request.stop if s and (at := text.find(s)) >= 0]
    text = text[: min(ends, default=len(text))]
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Rubbish(f"its text is no Unicode: {error}") from None
    return Answer(text=text, tokens=used if isinstance(used, int) else 0, bytes=size)


def _choice(payload: Any) -> Any:
    choices = _value(payload, "choices", "the answer")
    if not isinstance(choices, list) or not choices:
        raise Rubbish(f"choices is {_shown(choices)}, no list with an answer")
    return choices[0]


def _value(whole: Any, name: str, place: str) -> Any:
    """What an object of the answer has under a name.

    Raises:
        Rubbish: nothing, or it is no object; says where.
    """
    if not isinstance(whole, dict):
        raise Rubbish(f"{place} is {_shown(whole)}, no object")
    if name not in whole:
        raise Rubbish(f"{place} has no {name!r}")
    return whole[name]


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)[:60]


def _echoed(payload: Any) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """The tokens of an echoed prompt, their log-probabilities, where they begin, and the likeliest in place of each."""
    place = "choices[0].logprobs"
    found = _value(_choice(payload), "logprobs", "choices[0]")
    lists = {name: _value(found, name, place) for name in ("tokens", "token_logprobs", "text_offset")}
    lists["top_logprobs"] = found.get("top_logprobs") or []
    for name, values in lists.items():
        if not isinstance(values, list):
            raise Rubbish(f"{place}.{name} is {_shown(values)}, no list")
    tokens, values, offsets, tops = lists.values()
    return tokens, values, offsets, tops or [None] * len(tokens)


def _read_echo(request: LogLikelihood | Rolling, question: Question, payload: Any) -> Answer:
    """The log-probability of that which is scored, of an echoed prompt."""
    prompt = question.body["prompt"]
    try:
        tokens, values, offsets, tops = _echoed(payload)
    except Rubbish as error:
        raise Rubbish(f"{error}: does the server give logprobs with echo?") from None
    text = str(_choice(payload).get("text") or prompt)
    if not len(tokens) == len(values) == len(offsets) == len(tops):
        raise Rubbish("its lists of tokens and log-probabilities differ in length")
    spans = _spans(prompt, text, tokens, offsets)
    total, greedy, count = 0.0, True, 0
    for number, (begin, end) in enumerate(spans):
        if not 0 <= begin < len(prompt) or end <= question.start:
            continue
        if number == question.start == 0 and values[0] is None:
            raise Refused(
                f"the endpoint gives the first token, {tokens[0]!r}, no log-probability, for nothing stands before it: "
                'say begin="...", the text of its beginning-of-text token, to evals.endpoint'
            )
        value, count = _log_probability(values[number], number, tokens[number]), count + 1
        total += value
        try:
            top = max(_log_probability(v, number, t) for t, v in tops[number].items())
        except (AttributeError, ValueError):  # none
            if isinstance(request, LogLikelihood):
                raise Rubbish(
                    "it gives no top_logprobs, without which nobody can tell whether a continuation is the likeliest"
                ) from None
        else:
            greedy = greedy and value >= top
    if not count:
        raise Rubbish("it does not echo the prompt's tokens")
    return Answer(total, greedy, count)


def _spans(prompt: str, text: str, tokens: list[Any], offsets: list[Any]) -> list[tuple[int, int]]:
    """From where to where in the prompt each token goes; a token that the server put before it begins below 0."""
    if not all(isinstance(token, str) for token in tokens) or not all(type(offset) is int for offset in offsets):
        raise Rubbish("its tokens are no texts, or its text_offset are no numbers")
    if not tokens:
        return []
    # Some servers count the beginning-of-text token that they add as characters.
    shift = len(tokens[0]) if not prompt.startswith(tokens[0]) and offsets[:2] == [0, len(tokens[0])] else 0
    stop = len(prompt) + shift
    if any(b < a for a, b in pairwise([0, *offsets])) or offsets[-1] > max(stop, len(text) + shift):
        raise Rubbish("its text_offset are no places in the prompt, one after another")
    if offsets[-1] + max(1, len(tokens[-1])) < stop:
        raise Rubbish(f"its tokens end at character {offsets[-1] + len(tokens[-1])}, before the prompt does, at {stop}")
    return [(begin - shift, end - shift) for begin, end in pairwise([*offsets, stop])]


def _log_probability(value: Any, number: int, token: str) -> float:
    """A log-probability that can be one. Servers clip what is impossible to a number such as -9999."""
    if type(value) not in (int, float) or math.isnan(value):
        raise Rubbish(f"it gives no log-probability for token {number}, {token!r}")
    if not -math.inf < value <= ROUNDING:
        raise Rubbish(f"{value} for token {number}, {token!r}, is no log-probability")
    return min(float(value), 0.0)
