"""What models that transformers runs learn: classes of texts, numbers, classes of tokens, spans, masked tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from loomwork.learn.padded import PaddedPart
from loomwork.models.cross_entropy import IGNORED


class Outputs(torch.nn.Module):
    """A model of transformers, computed in a chosen precision; its weights stay float32.

    Args:
        model: of transformers, or peft's around it.
        dtype: of the matrix products.
    """

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, part: PaddedPart, **asked: Any) -> Any:
        """What the model gives for a part, and what else it is asked for (output_hidden_states)."""
        with torch.autocast(part.ids.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(input_ids=part.ids, attention_mask=part.seen, **part.more, **asked)


class ClassObjective(torch.nn.Module):
    """Cross-entropy of one class a text. A part's targets are the classes and the weights of its rows, both (texts).

    Args:
        outputs: logits (texts, classes).
        smoothing: how much of each target is spread over all classes, while training.
    """

    def __init__(self, outputs: Outputs, smoothing: float = 0.0) -> None:
        super().__init__()
        self.outputs, self.smoothing = outputs, smoothing

    def forward(self, part: PaddedPart) -> Tensor:
        return self.loss_of(part, self.outputs(part))

    def loss_of(self, part: PaddedPart, found: Any) -> Tensor:
        """The part's share of the loss, from what the model gave for it."""
        smoothing = self.smoothing if self.training else 0.0
        logits, (wanted, weights) = found.logits.float(), part.targets
        losses = F.cross_entropy(logits, wanted, reduction="none", label_smoothing=smoothing)
        total: Tensor = (losses * weights).sum() * part.share
        return total


class NumberObjective(torch.nn.Module):
    """Half of the squared error of one number a text. Targets are the numbers and the weights of rows, both (texts)."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, part: PaddedPart) -> Tensor:
        return self.loss_of(part, self.outputs(part))

    def loss_of(self, part: PaddedPart, found: Any) -> Tensor:
        """The part's share of the loss, from what the model gave for it."""
        wanted, weights = part.targets
        squares = (found.logits.float().squeeze(-1) - wanted) ** 2
        total: Tensor = 0.5 * (squares * weights).sum() * part.share
        return total


class TokenObjective(torch.nn.Module):
    """Cross-entropy of one class a token, IGNORED where a token has none. Of masked tokens, the class is the token.

    Args:
        outputs: logits (texts, time, classes).
        weights: of the classes (classes), or None.
        smoothing: as in ClassObjective.
    """

    def __init__(self, outputs: Outputs, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.outputs, self.smoothing = outputs, smoothing
        self.register_buffer("weights", weights)
        self.weights: Tensor | None

    def forward(self, part: PaddedPart) -> Tensor:
        return self.loss_of(part, self.outputs(part))

    def loss_of(self, part: PaddedPart, found: Any) -> Tensor:
        """The part's share of the loss, from what the model gave for it."""
        smoothing = self.smoothing if self.training else 0.0
        logits = found.logits[:, -part.targets.shape[1] :]
        learned = part.targets != IGNORED
        wanted = part.targets[learned]
        losses = F.cross_entropy(logits[learned].float(), wanted, reduction="none", label_smoothing=smoothing)
        if self.weights is not None:
            losses = losses * self.weights[wanted]
        return losses.sum() * part.share


class SpanObjective(torch.nn.Module):
    """Cross-entropy of the first and the last token of an answer, averaged. Targets are two tensors (texts)."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, part: PaddedPart) -> Tensor:
        return self.loss_of(part, self.outputs(part))

    def loss_of(self, part: PaddedPart, found: Any) -> Tensor:
        """The part's share of the loss, from what the model gave for it."""
        total = torch.zeros((), device=part.ids.device)
        for logits, wanted in zip((found.start_logits, found.end_logits), part.targets, strict=True):
            logits = logits[:, -part.seen.shape[1] :]  # without what a prompt adapter put in front
            scores = logits.float().masked_fill(part.seen == 0, -torch.inf)
            total = total + F.cross_entropy(scores, wanted, reduction="sum")
        return total / 2 * part.share


def class_weights(counts: Tensor, kind: str) -> Tensor:
    """The weight of a row of each class, 1 on average over rows. (classes)

    Args:
        counts: rows of each class.
        kind: "balanced" for the inverse frequency, "none" for 1.

    Source: King and Zeng (2001), Logistic Regression in Rare Events Data.
    """
    if kind == "none":
        return torch.ones(len(counts))
    counts = counts.float().clamp(min=1)
    return counts.sum() / (len(counts) * counts)
