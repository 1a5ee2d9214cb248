"""Answer requests: cut into spans, what is known left out, planned, computed, added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loomwork.core.context import context
from loomwork.core.errors import StepFailed, Stopped
from loomwork.models.families import not_covered
from loomwork.models.scoring.generate import generate
from loomwork.models.scoring.keep import Keep
from loomwork.models.scoring.packed import PackedForward, Past
from loomwork.models.scoring.plain import PlainForward
from loomwork.models.scoring.plan import Row, Trunk, batches, plan
from loomwork.models.scoring.requests import Answer, Generate, LogLikelihood, Request, Rolling, Scoring
from loomwork.models.scoring.spans import Cut, Cutter, Span

if TYPE_CHECKING:
    from loomwork.models.decoder import Decoder

Forward = PackedForward | PlainForward


@dataclass(frozen=True)
class Settings:
    """How requests are answered; none of these changes an answer, but for float noise and `max_tokens`.

    Args:
        max_tokens: the most tokens that the model reads at once; None for all of its context.
        share: whether prefixes that requests have in common are computed once.
        packed: False to use transformers' own forward pass.
        batch_tokens: of one forward pass; None for what suits the device.
    """

    max_tokens: int | None = None
    share: bool = True
    packed: bool = True
    batch_tokens: int | None = None


def score(
    decoder: Decoder,
    requests: Sequence[Request],
    *,
    keep: Path | None = None,
    settings: Settings | None = None,
) -> Scoring:
    """Answer requests. No answer depends on the other requests or on their order, but for float noise.

    Args:
        decoder: the model.
        requests: of any kinds, in any order; equal ones are computed once.
        keep: a file in which each answer is kept at once, and looked up first; None for none.
        settings: see `Settings`.

    Raises:
        InputError: a text begins with nothing, and the tokenizer has no token for that.
        StepFailed: the model gives logits that are not numbers.
        Stopped: the user asked to stop; what was computed is kept.
    """
    settings = settings or Settings()
    forward, why = decoder.forward(settings.packed)
    about = {"model": decoder.digest if keep else "", "engine": forward.name, "dtype": str(decoder.model.dtype)}
    kept = Keep(keep, about)
    try:
        most = min(settings.max_tokens or decoder.context_tokens, decoder.context_tokens)
        unique = list(dict.fromkeys(requests))
        texts = [r for r in unique if isinstance(r, LogLikelihood | Rolling)]
        counts = {"requests": len(requests), "unique": len(unique)}
        answers: dict[Request, Answer] = _likelihoods(decoder, texts, forward, kept, most, settings, counts)
        wanted = [r for r in unique if isinstance(r, Generate)]
        if wanted:
            answers |= generate(decoder, wanted, forward if settings.share else None, kept, most, counts)
    finally:
        kept.close()
    counts["failed"] = sum(bool(answers[r].failed) for r in requests)
    counts["cut"] = sum(answers[r].cut_tokens > 0 for r in requests)
    return Scoring([answers[r] for r in requests], forward.name, why, counts)


def choose_forward(decoder: Decoder, packed: bool = True) -> tuple[Forward, str]:
    """The forward pass for a model, and why that one."""
    reason = not_covered(decoder.model) if packed else "the packed forward pass was not asked for"
    if reason:
        return PlainForward(decoder.model, decoder.vocabulary), reason
    return PackedForward(decoder.model), f"{type(decoder.model).__name__} is covered by the packed forward pass"


def _likelihoods(
    decoder: Decoder,
    requests: list[LogLikelihood | Rolling],
    forward: Forward,
    kept: Keep,
    most: int,
    settings: Settings,
    counts: dict[str, int],
) -> dict[Request, Answer]:
    from loomwork.models.decoder import WINDOW_TOKENS

    cuts = Cutter(decoder, most, min(most, WINDOW_TOKENS)).cut(requests)
    spans = list({span.key: span for cut in cuts for span in cut.spans}.values())
    keys = {span.key: kept.key(span.key) for span in spans}
    read = kept.read(keys.values())
    totals: dict[bytes, tuple[float, bool]] = {}
    for span in spans:
        if keys[span.key] in read:
            number, mark, _ = read[keys[span.key]]
            totals[span.key] = number, mark
    left = [span for span in spans if span.key not in totals]
    root = plan(left, pairs_per_token=forward.pairs_per_token, share=settings.share and forward.shares)
    counts["kept"] = len(spans) - len(left)
    counts["tokens_asked"] = sum(len(span.ids) - 1 for cut in cuts for span in cut.spans)
    counts["tokens_computed"] = root.tokens()
    for number, total, mark in _totals(left, root, forward, settings.batch_tokens, kept, keys):
        totals[left[number].key] = total, mark
    return {r: _answer(r, cut, totals) for r, cut in zip(requests, cuts, strict=True)}


def _answer(request: LogLikelihood | Rolling, cut: Cut, totals: dict[bytes, tuple[float, bool]]) -> Answer:
    text = request.text if isinstance(request, Rolling) else request.continuation
    size = len(text.encode("utf-8", "surrogatepass"))
    if cut.failed:
        return Answer(bytes=size, failed=cut.failed)
    found = [totals[span.key] for span in cut.spans]
    return Answer(
        math.fsum(total for total, _ in found),
        all(mark for _, mark in found),
        sum(len(span.ids) - span.start for span in cut.spans),
        size,
        cut_tokens=cut.cut_tokens,
    )


def _totals(
    spans: list[Span],
    root: Trunk,
    forward: Forward,
    budget: int | None,
    kept: Keep,
    keys: dict[bytes, bytes],
) -> Iterator[tuple[int, float, bool]]:
    """The number of each span with its log-probability and whether it is greedy, as soon as it is whole."""
    totals = np.zeros(len(spans))
    marks = np.ones(len(spans), bool)
    open_ = np.array([len(span.ids) - span.start for span in spans], np.int64)  # targets not yet scored
    done = 0
    for batch, past, take in walk(root, budget or forward.budget):
        if context().stop_requested:
            raise Stopped(f"stopped after {done} of {len(spans)} texts; they are kept")
        values, best, made = forward.score(batch, past, take is not None)
        if take is not None:
            take(made)
        owners = np.concatenate([row.pair_spans for row in batch])
        bad = np.flatnonzero(np.isnan(values))
        if len(bad):
            first = spans[owners[bad[0]]]
            raise StepFailed(
                f"the model's logits are not numbers (NaN), first for a text of {len(first.ids)} tokens",
                "its weights or its precision are broken: look at them, or make the model again",
            )
        np.add.at(totals, owners, values)
        np.logical_and.at(marks, owners, best)
        np.subtract.at(open_, owners, 1)
        ready = np.unique(owners)
        ready = ready[open_[ready] == 0]
        kept.write({keys[spans[n].key]: (float(totals[n]), bool(marks[n]), "") for n in ready.tolist()})
        done += len(ready)
        context().progress(done, len(spans), "texts")
        for n in ready.tolist():
            yield n, float(totals[n]), bool(marks[n])


def walk(root: Trunk, budget: int) -> Iterator[tuple[list[Row], Past | None, Callable[[Past | None], None] | None]]:
    """Batches in an order in which a trunk comes before what hangs from it, and few trunks are held at a time.

    Returns: rows, the keys and values of their trunk, and for a trunk's own row a function that takes its own.
    """
    left: list[tuple[Trunk, Past | None]] = [(root, None)]
    while left:
        trunk, past = left.pop()
        if trunk.row is not None:
            box: list[Past | None] = []
            yield [trunk.row], past, box.append
            past = box[0]
        for batch in batches(trunk.rows, budget, trunk.end):
            yield batch, past, None
        left += [(child, past) for child in trunk.trunks]
