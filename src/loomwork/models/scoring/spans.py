"""Texts to tokens, cut as lm-evaluation-harness 0.4.13 cuts them, so that numbers agree.

Source: EleutherAI/lm-evaluation-harness 0.4.13, lm_eval/api/model.py (`_encode_pair`, `loglikelihood`),
lm_eval/models/huggingface.py (`tok_encode`, `_loglikelihood_tokens`), lm_eval/utils.py (`get_rolling_token_windows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.errors import InputError
from loomwork.models.scoring.requests import LogLikelihood, Rolling

if TYPE_CHECKING:
    from loomwork.models.decoder import Decoder

NO_START = (
    "the tokenizer has neither a beginning-of-text nor an end-of-text token to start from",
    "set bos_token in its tokenizer_config.json",
)


@dataclass(frozen=True)
class Span:
    """A run of tokens, of which the last are scored.

    Args:
        ids: int32 (tokens); all but the last are read.
        start: the number of the first that is scored, at least 1.
    """

    ids: np.ndarray
    start: int

    @property
    def targets(self) -> np.ndarray:
        return self.ids[self.start :]

    @property
    def key(self) -> bytes:
        """The same for equal spans, and for no others."""
        return self.start.to_bytes(4, "little") + self.ids.tobytes()


@dataclass(frozen=True)
class Cut:
    """A request's spans.

    Args:
        spans: what is to be scored; none where there is nothing to score.
        cut_tokens: how many tokens of the context were left out.
        failed: why it cannot be scored, or "".
    """

    spans: tuple[Span, ...] = ()
    cut_tokens: int = 0
    failed: str = ""


class Cutter:
    """Cuts requests into spans that a decoder can read.

    Args:
        decoder: gives tokenizer and beginning-of-text token.
        most: the most tokens that are read at once.
        overlapping_most: the same, of "overlapping" windows.
    """

    def __init__(self, decoder: Decoder, most: int, overlapping_most: int) -> None:
        self.decoder, self.most, self.overlapping_most = decoder, most, overlapping_most
        self.tokenizer: Any = decoder.tokenizer
        first = decoder.first_id
        self.first_text = "" if first is None else str(self.tokenizer.decode([first]))

    def begun(self, texts: Iterable[str], begin: bool = True) -> dict[str, list[int]]:
        """Tokens as the tokenizer begins texts; one that starts with the beginning-of-text token gets no second.

        Without `begin` none gets one.
        """
        found: dict[str, list[int]] = {}
        unique = dict.fromkeys(texts)
        marked = [t for t in unique if self.first_text and t.startswith(self.first_text)]
        for group, add in ((marked, False), ([t for t in unique if t not in set(marked)], begin)):
            if group:
                ids = self.tokenizer(group, add_special_tokens=add, verbose=False)["input_ids"]
                found.update(zip(group, ids, strict=True))
        return found

    def cut(self, requests: Sequence[LogLikelihood | Rolling]) -> list[Cut]:
        """The spans of each request.

        Raises:
            InputError: a text begins with nothing, and the tokenizer has no token for that.
        """
        pairs = {r: moved(r) for r in requests if isinstance(r, LogLikelihood) and r.context}
        texts = [t for context, continuation in pairs.values() for t in (context, context + continuation)]
        texts += [r.text for r in requests if isinstance(r, Rolling) and r.windows == "disjoint"]
        ids = self.begun(texts)
        cuts = []
        for request in requests:
            if isinstance(request, Rolling):
                cuts.append(self._rolling(request, ids))
            elif request.context:
                context, continuation = pairs[request]
                read = ids[context]
                cuts.append(self._pair(read, ids[context + continuation][len(read) :]))
            else:
                cuts.append(self._unprompted(request.continuation))
        return cuts

    def _unprompted(self, continuation: str) -> Cut:
        encoded = self.tokenizer.encode(continuation, add_special_tokens=False, verbose=False)
        if encoded and encoded[0] == self.decoder.first_id:  # the text begins with that token itself
            return self._pair(encoded[:1], encoded[1:])
        return self._pair(self.first, encoded) if encoded else Cut()

    def _pair(self, context: list[int], continuation: list[int]) -> Cut:
        if not continuation:
            return Cut()
        if not context:
            context = self.first
        if len(continuation) > self.most:
            return Cut(failed=f"the continuation has {len(continuation)} tokens and the model reads {self.most}")
        ids = context + continuation
        over = max(0, len(ids) - self.most - 1)
        return Cut((span(ids[over:], len(context) - over),), over)

    def _rolling(self, request: Rolling, begun: dict[str, list[int]]) -> Cut:
        if request.windows == "disjoint":
            ids, size, step = begun[request.text], self.most, self.most
        else:
            size = self.overlapping_most
            ids, step = self.decoder.encode(request.text), max(1, size // 2)
        if not ids:
            return Cut()
        spans = [span([*self.first, *ids[:size]], 1)]
        for start in range(size, len(ids), step):
            end = min(start + step, len(ids))
            spans.append(span(ids[end - 1 - size : end], size + 1 - (end - start)))
        return Cut(tuple(spans))

    @property
    def first(self) -> list[int]:
        """What a text begins with that has nothing before it."""
        if self.decoder.first_id is None:
            raise InputError(*NO_START)
        return [self.decoder.first_id]


def span(ids: list[int], start: int) -> Span:
    return Span(np.array(ids, np.int32), start)


def moved(request: LogLikelihood) -> tuple[str, str]:
    """Context and continuation with the context's trailing space moved: words begin with their space."""
    context = request.context.rstrip()
    return context, request.context[len(context) :] + request.continuation
