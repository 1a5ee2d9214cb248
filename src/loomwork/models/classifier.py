"""Texts to classes, or to a number, with any encoder that has such an output layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.encoder import encode, load_tokenizer
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs, padded_batches

TASK = "classify"


class Classifier:
    """A trained classifier and its tokenizer. Made by `load_classifier`.

    Args:
        model: of transformers.
        tokenizer: truncation is set anew at every call.
        max_tokens: how much of each text is read.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self.model, self.tokenizer, self.max_tokens = model.eval(), tokenizer, max_tokens
        names = model.config.id2label
        self.classes = [str(names.get(i, i)) for i in range(model.config.num_labels)]
        self.regression = model.config.problem_type == "regression"

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each class, for each text. A text's numbers do not depend on the texts beside it, but for float noise.

        Returns: float64 (texts, classes).
        """
        found: np.ndarray = F.softmax(self._logits(texts), -1).numpy()
        return found

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        """What a regression says of each text. float64 (texts)"""
        found: np.ndarray = self._logits(texts)[:, 0].numpy()
        return found

    @torch.inference_mode()
    def _logits(self, texts: Sequence[str]) -> torch.Tensor:
        torch.set_num_threads(context().threads)
        ids = encode(self.tokenizer, texts, self.max_tokens)
        found = torch.zeros(len(texts), len(self.classes), dtype=torch.float64)
        done = 0
        for rows, given, seen in padded_batches(self.model, ids):
            logits = self.model(input_ids=given, attention_mask=seen).logits
            found[rows] = logits.double().cpu()
            done += len(rows)
            context().progress(done, len(texts), "texts")
        return found


def load_classifier(model: Model) -> Classifier:
    """Open a classifier.

    Args:
        model: what train.classify made, or any folder of transformers with an output layer for texts.

    Raises:
        InputError: it has none.
    """
    config, about = model.read_json("config.json"), read_about(model)
    if not any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or []):
        raise InputError(f"the model {model.path} has no output layer of classes", "train.classify makes one")
    opened = open_outputs(model, "AutoModelForSequenceClassification")
    limit = about.max_tokens or config.get("max_position_embeddings") or 512
    return Classifier(opened, load_tokenizer(model), limit)
