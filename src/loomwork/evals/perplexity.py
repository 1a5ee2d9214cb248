"""Word, byte and token perplexity of documents, however long, under a model that may run anywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from loomwork.core.artifact import Model, digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, TrainedOn, step
from loomwork.evals._contamination import CLEAN, look
from loomwork.evals._mean_score import clusters_of, model_digest, texts_of

if TYPE_CHECKING:
    import numpy as np

WORD, BYTE, TOKEN, BITS = "word perplexity", "byte perplexity", "token perplexity", "bits per byte"
UNITS = {WORD: "perplexity of a word", BYTE: "perplexity of a byte", TOKEN: "perplexity of a token", BITS: BITS}

MOST_NATS = 700  # of a word, whose exponential is still a number


@step(makes="scores", uses=["numba", "numpy", "pyarrow", "scipy", "tokenizers", "torch", "transformers"], heavy=True)
def perplexity(
    data: Dataset,
    model: Model,
    seen: Annotated[list[Dataset] | None, TrainedOn("model")] = None,
    *,
    text: str = "text",
    cluster: str | None = None,
    max_tokens: Annotated[int, Ge(2)] | None = None,
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """How surprised a model is by documents: perplexities over all of them, as lm-evaluation-harness computes them.

    A long document is read in windows that overlap by one token; a beginning-of-text token that the tokenizer adds is
    scored too; words are what lies between white space. evals.bits_per_byte scores what comes after that token, and
    reads with more context: its figures are others, and now lower, now higher. A document that an endpoint does not
    answer for is left out, and counted.

    The documents are looked for in what the model was trained on, in runs of 13 words; where some are found, the
    perplexity of the others is given too.

    Args:
        data: the documents.
        model: a causal language model, or a folder that says at which endpoint it answers.
        seen: what the model was trained on; by default all that the ledger knows of.
        text: the column of texts.
        cluster: a column; rows that agree in it are not independent, and intervals count them as one draw.
        max_tokens: the most tokens that the model reads at once; by default all of its context.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: a text is empty, there are too few rows or clusters, or too few were answered.

    Source: EleutherAI/lm-evaluation-harness 0.4.13, lm_eval/api/metrics.py (weighted_perplexity, bits_per_byte).
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.evals._rolling import rolled
    from loomwork.evals._sums import with_sums
    from loomwork.metrics.language import bits, bytes_of, perplexity_of_sums

    data.require(text, "row_id", *([cluster] if cluster else []))
    data.require_rows()
    documents, clusters = texts_of(data, text), clusters_of(data, cluster)
    answers = rolled(model, documents, "disjoint", max_tokens)
    here = np.array([not a.failed for a in answers])
    labels = [str(i) for i in range(len(documents))] if clusters is None else clusters
    if len({c for c, k in zip(labels, here.tolist(), strict=True) if k}) < 2:
        first = next(a.failed for a in answers if a.failed)
        raise InputError(f"{int((~here).sum())} of {len(documents)} documents were not answered: {first}")
    surprise = -np.array([a.log_probability for a in answers])  # nats
    sizes = {
        WORD: np.array([len(re.split(r"\s+", d)) for d in documents]),
        BYTE: bytes_of(documents),
        TOKEN: np.array([a.tokens for a in answers]),
    }
    found = look(documents, clusters, model=model, seen=seen)
    settings = {"windows": "disjoint", "text": text, "max_tokens": max_tokens, "engine": answers.engine}
    stated: dict[str, Any] = {
        "data": data.digest,
        "model": model_digest(model),
        "settings": digest(settings),
        "cluster_unit": cluster or "document",
        "contamination": found.word,
        "contamination_note": found.note,
    }
    subsets = [here] if found.clean is None else [here, here & found.clean]
    words = sizes[WORD]
    if too_large := any(surprise[s].sum() > MOST_NATS * words[s].sum() for s in subsets):
        del sizes[WORD]

    def scored(wanted: np.ndarray, suffix: str) -> list[Score]:
        chosen = wanted & here
        kept = None if clusters is None else [c for c, k in zip(clusters, chosen.tolist(), strict=True) if k]
        parts = {name: (surprise[chosen], size[chosen]) for name, size in sizes.items()}
        parts[BITS] = bits(-surprise[chosen]), sizes[BYTE][chosen]
        gone = {"failed": int((wanted & ~here).sum())}
        return [_score(name, suffix, *sums, kept, level, seed, stated | gone) for name, sums in parts.items()]

    scores = scored(np.ones_like(here), "")
    if (
        found.clean is not None
        and len({c for c, k in zip(labels, (here & found.clean).tolist(), strict=True) if k}) > 1
    ):
        scores += scored(found.clean, CLEAN)
    columns = {
        "row_id": data.table(["row_id"]).column("row_id").combine_chunks(),
        "cluster": pa.array(clusters if clusters is not None else [None] * len(documents), pa.string()),
        "log_probability": pa.array(-surprise, mask=~here),
        "words": pa.array(words),
        "weight": pa.array(sizes[BYTE]),  # bytes
        "tokens": pa.array(sizes[TOKEN]),
        BITS: pa.array(bits(-surprise) / sizes[BYTE], mask=~here),
        "failed": pa.array([a.failed or None for a in answers], pa.string()),
        **found.columns,
    }
    items = pa.table(columns)
    for name, size in sizes.items():
        sums = np.where(here[:, None], np.stack([-surprise, size], axis=1), np.nan)
        items = with_sums(items, name, sums, perplexity_of_sums)
    write_scores(out, scores, items, {"settings": settings})
    notes = [f"scored by {answers.engine}: {answers.why}", found.note]
    if not here.all():
        first = next(a.failed for a in answers if a.failed)
        notes.insert(0, f"{int((~here).sum())} of {len(documents)} documents failed and are left out: {first}")
    if too_large:
        notes.append(f"{WORD} is too large to be written: the documents have hardly any white space between words")
    metrics = {"documents": len(documents), "failed": int((~here).sum()), **found.metrics}
    metrics |= {name: answers.counts[name] for name in ("kept", "tokens_computed") if name in answers.counts}
    return Card(metrics=metrics, scores=scores, notes=notes, incomplete=answers.incomplete)


def _score(
    name: str,
    suffix: str,
    above: np.ndarray,
    below: np.ndarray,
    clusters: list[str] | None,
    level: float,
    seed: int,
    stated: dict[str, Any],
) -> Score:
    """Of a ratio of sums: its exponential, but for bits per byte."""
    import math

    from loomwork.stats.bootstrap import ratio_interval

    value, interval = (
        float(above.sum() / below.sum()),
        ratio_interval(above, below, clusters=clusters, level=level, seed=seed),
    )
    if name != BITS:
        value = math.exp(value)
        interval = replace(
            interval,
            low=math.exp(interval.low),
            high=math.exp(min(interval.high, MOST_NATS)),
            method=f"{interval.method}, exponentiated",
        )
    return Score(
        name=name + suffix,
        value=value,
        unit=UNITS[name],
        direction="lower is better",
        n=len(above),
        n_clusters=len(above) if clusters is None else len(set(clusters)),
        interval=interval,
        items="items",
        seed=seed,
        **stated,
    )
