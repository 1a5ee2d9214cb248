"""Token rows on disk, ready for training: which tokens there are, and which of them are learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.learn.distributed import from_first

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from loomwork.models.chat_template import ChatTemplate

BATCH_ROWS = 1024
Encoded = tuple[list[int], list[bool] | None]  # token ids, and which of them are learned: None for all but the first


@dataclass(frozen=True)
class Sequences:
    """Rows of tokens, each cut into pieces of a limited length.

    Args:
        ids: the tokens of all rows, one after another; on disk.
        learned: whether each token is predicted and scored, where it is not the first of its piece; on disk.
        starts, ends: of each piece in `ids`. A row's next piece begins with the last token of the one before, so
            that every token but a row's first can be predicted.
        row_ids: for each piece the id of the dataset's row it is from, 16 bytes each.
        text_bytes: the UTF-8 length of all texts.
        left_out: how many rows of the dataset had nothing to learn, with the reasons.
        cut: how many rows were longer than a piece.
    """

    ids: np.ndarray
    learned: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    row_ids: list[bytes]
    text_bytes: int
    left_out: dict[str, int]
    cut: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def rows(self) -> int:
        """How many rows of the dataset they are of; a row's next piece begins with the last token of the one before."""
        return int(np.count_nonzero(self.starts[1:] == self.ends[:-1])) + min(1, len(self))

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = self.ends - self.starts
        return lengths

    def tokens(self, piece: int) -> np.ndarray:
        found: np.ndarray = self.ids[self.starts[piece] : self.ends[piece]]
        return found

    def targets(self, piece: int, ignored: int) -> np.ndarray:
        """For each token of a piece the next one, where that is learned; `ignored` elsewhere."""
        span = slice(int(self.starts[piece]) + 1, int(self.ends[piece]))
        found = np.full(self.ends[piece] - self.starts[piece], ignored, np.int64)
        found[:-1] = np.where(self.learned[span], self.ids[span].astype(np.int64), ignored)
        return found

    @property
    def target_counts(self) -> np.ndarray:
        """How many tokens of each piece are learned."""
        before = np.concatenate([[0], np.cumsum(self.learned, dtype=np.int64)])
        counts: np.ndarray = before[self.ends] - before[self.starts + 1]
        return counts


def read_texts(data: Dataset, column: str, tokenizer: PreTrainedTokenizerBase, longest: int, file: Path) -> Sequences:
    """Tokenise a dataset's texts, each with its control tokens. Rows without a text, or
    with white space only, are left out and counted.

    Args:
        data: the dataset.
        column: where its texts are. Names of control tokens in them are plain characters.
        tokenizer: with an end-of-text token. Where it has none for the beginning, a text's first token is not learned.
        longest: the most tokens of a piece; longer texts are cut.
        file: written anew.

    Raises:
        InputError: the tokenizer has no end-of-text token, or no row has a text.
    """
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    if last is None:
        raise InputError(
            "the tokenizer has no end-of-text token",
            "train.tokenizer makes one; or set eos_token in its tokenizer_config.json",
        )
    begin = [] if first is None else [first]

    def encode(rows: list[dict[str, Any]]) -> Iterator[Encoded | str]:
        texts = [r[column] if isinstance(r[column], str) and r[column].strip() else "" for r in rows]
        found = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)
        for text, ids in zip(texts, found["input_ids"], strict=True):
            yield ([*begin, *ids, last], None) if text else "no text"

    return _write(data, [column], encode, longest, file, cut_long=True, text=lambda r: r[column] or "")


def read_chats(data: Dataset, chats: ChatTemplate, longest: int, file: Path) -> Sequences:
    """Write conversations with a chat template and tokenise them; what the assistant says is learned.

    Args:
        data: what data.chat makes, with a column `messages`.
        chats: the template and its tokenizer.
        longest: the most tokens of a row. A longer conversation is left out and counted: cut, it would teach an
            answer without its end.
        file: written anew.
    """
    from loomwork.models.chat_template import answer_mask, encode_rendered

    def encode(rows: list[dict[str, Any]]) -> Iterator[Encoded | str]:
        made: list[Any] = []
        for row in rows:
            try:
                made.append(chats.render(row["messages"]))
            except InputError as error:
                made.append(error.what.partition(":")[0])
        good = [m for m in made if not isinstance(m, str)]
        found = iter(encode_rendered(chats.tokenizer, [m.text for m in good]) if good else [])
        for one in made:
            if isinstance(one, str):
                yield one
                continue
            ids, offsets = next(found)
            yield ids, answer_mask(offsets, one.answers)

    return _write(data, ["messages"], encode, longest, file, cut_long=False)


