"""What an OpenAI-compatible /completions endpoint answers, read as log-probabilities.

Source: https://platform.openai.com/docs/api-reference/completions (echo and logprobs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loomwork.models.scoring.requests import Answer, Generate, LogLikelihood, Rolling
from loomwork.models.scoring.spans import moved


class Rubbish(Exception):
    """An answer that is not what the API promises; the text says how."""


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
        Rubbish: it is not there.
    """
    try:
        choice = payload["choices"][0]
        if isinstance(request, Generate):
            text = str(choice["text"])
            ends = [at for s in request.stop if s and (at := text.find(s)) >= 0]
            text = text[: min(ends, default=len(text))]
            tokens = int((payload.get("usage") or {}).get("completion_tokens") or 0)
            return Answer(text=text, tokens=tokens, bytes=len(text.encode()))
        found = choice["logprobs"]
        tokens_, values, offsets = found["tokens"], found["token_logprobs"], found["text_offset"]
        tops = found.get("top_logprobs")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Rubbish(f"no {error} in the answer: does the server give logprobs with echo?") from None
    if not len(tokens_) == len(values) == len(offsets) or (tops and len(tops) != len(tokens_)):
        raise Rubbish("its lists of tokens and log-probabilities differ in length")
    prompt = question.body["prompt"]
    # Some servers count the beginning-of-text token that they add as characters.
    shift = len(tokens_[0]) if tokens_ and not prompt.startswith(tokens_[0]) and offsets[0] == 0 else 0
    shift = shift if len(offsets) > 1 and offsets[1] == shift else 0
    ends_ = [*offsets[1:], len(prompt) + shift]
    total, greedy, count = 0.0, True, 0
    for number, (value, offset) in enumerate(zip(values, offsets, strict=True)):
        if offset - shift >= len(prompt) or ends_[number] - shift <= question.start:
            continue
        if offset - shift < 0 or (shift and number == 0):
            continue
        if not isinstance(value, int | float) or value != value:
            raise Rubbish(f"it gives no log-probability for token {number}, {tokens_[number]!r}")
        total, count = total + value, count + 1
        top = tops[number] if tops else None
        greedy = greedy and (not top or value >= max(top.values()))
    if not count:
        raise Rubbish("it does not echo the prompt's tokens")
    if not tops and isinstance(request, LogLikelihood):
        raise Rubbish("it gives no top_logprobs, without which nobody can tell whether a continuation is the likeliest")
    return Answer(total, greedy, count)
