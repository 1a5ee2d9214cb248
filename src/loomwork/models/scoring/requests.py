"""What can be asked of a language model that is scored, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from loomwork.core.errors import InputError

Windows = Literal["disjoint", "overlapping"]


@dataclass(frozen=True)
class LogLikelihood:
    """How likely is `continuation` after `context`? An empty context is the beginning of text."""

    context: str
    continuation: str


@dataclass(frozen=True)
class Rolling:
    """How likely is a whole text, however long?

    Args:
        text: every token of it is scored once.
        windows: how a text longer than the model's context is read. "disjoint": as lm-evaluation-harness does, windows
            that overlap by one token; control tokens count as such, and a beginning-of-text token that the tokenizer
            adds is scored too. "overlapping": each window but the first scores half of what it reads; the text is data,
            control tokens in it are plain characters.
    """

    text: str
    windows: Windows = "disjoint"


@dataclass(frozen=True)
class Generate:
    """Continue a context.

    Args:
        context: what is continued; where it is too long its beginning is cut off.
        stop: strings that end the text; they are not part of it.
        max_tokens: the most tokens to add.
        temperature: 0 takes the likeliest token each time.
        top_p: sample from the smallest set of tokens with at least this probability.
        seed: of the sampling; the same seed gives the same text, whatever is asked beside it.
        begin: whether the tokenizer begins the context, as it begins texts; a chat template has done it itself.

    Raises:
        InputError: a setting is out of range.
    """

    context: str
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    begin: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"cannot generate with max_tokens={self.max_tokens}, temperature={self.temperature}, "
                f"top_p={self.top_p}",
                "max_tokens is 1 or more, temperature 0 or more, top_p above 0 and at most 1",
            )


Request = LogLikelihood | Rolling | Generate


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    Args:
        log_probability: natural log, summed over the tokens that were asked for; NaN for Generate and where failed.
        greedy: whether each of them was the likeliest at its place.
        tokens: how many were scored, or generated.
        bytes: of the continuation, or of the text, in UTF-8.
        text: what was generated.
        cut_tokens: how many tokens at the context's beginning were left out: more than the model can read.
        failed: why there is no answer, or "".
        again: whether it may be answered another time: the server was busy, say.
    """

    log_probability: float = math.nan
    greedy: bool = False
    tokens: int = 0
    bytes: int = 0
    text: str = ""
    cut_tokens: int = 0
    failed: str = ""
    again: bool = False


@dataclass(frozen=True)
class Scoring(Sequence[Answer]):
    """The answers, in the order of the requests, and how they were come by.

    Args:
        answers: one a request.
        engine: what computed: "packed", "transformers" or "http".
        why: the reason for that engine.
        counts: requests, unique ones, kept ones (read from disk), failed and cut ones; tokens asked for (as a plain
            loop would read them) and computed.
    """

    answers: list[Answer]
    engine: str
    why: str
    counts: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, at: int) -> Answer:  # type: ignore[override]
        return self.answers[at]

    @property
    def incomplete(self) -> str:
        """What may be answered another time, for a card; "" where nothing is."""
        again = sum(a.again for a in self.answers)
        return f"{again} of {len(self)} requests failed and may be answered another time" if again else ""

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)
