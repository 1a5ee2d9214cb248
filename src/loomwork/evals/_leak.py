"""Test documents looked for in a training text, by runs of words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.core.score import Contamination
from loomwork.evals._mean_score import texts_of

if TYPE_CHECKING:
    import numpy as np


def look(
    documents: list[str], clusters: list[str] | None, training: Dataset | None, text: str, model: Model | None
) -> Leak:
    """Look for documents in the training text; what a model has seen besides that makes the word "unknown".

    Args:
        documents: the test documents.
        clusters: the cluster of each, or None.
        training: what was trained on, as far as it was given.
        text: its column.
        model: what was trained, or None for a method that learns from `training` alone.
    """
    found = Leak.look(documents, None if training is None else texts_of(training, text), clusters)
    if model is not None and training is not None and not _saw_only(model, training, text):
        note = f"{found.note}; but the model does not say that it saw nothing else"
        return replace(found, word="unknown", note=note)
    return found


def _saw_only(model: Model, training: Dataset, text: str) -> bool:
    """Whether a model declares this dataset, and no other, as what it was trained on."""
    from loomwork.models.folder import dataset_name, read_about

    return read_about(model).training_data == [dataset_name(training.digest, text)]


@dataclass(frozen=True)
class Leak:
    """What was found of the test documents in the training text; `share` is NaN for documents too short to tell."""

    word: Contamination
    note: str
    share: np.ndarray | None = None

    @classmethod
    def look(cls, documents: list[str], known: list[str] | None, clusters: list[str] | None) -> Leak:
        import numpy as np

        from loomwork.evals._overlap import GRAM_WORDS, overlap

        if known is None:
            return cls("unknown", "the training data was not given, so the documents were not looked for in it")
        share = overlap(documents, known)
        hit, short = int((share > 0).sum()), int(np.isnan(share).sum())
        told = f"{hit} of {len(documents)} documents share a run of {GRAM_WORDS} words with the {len(known)} training "
        told += f"texts; {short} are too short to tell"
        labels = np.arange(len(documents)) if clusters is None else np.array(clusters)
        enough = len(np.unique(labels[share == 0])) >= 2  # clusters, without which there is no interval
        if (hit and not enough) or short == len(documents):  # "checked" would be read as clean
            return cls("unknown", f"{told}; no clean subset can be given", share)
        return cls("clean subset given" if hit else "checked", told, share)

    @property
    def metrics(self) -> dict[str, float]:
        import numpy as np

        if self.share is None:
            return {}
        return {
            "documents_overlapping": float((self.share > 0).sum()),
            "documents_too_short_to_tell": float(np.isnan(self.share).sum()),
        }
