"""Questions and contexts to the spans that answer them, with any encoder that has an output layer for spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.encoder import BATCH_TOKENS, by_length, load_tokenizer, pad
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs, padded

PAIRS = 512  # whose windows are held at once
UNANSWERABLE = "unanswerable"  # of `training` in loomwork.json: how many questions without an answer it has seen


@dataclass(frozen=True)
class Window:
    """A question with a part of its context, as tokens.

    Args:
        row: the number of the pair.
        ids: int32 (tokens).
        types: of the tokens' segments, uint8 (tokens).
        first: the place of the context's first token here.
        spans: for each token of the context from there on its first character in it and the one after its last,
            int32 (tokens of the context, 2).
    """

    row: int
    ids: np.ndarray
    types: np.ndarray
    first: int
    spans: np.ndarray

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The first and last token of the characters from start to end; (0, 0) where they are not all here."""
        if not len(self.spans) or start < self.spans[0, 0] or end > self.spans[-1, 1]:
            return 0, 0
        begin = int(np.searchsorted(self.spans[:, 1], start, "right"))
        last = int(np.searchsorted(self.spans[:, 0], end, "left")) - 1
        return (self.first + begin, self.first + last) if begin <= last else (0, 0)


def encode_windows(
    tokenizer: Any, questions: Sequence[str], contexts: Sequence[str], max_tokens: int, overlap_tokens: int
) -> Iterator[Window]:
    """The windows of pairs, each context in pieces that overlap; a question is cut to a quarter of a window.

    Raises:
        InputError: the overlap leaves no room.
    """
    if overlap_tokens > max_tokens // 2:
        raise InputError(
            f"overlap_tokens is {overlap_tokens}: more than half of max_tokens, {max_tokens}",
            f"set overlap_tokens: {max_tokens // 4}, say: it is what two windows of a long text share",
        )
    for at in range(0, len(questions), PAIRS):
        asked = _cut(tokenizer, questions[at : at + PAIRS], max_tokens // 4)
        tokenizer.enable_truncation(max_tokens, stride=overlap_tokens, strategy="only_second")
        pairs = list(zip(asked, contexts[at : at + PAIRS], strict=True))
        for row, encoding in enumerate(tokenizer.encode_batch(pairs), at):
            for part in (encoding, *encoding.overflowing):
                inside = [place for place, side in enumerate(part.sequence_ids) if side == 1]
                first = inside[0] if inside else len(part.ids)
                spans = np.array(part.offsets, np.int32).reshape(-1, 2)[first : first + len(inside)]
                yield Window(row, np.array(part.ids, np.int32), np.array(part.type_ids, np.uint8), first, spans)


def _cut(tokenizer: Any, questions: Sequence[str], most: int) -> list[str]:
    tokenizer.no_truncation()
    found = tokenizer.encode_batch(list(questions), add_special_tokens=False)
    return [q if len(e.ids) <= most else q[: e.offsets[most - 1][1]] for q, e in zip(questions, found, strict=True)]


def reads_types(model: Any) -> bool:
    """Whether a model of transformers tells question and context apart by segments."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


@dataclass(frozen=True)
class Found:
    """The best span of a context.

    Args:
        text: of the context; empty where it has none.
        start: its first character there.
        score: the sum of the logits of its first and its last token.
        none: the same of no answer, at the first token: the smallest of all windows.
    """

    text: str = ""
    start: int = 0
    score: float = -np.inf
    none: float = np.inf

    @property
    def margin(self) -> float:
        """How much better the span is than no answer."""
        return self.score - self.none


class Reader:
    """A trained reader and its tokenizer. Made by `load_reader`.

    Args:
        model: of transformers.
        tokenizer: truncation is set anew at every call.
        max_tokens: of a window, the question with it.
        overlap_tokens: of two windows.
        abstains: whether it has learned that some questions have no answer.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int, overlap_tokens: int, abstains: bool) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.max_tokens, self.overlap_tokens, self.abstains = max_tokens, overlap_tokens, abstains

    def best(self, questions: Sequence[str], contexts: Sequence[str], longest_tokens: int = 30) -> list[Found]:
        """The best span for each question, over all windows of its context.

        Args:
            longest_tokens: of a span.

        Source: Devlin et al. 2018, arXiv:1810.04805, section 4.3.
        """
        found = [Found()] * len(questions)
        for at in range(0, len(questions), PAIRS):
            asked, texts = questions[at : at + PAIRS], contexts[at : at + PAIRS]
            windows = list(encode_windows(self.tokenizer, asked, texts, self.max_tokens, self.overlap_tokens))
            for rows in by_length([len(w.ids) for w in windows], BATCH_TOKENS):
                chosen = [windows[r] for r in rows]
                for window, one in zip(chosen, self._spans(chosen, texts, longest_tokens), strict=True):
                    before = found[at + window.row]
                    none = min(before.none, one.none)
                    best = one if one.score > before.score else before
                    found[at + window.row] = Found(best.text, best.start, best.score, none)
            context().progress(at + len(asked), len(questions), "questions")
        return found

    @torch.inference_mode()
    def _spans(self, windows: Sequence[Window], texts: Sequence[str], longest: int) -> list[Found]:
        """The best span of each window."""
        device = self.model.device
        ids, seen = padded(self.model, [w.ids.tolist() for w in windows])
        places = torch.arange(ids.shape[1], device=device)
        more = {}
        if reads_types(self.model):
            more["token_type_ids"] = torch.from_numpy(pad([w.types.tolist() for w in windows])[0]).to(device)
        given = self.model(input_ids=ids, attention_mask=seen, **more)
        first = torch.tensor([w.first for w in windows], device=device)[:, None]
        count = torch.tensor([len(w.spans) for w in windows], device=device)[:, None]
        allowed = (places >= first) & (places < first + count)
        first_logits, last_logits = (  # without what a prompt adapter put in front
            logits[:, -ids.shape[1] :].float() for logits in (given.start_logits, given.end_logits)
        )
        starts, ends, scores = best_spans(first_logits, last_logits, allowed, longest)
        none = first_logits[:, 0] + last_logits[:, 0]
        made = []
        for window, start, end, score, nothing in zip(
            windows, starts.tolist(), ends.tolist(), scores.tolist(), none.tolist(), strict=True
        ):
            if not len(window.spans):
                made.append(Found(none=nothing))
                continue
            begin, stop = int(window.spans[start - window.first, 0]), int(window.spans[end - window.first, 1])
            text = texts[window.row][begin:stop]
            made.append(Found(text.strip(), begin + len(text) - len(text.lstrip()), score, nothing))
        return made


