"""Texts as token ids on disk, and their packing into rows: each step's batch from its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.models.packed_llama import PackedRows, pack_rows
from loomwork.stats.bins import best_fit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Pieces:
    """Tokenised texts, each with its control tokens, cut into pieces of a limited length.

    Args:
        ids: the tokens of all texts, one after another; on disk.
        starts, ends: of each piece in `ids`. A text's next piece begins with the last token of the one before, so
            that every token but a text's first is predicted once.
        text_bytes: the UTF-8 length of all texts.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    text_bytes: int

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = self.ends - self.starts
        return lengths


def read_pieces(data: Dataset, column: str, tokenizer: PreTrainedTokenizerBase, longest: int, file: Path) -> Pieces:
    """Tokenise a dataset's texts, by the batch, into a file. Rows without a text are passed over.

    Args:
        data: the dataset.
        column: where its texts are. Names of control tokens in them are plain characters.
        tokenizer: with a beginning-of-text and an end-of-text token.
        longest: the most tokens of a piece.
        file: written anew.

    Raises:
        InputError: the tokenizer lacks a control token, or no row has a text.
    """
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    if first is None or last is None:
        raise InputError(
            "the tokenizer has no beginning-of-text or no end-of-text token",
            "train.tokenizer makes one with both; or set bos_token and eos_token in its tokenizer_config.json",
        )
    total, done, text_bytes, at = len(data), 0, 0, 0
    starts: list[int] = []
    ends: list[int] = []
    with open(file, "wb") as stream:
        for batch in data.batches([column], rows=1024):
            texts = [t for t in batch.column(column).to_pylist() if t]
            found = (
                tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False) if texts else {}
            )
            for ids in found["input_ids"] if texts else []:
                np.array([first, *ids, last], np.uint32).tofile(stream)
                length = len(ids) + 2
                for start in range(0, length - 1, longest - 1):
                    starts.append(at + start)
                    ends.append(at + min(start + longest, length))
                at += length
            text_bytes += sum(len(t.encode()) for t in texts)
            done += batch.num_rows
            context().progress(done, total, "texts", note="tokenising")
    if not at:
        raise InputError(f"no row of the dataset has a text in column {column!r}")
    return Pieces(np.memmap(file, np.uint32, "r"), np.array(starts), np.array(ends), text_bytes)


class Packing:
    """An endless sequence of rows: epoch after epoch of the pieces, each epoch packed in a new order.

    Args:
        pieces: what is packed.
        time: the tokens of a row, at least the longest piece.
        rows: how many rows a batch has.
        seed: of the orders.
    """

    def __init__(self, pieces: Pieces, time: int, rows: int, seed: int) -> None:
        self.pieces, self.time, self.rows, self.seed = pieces, time, rows, seed
        self.epoch = lru_cache(maxsize=2)(self._epoch)
        self.rows_per_epoch = len(self.epoch(0))
        self.targets_per_epoch = int(self.pieces.lengths.sum()) - len(self.pieces.starts)

    @property
    def targets_per_step(self) -> float:
        """How many tokens a batch predicts, on average."""
        return self.targets_per_epoch / self.rows_per_epoch * self.rows

    @property
    def filled(self) -> float:
        """The share of places in the rows that holds a token."""
        return float(self.pieces.lengths.sum()) / (self.rows_per_epoch * self.time)

    def _epoch(self, number: int) -> list[list[int]]:
        """The rows of an epoch, as numbers of pieces. Every epoch has as many."""
        order = np.random.default_rng([self.seed, number])
        shuffled = order.permutation(len(self.pieces.starts))
        rows = best_fit(self.pieces.lengths[shuffled], self.time)
        return [[int(shuffled[i]) for i in rows[r]] for r in order.permutation(len(rows))]

    def take(self, first: int, count: int) -> PackedRows:
        """Rows `first` to `first + count` of the endless sequence."""
        taken = []
        for row in range(first, first + count):
            epoch, place = divmod(row, self.rows_per_epoch)
            pieces = self.epoch(epoch)[place]
            taken.append(
                [self.pieces.ids[self.pieces.starts[p] : self.pieces.ends[p]].astype(np.int64) for p in pieces]
            )
        return pack_rows(taken, self.time)

    def batch(self, step: int) -> PackedRows:
        """The batch of a step; it depends on nothing else."""
        return self.take(step * self.rows, self.rows)


def to_device(rows: PackedRows, device: Any) -> PackedRows:
    """The same rows on another device."""
    return PackedRows(*(field.to(device) for field in (rows.ids, rows.positions, rows.texts, rows.targets)))
