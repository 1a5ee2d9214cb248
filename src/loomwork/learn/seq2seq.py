"""Pairs of texts for models with an encoder and a decoder: the source is read, the target is learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.learn.distributed import even, mine
from loomwork.learn.order import RowOrder
from loomwork.learn.padded import PaddedPart, pad_rows, pad_targets
from loomwork.learn.parts import split_rows
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.translator import encode_sources, encode_targets


@dataclass(frozen=True)
class TextPairs:
    """Pairs in the order of the data.

    Args:
        sources: token ids of each source, int32.
        targets: the same of each target, its end with it.
        row_ids: of the dataset.
        left_out: how many rows could not be learned from, by reason.
    """

    sources: list[np.ndarray]
    targets: list[np.ndarray]
    row_ids: list[bytes]
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> list[int]:
        """Tokens of both sides of each pair."""
        return [len(s) + len(t) for s, t in zip(self.sources, self.targets, strict=True)]


def read_text_pairs(data: Dataset, columns: tuple[str, str], tokenizer: Any, prefix: str, longest: int) -> TextPairs:
    """Tokenise pairs. One with an empty or too long side is left out and counted: cut, it would be no translation.

    Args:
        columns: of sources and of targets.
        tokenizer: of transformers.
        prefix: put before each source.
        longest: tokens of a side.

    Raises:
        InputError: nothing can be learned from.
    """
    data.require(*columns)
    data.require_rows()
    pairs = TextPairs([], [], [], {})
    done = 0
    for batch in data.batches([*columns, "row_id"], rows=1024):
        found = list(zip(*(batch.column(name).to_pylist() for name in (*columns, "row_id")), strict=True))
        good = [(s, t, r) for s, t, r in found if all(isinstance(x, str) and x.strip() for x in (s, t))]
        _count(pairs.left_out, "a side has no text", len(found) - len(good))
        if good:
            sources = encode_sources(tokenizer, [prefix + s for s, _, _ in good])
            targets = encode_targets(tokenizer, [t for _, t, _ in good])
            for ours, theirs, (_, _, row) in zip(sources, targets, good, strict=True):
                if max(len(ours), len(theirs)) > longest:
                    _count(pairs.left_out, f"a side is longer than {longest} tokens", 1)
                    continue
                pairs.sources.append(np.array(ours, np.int32))
                pairs.targets.append(np.array(theirs, np.int32))
                pairs.row_ids.append(bytes(row))
        done += batch.num_rows
        context().progress(done, len(data), "pairs", note="tokenising")
    if not len(pairs):
        why = "; ".join(f"{n} rows: {reason}" for reason, n in pairs.left_out.items())
        raise InputError(f"no row can be learned from: {why}", f"look at the columns {' and '.join(columns)}")
    return pairs


def _count(left_out: dict[str, int], why: str, rows: int) -> None:
    if rows:
        left_out[why] = left_out.get(why, 0) + rows


@dataclass(frozen=True)
class PairPart(PaddedPart):
    """Some pairs of a batch: `ids` are the sources, `targets` int64 (texts, time)."""

    @property
    def tokens(self) -> int:
        return int(self.ids.numel() + self.targets.numel())


@dataclass(frozen=True)
class PairBatches:
    """The batches of a run; the loss is the mean over the batch's target tokens.

    Args:
        pairs: what is learned.
        order: which of it each step takes.
        shift: what the decoder reads for targets (texts, time): each token's predecessor.
        device: where the tensors are to be.
        pad: the token that fills.
    """

    pairs: TextPairs
    order: RowOrder
    shift: Callable[[Tensor], Tensor]
    device: str
    pad: int

    def parts(self, step: int, limit: int) -> list[PairPart]:
        """This process's parts of a step's batch, pairs of like length, each of at most about `limit` tokens."""
        return self.parts_of(self.order.at(step), limit)

    def parts_of(self, rows: Sequence[int], limit: int) -> list[PairPart]:
        """The same for any rows."""
        share = 1 / sum(len(self.pairs.targets[r]) for r in rows)
        lengths = {r: len(self.pairs.sources[r]) + len(self.pairs.targets[r]) for r in rows}
        taken = mine(rows, [lengths[r] for r in rows])
        chosen = split_rows(taken, [lengths[r] for r in taken], limit, padded=True)
        parts = [self._part(some, share) for some in chosen]
        return even(parts, lambda: self._part([min(rows, key=lengths.__getitem__)], 0.0))

    def _part(self, rows: list[int], share: float) -> PairPart:
        ids, seen = pad_rows([self.pairs.sources[r] for r in rows], self.pad)
        targets = pad_targets([self.pairs.targets[r] for r in rows], IGNORED)
        read = self.shift(targets)
        moved = [t.to(self.device) for t in (ids, seen, targets, read)]
        return PairPart(moved[0], moved[1], moved[2], share, tuple(rows), {"decoder_input_ids": moved[3]})

    def sample(self, rows: int, limit: int, seed: int) -> list[PairPart]:
        """Parts of a random sample of so many rows, as one batch: to look at while training."""
        order = np.random.default_rng([seed, 1]).permutation(len(self.pairs))[:rows]
        return self.parts_of([int(r) for r in order], limit)