def best_spans(starts: Tensor, ends: Tensor, allowed: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """The span of each text whose logits have the largest sum, the end not before the start.

    Args:
        starts, ends: logits (texts, time).
        allowed: which tokens a span may begin and end at, bool (texts, time).
        longest: of a span, in tokens.

    Returns: first tokens, last tokens and sums (texts).
    """
    starts, ends = (s.masked_fill(~allowed, -torch.inf) for s in (starts, ends))
    time = starts.shape[1]
    apart = torch.arange(time, device=starts.device)
    apart = apart - apart[:, None]  # (first, last)
    sums = starts[:, :, None] + ends[:, None, :]
    sums = sums.masked_fill((apart < 0) | (apart >= longest), -torch.inf)
    best, place = sums.flatten(1).max(1)
    return place // time, place % time, best


def load_reader(model: Model) -> Reader:
    """Open a reader.

    Args:
        model: what train.answer made, or any folder of transformers with an output layer for spans.

    Raises:
        InputError: it has none.
    """
    config, about = model.read_json("config.json"), read_about(model)
    if not any(name.endswith("ForQuestionAnswering") for name in config.get("architectures") or []):
        raise InputError(f"the model {model.path} has no output layer for spans", "train.answer makes one")
    limit = min(about.max_tokens or 384, config.get("max_position_embeddings") or 384)
    overlap = min(int(about.training.get("overlap_tokens", 128)), limit // 2)
    opened = open_outputs(model, "AutoModelForQuestionAnswering")
    return Reader(opened, load_tokenizer(model), limit, overlap, bool(about.training.get(UNANSWERABLE)))
