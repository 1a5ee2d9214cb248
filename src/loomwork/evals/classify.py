"""Score a classifier on labelled texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model, digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.step import Card, TrainedOn, step
from loomwork.evals._contamination import look
from loomwork.evals._mean_score import Provenance, clusters_of, texts_of
from loomwork.evals._predictions import complete
from loomwork.evals.classification import write_class_scores

USES = ["numba", "numpy", "pyarrow", "scipy", "tokenizers", "torch"]


@step(makes="scores", uses=USES, heavy=True)
def classify(
    data: Dataset,
    model: Model,
    seen: Annotated[list[Dataset] | None, TrainedOn("model")] = None,
    *,
    text: str = "text",
    label: str = "label",
    bins: Annotated[int, Ge(1)] = 15,
    cluster: str = "",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Let a classifier predict, and score it as evals.classification does: accuracy, F1, calibration, each class.

    Each text is looked for in what the model was trained on, in runs of 13 words.

    Args:
        data: one row an item.
        model: what train.classify made, or a folder of transformers' BertForSequenceClassification.
        seen: what the model was trained on; by default all that the ledger knows of.
        text: the column of texts.
        label: the column of right classes, as text or numbers; each must be one of the model's.
        bins: of the reliability diagram.
        cluster: a column; rows that agree in it are not independent.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: a text or a label is missing, a label is none of the model's, or it is no classifier.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.models.classifier import load_classifier

    data.require(text, label, *([cluster] if cluster else []))
    data.require_rows()
    classifier = load_classifier(model)
    shown = texts_of(data, text)
    right = complete(data.table([label]), label)
    other = next((name for name in right if name not in classifier.classes), None)
    if other is not None:
        known = ", ".join(classifier.classes[:20])
        raise InputError(f"the label {other!r} is none of the model's classes", f"it knows {known}")
    clusters = clusters_of(data, cluster or None)
    found = classifier.probabilities(shown)
    leak = look(shown, clusters, model=model, seen=seen)
    settings = {"text": text, "label": label, "bins": bins}
    given = Provenance(
        data=data.digest,
        model=model.digest,
        settings=digest(settings),
        cluster_unit=cluster or "item",
        clusters=clusters,
        contamination=leak.word,
        note=leak.note,
        level=level,
        seed=seed,
    )
    best = found.argmax(axis=1)
    table = pa.table(
        {
            "row_id": data.table(["row_id"]).column("row_id"),
            "label": right,
            "prediction": [classifier.classes[i] for i in best.tolist()],
            "probabilities": pa.array(np.round(found, 6).tolist(), pa.list_(pa.float64())),
        }
    )
    beside = {"text": pa.array(shown), **leak.columns}
    card = write_class_scores(
        out, table, given, "label", "prediction", "probabilities", classifier.classes, bins, settings, beside
    )
    return replace(card, metrics={**card.metrics, **leak.metrics}, notes=[*card.notes, leak.note])
