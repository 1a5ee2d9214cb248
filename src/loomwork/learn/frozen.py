"""Training the upper layers of a BERT only. What the layers below compute of a text never changes, so it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from loomwork.core.context import context
from loomwork.models.bert import Bert
from loomwork.models.encoder import Ids, by_length, pad

GROUP_TOKENS = 768  # of texts of like length that are computed at once: what stays in a core's cache
KEPT_BYTES = 8 << 30  # of a file of states; where they would need more, they are computed anew at every step


class FrozenLayers:
    """Freezes the lower layers of a module, and gives what they compute. They compute in `dtype`, without dropout.

    Args:
        module: frozen in place.
        texts: the token ids of every text that will be asked for.
        layers: how many of the lowest layers are frozen, the embeddings with them; None for nothing at all.
        dtype: of what is computed.
        file: where the states are kept; one that is there is of these texts and layers. None to compute them
            anew at every step.
    """

    def __init__(
        self, module: Bert, texts: Sequence[Ids], layers: int | None, dtype: torch.dtype, file: Path | None
    ) -> None:
        self.module, self.texts, self.dtype = module, texts, dtype
        self.first = layers or 0  # the first layer that is trained
        self.frozen = layers is not None
        self.lengths = [len(t) for t in texts]
        if not self.frozen:
            self.kept: Tensor | None = None
            return
        for part in (module.embeddings, *module.layers[: self.first]):
            part.requires_grad_(False).to(dtype)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        size = int(self.starts[-1]) * module.shape.dim
        self.kept = self._keep(file, size) if file and size * dtype.itemsize <= KEPT_BYTES else None

    def groups(self, rows: Sequence[int]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Texts in groups of like length.

        Args:
            rows: numbers of texts.

        Returns: for each group the places in `rows`, what goes into layer `first` (batch, time, dim) or, where
            nothing is frozen, token ids (batch, time), and the lengths (batch).
        """
        device = next(self.module.parameters()).device
        for places in by_length([self.lengths[r] for r in rows], GROUP_TOKENS):
            chosen = [rows[p] for p in places]
            if self.kept is not None:
                states = [self.kept[self.starts[r] : self.starts[r + 1]] for r in chosen]
                hidden = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
                lengths = torch.tensor([len(s) for s in states])
            else:
                hidden, lengths = (torch.from_numpy(a) for a in pad([self.texts[r] for r in chosen]))
            hidden, lengths = hidden.to(device), lengths.to(device)
            if self.frozen and self.kept is None:
                hidden = self._states(hidden, lengths)
            yield places, hidden, lengths

    @torch.no_grad()
    def _states(self, ids: Tensor, lengths: Tensor) -> Tensor:
        was = self.module.training
        states = self.module.eval().states(ids, lengths, 0, self.first)
        self.module.train(was)
        return states

    def _keep(self, path: Path, size: int) -> Tensor:
        """The states of all texts, one after the other, in a file that is read as it is needed."""
        shape = (-1, self.module.shape.dim)
        if path.is_file():
            return torch.from_file(str(path), shared=False, size=size, dtype=self.dtype).view(shape)
        half = path.with_suffix(".half")
        half.unlink(missing_ok=True)
        kept = torch.from_file(str(half), shared=True, size=size, dtype=self.dtype).view(shape)
        device, done = next(self.module.parameters()).device, 0
        for rows in by_length(self.lengths, 2 * GROUP_TOKENS):
            ids, lengths = pad([self.texts[r] for r in rows])
            states = self._states(torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)).cpu()
            for row, text in zip(rows, states, strict=True):
                kept[self.starts[row] : self.starts[row + 1]] = text[: self.lengths[row]]
            done += len(rows)
            context().progress(done, len(self.texts), "texts", note="frozen layers")
        descriptor = os.open(half, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        half.replace(path)
        return kept


def vectors_of(module: Bert, below: FrozenLayers, rows: Sequence[int], pooling: str) -> Tensor:
    """The vectors of texts, with gradients. The trained weights are float32; they compute in the dtype of `below`.

    Args:
        module: the encoder.
        below: its frozen layers and the texts.
        rows: numbers of texts.
        pooling: "mean" or "cls".

    Returns: float32 (rows, dim).
    """
    weights = {n: p.to(below.dtype) for n, p in module.named_parameters() if p.requires_grad}
    order: list[int] = []
    vectors = []
    for places, hidden, lengths in below.groups(rows):
        order += places
        arguments = (hidden, lengths, pooling, below.first)
        vectors.append(torch.func.functional_call(module, weights, arguments))
    return torch.cat(vectors)[torch.tensor(np.argsort(order), device=vectors[0].device)]
