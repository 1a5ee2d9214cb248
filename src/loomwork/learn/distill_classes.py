"""A classifier that learns from another: what the teacher says of each row is computed once and kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.learn.distill_loss import Mix, Projections
from loomwork.learn.distributed import from_first
from loomwork.learn.objectives import Outputs
from loomwork.learn.padded import Ids, PaddedPart, pad_rows
from loomwork.models.classifier import load_classifier
from loomwork.models.encoder import by_length
from loomwork.models.opened import open_outputs

KEPT_BYTES = 8 << 30  # of a file of states; where they would need more, they are computed anew at every step
BATCH_TOKENS = 2048


class DistilledClasses(torch.nn.Module):
    """The mean over rows of the mixed loss; hidden states count while training, those of filling not at all.

    A part's targets are the right classes (texts), the teacher's logits (texts, classes) and, where states are
    compared, its states (texts, time, compared layers, width).

    Args:
        outputs: of the student.
        mix: the loss.
        projections: for hidden states; None where they are not compared.
    """

    def __init__(self, outputs: Outputs, mix: Mix, projections: Projections | None) -> None:
        super().__init__()
        self.outputs, self.mix, self.projections = outputs, mix, projections

    def forward(self, part: PaddedPart) -> Tensor:
        return self.loss_of(part, self.outputs(part, output_hidden_states=len(part.targets) > 2))

    def loss_of(self, part: PaddedPart, found: Any) -> Tensor:
        """The part's share of the loss, from what the student gave for it."""
        right, said, *states = part.targets
        losses = self.mix.losses(found.logits, right, said)
        if self.projections is not None and states:
            mine = [found.hidden_states[layer] for layer in self.mix.layers]
            errors = self.projections(mine, list(states[0].unbind(2)))  # (texts, time)
            losses = losses + self.mix.hidden_weight * (errors * part.seen).sum(1) / part.seen.sum(1)
        return losses.sum() * part.share


def teacher_logits(teacher: Model, texts: Sequence[str], file: Path) -> Tensor:
    """A classifier's logits of texts, but for a constant of each row. float32 (texts, classes). Of several processes
    the first one asks it, and all read the file.

    Args:
        teacher: reads with its own tokenizer.
        texts: of the rows.
        file: where they are kept; one that is there is of these texts.
    """

    def ask() -> None:
        if not file.is_file():
            probabilities = load_classifier(teacher).probabilities(texts)
            _save(file, np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))

    from_first(ask)
    return torch.from_numpy(np.load(file))


def _save(file: Path, logits: np.ndarray) -> None:
    half = file.with_suffix(".half")
    with open(half, "wb") as stream:
        np.save(stream, logits.astype(np.float32))
    half.replace(file)


class TeacherStates:
    """A teacher's hidden states of all tokens of rows, without dropout.

    Args:
        teacher: of the student's tokenizer.
        rows: token ids of each row.
        layers: of the teacher, that are compared.
        dtype: of the matrix products, and of what is kept.
        file: where they are kept; one that is there is of these rows and layers.
        logits: where the logits that the same pass gives are kept, as `teacher_logits` reads them.
    """

    def __init__(
        self, teacher: Model, rows: Sequence[Ids], layers: Sequence[int], dtype: torch.dtype, file: Path, logits: Path
    ):
        self.rows, self.layers, self.dtype, self.file, self.logits = rows, list(layers), dtype, file, logits
        self.model = open_outputs(teacher, "AutoModelForSequenceClassification").requires_grad_(False)
        self.width = int(self.model.config.hidden_size)
        self.pad = self.model.config.pad_token_id or 0
        self.starts = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
        numbers = int(self.starts[-1]) * len(self.layers) * self.width
        self.kept = self._keep(numbers) if numbers * dtype.itemsize <= KEPT_BYTES else None

    def of(self, chosen: Sequence[int]) -> Tensor:
        """The states of some rows, zeros for filling. (rows, time, layers, width)"""
        if self.kept is None:
            return self._compute(chosen)[0]
        states = [self.kept[self.starts[r] : self.starts[r + 1]] for r in chosen]
        return torch.nn.utils.rnn.pad_sequence(states, batch_first=True)

    @torch.no_grad()
    def _compute(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        """States, and logits (rows, classes)."""
        ids, seen = (t.to(context().device) for t in pad_rows([self.rows[r] for r in chosen], self.pad))
        with torch.autocast(ids.device.type, self.dtype, enabled=self.dtype != torch.float32):
            found = self.model(input_ids=ids, attention_mask=seen, output_hidden_states=True)
        states = torch.stack([found.hidden_states[layer] for layer in self.layers], 2)
        return states.to(self.dtype), found.logits.float()

    def _keep(self, numbers: int) -> Tensor:
        """All states, one row after the other, in a file that is read as it is needed."""
        from_first(lambda: None if self.file.is_file() else self._compute_all(numbers))
        kept = torch.from_file(str(self.file), shared=False, size=numbers, dtype=self.dtype)
        return kept.view(-1, len(self.layers), self.width)

    def _compute_all(self, numbers: int) -> None:
        half = self.file.with_suffix(".half")
        half.unlink(missing_ok=True)
        kept = torch.from_file(str(half), shared=True, size=numbers, dtype=self.dtype).view(
            -1, len(self.layers), self.width
        )
        logits, done = torch.zeros(len(self.rows), self.model.config.num_labels), 0
        for chosen in by_length([len(r) for r in self.rows], BATCH_TOKENS):
            found, logits[chosen] = (t.cpu() for t in self._compute(chosen))
            for row, states in zip(chosen, found, strict=True):
                kept[self.starts[row] : self.starts[row + 1]] = states[: len(self.rows[row])]
            done += len(chosen)
            context().progress(done, len(self.rows), "texts", note="the teacher's hidden states")
        _save(self.logits, logits.numpy())
        descriptor = os.open(half, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        half.replace(self.file)
