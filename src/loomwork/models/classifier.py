"""A BERT with a head of classes: transformers' BertForSequenceClassification, its names and its numbers.

The folder opens in transformers. What decides is the first token's state, through the pooler and one linear layer.

Source: Devlin et al. 2018, arXiv:1810.04805, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.bert import Bert, Shape
from loomwork.models.encoder import by_length, encode, load_tokenizer, pad
from loomwork.models.folder import read_about

BATCH_TOKENS = 2048  # of one forward pass, padding included
TASK = "classify"


class Head(nn.Module):
    """Pooler and classifier.

    Args:
        dim: of the encoder's states.
        classes: how many.
        dropout: before the classifier.
    """

    def __init__(self, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(dim, dim)
        self.classifier = nn.Linear(dim, classes)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.pooler, self.classifier):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, first: Tensor) -> Tensor:
        """Logits (batch, classes) of the states of first tokens (batch, dim)."""
        logits: Tensor = self.classifier(self.dropout(torch.tanh(self.pooler(first))))
        return logits


class Classifier:
    """A trained classifier and its tokenizer. Made by `load_classifier`.

    Args:
        classes: their names, in the order of the logits.
    """

    def __init__(self, bert: Bert, head: Head, tokenizer: Any, classes: list[str], max_tokens: int) -> None:
        self.bert, self.head = bert.eval(), head.eval()
        self.tokenizer, self.classes, self.max_tokens = tokenizer, classes, max_tokens

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each class, for each text. A text's numbers do not depend on the texts beside it, but for float noise.

        Returns: float64 (texts, classes).
        """
        torch.set_num_threads(context().threads)
        device = next(self.head.parameters()).device
        ids = encode(self.tokenizer, texts, self.max_tokens)
        found = np.zeros((len(texts), len(self.classes)))
        done = 0
        for rows in by_length([len(i) for i in ids], BATCH_TOKENS):
            padded, lengths = (torch.from_numpy(a).to(device) for a in pad([ids[r] for r in rows]))
            logits = self.head(self.bert.states(padded, lengths)[:, 0])
            found[rows] = F.softmax(logits.double(), -1).cpu().numpy()
            done += len(rows)
            context().progress(done, len(texts), "texts")
        return found


def load_classifier(model: Model) -> Classifier:
    """Open a classifier.

    Args:
        model: what train.classify made, or a folder of transformers' BertForSequenceClassification.

    Raises:
        InputError: it is none.
    """
    from loomwork.models.engines.torch import build_bert, read_tensors

    config, about = model.read_json("config.json"), read_about(model)
    shape = Shape.of(config)
    tensors = read_tensors(model)
    if shape is None or "classifier.weight" not in tensors or "bert.pooler.dense.weight" not in tensors:
        raise InputError(
            f"the model {model.path} is no BERT with a head of classes", "train.classify makes one of an encoder"
        )
    head = Head(shape.dim, len(tensors["classifier.weight"]), 0.0)
    state = {"pooler": "bert.pooler.dense", "classifier": "classifier"}
    head.load_state_dict(
        {f"{ours}.{kind}": tensors[f"{theirs}.{kind}"].float() for ours, theirs in state.items() for kind in KINDS}
    )
    names = config.get("id2label") or {}
    classes = [str(names.get(str(i), i)) for i in range(len(tensors["classifier.weight"]))]
    limit = about.max_tokens or config["max_position_embeddings"]
    device = context().device
    return Classifier(build_bert(shape, tensors).to(device), head.to(device), load_tokenizer(model), classes, limit)


KINDS = ("weight", "bias")
