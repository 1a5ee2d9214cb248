"""Bits per byte of held-out documents: under a language model, an n-gram model or a compressor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from loomwork.core.artifact import Model, digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, StepFailed
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, TrainedOn, step
from loomwork.evals._contamination import CLEAN, look
from loomwork.evals._mean_score import clusters_of, model_digest, texts_of

if TYPE_CHECKING:
    import numpy as np

NAME = "bits per byte"
LZMA = "lzma"


@step(makes="scores", uses=["numba", "numpy", "pyarrow", "scipy", "tokenizers", "torch", "transformers"], heavy=True)
def bits_per_byte(
    data: Dataset,
    model: Model | None = None,
    training: Dataset | None = None,
    seen: Annotated[list[Dataset] | None, TrainedOn("model")] = None,
    *,
    method: Literal["model", "ngram", "lzma"] = "model",
    text: str = "text",
    cluster: str | None = None,
    ngram_order: Annotated[int, Ge(1)] = 6,
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Total bits over total UTF-8 bytes of all documents; each is measured alone, and its end costs nothing.

    - model: minus the summed log-probability of the document's tokens after the beginning-of-text token.
    - ngram: minus the log-probability of its bytes under a byte n-gram model of the training text.
    - lzma: eight times the bytes that the document adds when it is compressed after the training text: raw LZMA1 at
      its strongest preset, with a dictionary that holds everything. Exact, to the whole byte.

    The documents are looked for in what was learned from, in runs of 13 words; where some are found, the score of the
    others is given too. Where a model was trained on more than the ledger knows, contamination is unknown.

    Args:
        data: the held-out documents.
        model: a causal language model, for the method "model".
        training: what the methods "ngram" and "lzma" learn from.
        seen: what the model was trained on; by default all that the ledger knows of.
        method: what gives the bits.
        text: the column of texts, in both datasets.
        cluster: a column; rows that agree in it are not independent, and the interval counts them as one draw.
        ngram_order: length of the longest n-gram in bytes, the predicted one included.
        level: of the interval.
        seed: of the bootstrap.

    Raises:
        InputError: an input that the method needs is missing, a text is empty, or there are too few rows or clusters.
    """
    import pyarrow as pa

    from loomwork.metrics.language import bytes_of

    if method == "model" and model is None:
        raise InputError("evals.bits_per_byte with method 'model' needs a model", "give model: $step")
    if method == "model" and training is not None:
        raise InputError("a model learns nothing here from `training`", "leave it out, or set method: ngram or lzma")
    if method != "model" and (training is None or model is not None):
        raise InputError(
            f"evals.bits_per_byte with method {method!r} learns from `training`, and takes no model",
            "give training: $split/train, and leave model out",
        )
    data.require(text, "row_id", *([cluster] if cluster else []))
    data.require_rows()
    if training is not None:
        training.require(text)
        training.require_rows()
    documents, clusters = texts_of(data, text), clusters_of(data, cluster)
    known = [] if training is None or method == "model" else texts_of(training, text)

    bits = _bits(method, documents, known, model, ngram_order)  # (documents,)
    size = bytes_of(documents)
    found = look(documents, clusters, model=model, seen=seen, learned=None if training is None else (training, text))
    settings = {"method": method, "text": text, "order": ngram_order if method == "ngram" else None}
    stated = {
        "data": data.digest,
        "model": model_digest(model),
        "settings": digest(settings),
        "cluster_unit": cluster or "document",
        "contamination": found.word,
        "contamination_note": found.note,
    }
    scores = [_score(NAME, bits, size, clusters, level, seed, stated)]
    columns: dict[str, Any] = {
        "row_id": data.table(["row_id"]).column("row_id").combine_chunks(),
        "cluster": pa.array(clusters if clusters is not None else [None] * len(documents), pa.string()),
        "bits": pa.array(bits),
        "weight": pa.array(size),  # bytes
        NAME: pa.array(bits / size),
    }
    columns |= found.columns
    if (clean := found.clean) is not None:
        kept = None if clusters is None else [c for c, k in zip(clusters, clean.tolist(), strict=True) if k]
        scores.append(_score(NAME + CLEAN, bits[clean], size[clean], kept, level, seed, stated))
        columns[NAME + CLEAN] = pa.array(bits / size, mask=~clean)
    write_scores(out, scores, pa.table(columns), {"settings": settings})
    metrics = {"documents": len(documents), "bytes": int(size.sum()), **found.metrics}
    return Card(metrics=metrics, scores=scores, notes=[found.note])


def _bits(method: str, documents: list[str], known: list[str], model: Model | None, order: int) -> np.ndarray:
    """The bits of each document.  # (documents,)"""
    import numpy as np

    if method == LZMA:
        from loomwork.evals._lzma_bytes import lzma_bytes

        return 8.0 * np.array(lzma_bytes([t.encode() for t in known], [t.encode() for t in documents]))
    if method == "ngram":
        from loomwork.text.ngram import train_ngram

        ngram = train_ngram((t.encode() for t in known), order)
        # The end mark is left out: neither of the other methods pays for where a document ends.
        return np.array([-np.log2(ngram.byte_probabilities(t.encode())[:-1]).sum() for t in documents])
    from loomwork.evals._rolling import rolled
    from loomwork.metrics.language import bits

    assert model is not None
    answers = rolled(model, documents, "overlapping").answers
    for number, answer in enumerate(answers):
        if answer.failed:
            raise StepFailed(
                f"document {number} of {len(documents)} has no log-probability: {answer.failed}",
                "run it again: the other answers are kept; evals.perplexity goes on without such documents",
            )
    return bits([answer.log_probability for answer in answers])


def _score(
    name: str,
    bits: np.ndarray,
    size: np.ndarray,
    clusters: list[str] | None,
    level: float,
    seed: int,
    stated: dict[str, Any],
) -> Score:
    from loomwork.stats.bootstrap import ratio_interval

    return Score(
        name=name,
        value=float(bits.sum() / size.sum()),
        unit="bits per byte",
        direction="lower is better",
        n=len(bits),
        n_clusters=len(bits) if clusters is None else len(set(clusters)),
        interval=ratio_interval(bits, size, clusters=clusters, level=level, seed=seed),
        items="items",
        seed=seed,
        **stated,
    )
