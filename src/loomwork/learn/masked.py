"""Masked language modelling: which tokens are hidden, and a loss that makes logits of these only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.learn.distributed import from_first
from loomwork.learn.objectives import Outputs
from loomwork.learn.padded import PaddedPart
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.encoder import encode_pieces


@dataclass(frozen=True)
class Special:
    """What a tokenizer says of its control tokens.

    Args:
        mask: hides a token.
        ids: of all of them; they are never hidden, and never stand in another token's place.
        vocabulary: how many tokens there are.
    """

    mask: int
    ids: frozenset[int]
    vocabulary: int


def read_special(base: Model) -> Special:
    """The control tokens of a model's tokenizer.

    Raises:
        InputError: there is no tokenizer, or no token that masks.
    """
    from loomwork.models.chat_template import load_tokenizer

    tokenizer: Any = load_tokenizer(base)
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"the tokenizer of {base.path} has no token that masks",
            "for a fresh model: train.tokenizer with mask: true",
        )
    return Special(tokenizer.mask_token_id, frozenset(tokenizer.all_special_ids), len(tokenizer))


class Pieces(Sequence[Any]):
    """Texts as token ids, each cut into pieces of a limited length; on disk.

    Args:
        ids: of all pieces, one after another.
        ends: of each piece in `ids`.
        row_ids: of the dataset, for each piece.
        left_out: rows without a text.
        cut: how many rows became more than one piece.
        special: control tokens.
    """

    def __init__(
        self, ids: np.ndarray, ends: np.ndarray, row_ids: list[bytes], left_out: int, cut: int, special: Special
    ) -> None:
        self.ids, self.ends, self.row_ids, self.left_out, self.cut = ids, ends, row_ids, left_out, cut
        self.starts = np.concatenate([[0], ends[:-1]])
        self.special = special
        self._controls = np.array(sorted(special.ids))
        self._plain = np.setdiff1d(np.arange(special.vocabulary), self._controls)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, piece: Any) -> Any:
        return self.ids[self.starts[piece] : self.ends[piece]].astype(np.int64)

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = self.ends - self.starts
        return lengths

    def hidden(self, piece: int, share: float) -> int:
        """How many tokens of a piece are hidden: the share of those that may be, at least one."""
        return max(1, round(share * int((~np.isin(self[piece], self._controls)).sum())))

    def masked(self, piece: int, share: float, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of a piece with some of them hidden, and the targets: IGNORED where nothing is.

        Of ten hidden tokens eight become the mask, one another token, and one stays. Which ones depends on the
        arguments alone.

        Source: Devlin et al. 2018, arXiv:1810.04805, appendix A.1.
        """
        draw = np.random.default_rng([seed, step, piece])
        ids: np.ndarray = self[piece]
        may = np.flatnonzero(~np.isin(ids, self._controls))
        places = draw.permutation(may)[: self.hidden(piece, share)]
        targets = np.full(len(ids), IGNORED, np.int64)
        targets[places] = ids[places]
        chance = draw.random(len(places))
        ids[places[chance < 0.8]] = self.special.mask
        other = places[chance >= 0.9]
        ids[other] = draw.choice(self._plain, len(other))
        return ids, targets


def read_pieces(data: Dataset, column: str, tokenizer: Any, special: Special, longest: int, file: Path) -> Pieces:
    """Tokenise a dataset's texts, each piece with its control tokens. Rows without a text are left out. Of several
    processes the first one does it, and all read the file.

    Args:
        tokenizer: of the package tokenizers.
        longest: the most tokens of a piece.
        file: written anew.

    Raises:
        InputError: no row has a text.
    """
    found = from_first(lambda: _encode_all(data, column, tokenizer, special, longest, file))
    lengths, row_ids, left_out, cut = found
    if not lengths:
        raise InputError(f"no row has a text in column {column!r}", "is it the right column?")
    return Pieces(np.memmap(file, np.uint32, "r"), np.cumsum(lengths), row_ids, left_out, cut, special)


def _encode_all(
    data: Dataset, column: str, tokenizer: Any, special: Special, longest: int, file: Path
) -> tuple[list[int], list[bytes], int, int]:
    """Write the pieces' tokens; returns their lengths and rows, and how many rows were left out and cut."""
    row_ids: list[bytes] = []
    lengths: list[int] = []
    left_out = cut = done = 0
    with open(file, "wb") as stream:
        for batch in data.batches([column, "row_id"], rows=1024):
            found = zip(batch.column(column).to_pylist(), batch.column("row_id").to_pylist(), strict=True)
            good = [(t, bytes(r)) for t, r in found if isinstance(t, str) and t.strip()]
            pieces = encode_pieces(tokenizer, [t for t, _ in good], longest)
            for (_, row_id), of_row in zip(good, pieces, strict=True):
                kept = [np.array(ids, np.uint32) for ids in of_row if not special.ids.issuperset(ids)]
                for ids in kept:
                    ids.tofile(stream)
                lengths += [len(ids) for ids in kept]
                row_ids += [row_id] * len(kept)
                cut += len(kept) > 1
                left_out += not kept
            left_out += batch.num_rows - len(good)
            done += batch.num_rows
            context().progress(done, len(data), "texts", note="tokenising")
    return lengths, row_ids, left_out, cut


class MaskedObjective(torch.nn.Module):
    """Cross-entropy of the hidden tokens. The output layer sees the states of these alone.

    In a small model with a large vocabulary that layer is half of the work and most of the memory, for all tokens.

    Args:
        outputs: of a model of transformers with an output layer on each token's state.
    """

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs
        model = outputs.model.get_base_model() if hasattr(outputs.model, "peft_config") else outputs.model
        self._inside = model.base_model

    def forward(self, part: PaddedPart) -> Tensor:
        learned = part.targets != IGNORED

        def keep(module: Any, given: Any, found: Any) -> Any:
            states = found.last_hidden_state[:, -learned.shape[1] :]  # without what a prompt adapter put in front
            found.last_hidden_state = states[learned][None]  # (1, hidden tokens, width)
            return found

        hook = self._inside.register_forward_hook(keep)
        try:
            logits = self.outputs(part).logits[0]  # (hidden tokens, vocabulary)
        finally:
            hook.remove()
        return F.cross_entropy(logits.float(), part.targets[learned], reduction="sum") * part.share