def read_token_rows(data: Dataset, longest: int, file: Path) -> Sequences:
    """Rows that are token ids already: what data.tokenize makes, with its `loss_mask` where there is one.

    Args:
        longest: the most tokens of a row; longer ones are left out and counted.

    Raises:
        InputError: the rows are packed, or none can be learned from.
    """
    if "lengths" in data.schema.names:
        raise InputError("a row holds several texts", "give the dataset as it was before data.pack: training packs too")
    masked = "loss_mask" in data.schema.names

    def encode(rows: list[dict[str, Any]]) -> Iterator[Encoded | str]:
        for row in rows:
            ids, mask = row["input_ids"], row["loss_mask"] if masked else None
            if not ids:
                yield "no tokens"
            elif min(ids) < 0:
                yield "a negative token"
            elif mask is not None and len(mask) != len(ids):
                yield "a loss_mask of another length"
            else:
                yield ids, mask

    columns = ["input_ids", *(["loss_mask"] if masked else [])]
    return _write(data, columns, encode, longest, file, cut_long=False)


def _write(
    data: Dataset,
    columns: list[str],
    encode: Callable[[list[dict[str, Any]]], Iterator[Encoded | str]],
    longest: int,
    file: Path,
    *,
    cut_long: bool,
    text: Callable[[dict[str, Any]], str] | None = None,
) -> Sequences:
    """Encode a dataset into a file; `encode` gives tokens, or why a row is left out. Of several processes the first
    one does it, and all read the file."""
    file, *found = from_first(lambda: _encode_all(data, columns, encode, longest, file, cut_long=cut_long, text=text))
    ids, learned = np.memmap(file, np.uint32, "r"), np.memmap(file.with_suffix(".learned"), np.bool_, "r")
    return Sequences(ids, learned, *found)


def _encode_all(
    data: Dataset,
    columns: list[str],
    encode: Callable[[list[dict[str, Any]]], Iterator[Encoded | str]],
    longest: int,
    file: Path,
    *,
    cut_long: bool,
    text: Callable[[dict[str, Any]], str] | None,
) -> tuple[Any, ...]:
    """Write the tokens; returns the file, and what Sequences holds beside them."""
    starts: list[int] = []
    ends: list[int] = []
    row_ids: list[bytes] = []
    left_out: dict[str, int] = {}
    at = done = text_bytes = cut = 0
    total = len(data)
    learned_file = file.with_suffix(".learned")
    with open(file, "wb") as tokens, open(learned_file, "wb") as scored:
        for batch in data.batches([*columns, "row_id"], rows=BATCH_ROWS):
            rows = batch.to_pylist()
            for row, one in zip(rows, encode(rows), strict=True):
                if not isinstance(one, str) and len(one[0]) > longest:
                    cut += cut_long
                    one = one if cut_long else f"longer than {longest} tokens"
                if not isinstance(one, str) and not _teaches(one):
                    one = "nothing to learn"
                if isinstance(one, str):
                    left_out[one] = left_out.get(one, 0) + 1
                    continue
                ids, mask = one
                np.array(ids, np.uint32).tofile(tokens)
                (np.ones(len(ids), bool) if mask is None else np.array(mask, bool)).tofile(scored)
                for start in range(0, len(ids) - 1, longest - 1):
                    starts.append(at + start)
                    ends.append(at + min(start + longest, len(ids)))
                    row_ids.append(bytes(row["row_id"]))
                at += len(ids)
                text_bytes += len(text(row).encode()) if text else 0
            done += batch.num_rows
            context().progress(done, total, "texts", note="tokenising")
    if not at:
        why = "".join(f"; {n} rows: {reason}" for reason, n in left_out.items())
        hint = f"look at its columns {', '.join(columns)}"
        if any(reason.startswith("longer than") for reason in left_out):
            hint = "raise max_tokens as far as the model reads, or shorten the rows"
        raise InputError(f"no row of the dataset can be learned from{why}", hint)
    return file, np.array(starts), np.array(ends), row_ids, text_bytes, left_out, cut


def _teaches(one: Encoded) -> bool:
    ids, mask = one
    return len(ids) > 1 and (mask is None or any(mask[1:]))
