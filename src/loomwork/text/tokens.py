"""How a tokenizer cuts texts: tokens to a word, to a character and to a byte, words in pieces, tokens without a word.

Source: fertility and the share of continued words, Rust et al. (2021), How good is your tokenizer?
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Languages whose writing does not separate words: tokens to a word mean nothing there.
WORDLESS = frozenset(("zh", "ja", "th", "lo", "km", "my", "bo", "dz", "yue", "wuu", "cmn", "jpn", "tha", "zho"))
BATCH = 256


@dataclass(frozen=True)
class TokenCounts:
    """Counts of each text, int64 (texts,).

    Args:
        tokens: without the control tokens that a model is given around a text.
        words: between white space.
        split_words: of these, words in more than one token.
        chars, bytes: of the text, UTF-8.
        unknown: tokens that stand for anything the vocabulary lacks.
        byte_pieces: tokens that are one byte of a character, or some bytes that are no whole characters.
    """

    tokens: np.ndarray
    words: np.ndarray
    split_words: np.ndarray
    chars: np.ndarray
    bytes: np.ndarray
    unknown: np.ndarray
    byte_pieces: np.ndarray


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> TokenCounts:
    """Tokenize texts and count. Names of control tokens in a text are text, as data.tokenize reads them.

    Args:
        tokenizer: of the tokenizers library; it is left as it was.
        texts: any, whole: nothing is truncated or padded.
    """
    with _plain(tokenizer):
        return _count(tokenizer, texts)


@contextmanager
def _plain(tokenizer: Tokenizer) -> Iterator[None]:
    """The tokenizer without truncation, padding and a sense for control tokens."""
    before = tokenizer.truncation, tokenizer.padding, tokenizer.encode_special_tokens
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    try:
        yield
    finally:
        truncation, padding, tokenizer.encode_special_tokens = before
        if truncation:
            tokenizer.enable_truncation(**truncation)
        if padding:
            tokenizer.enable_padding(**padding)


def _count(tokenizer: Tokenizer, texts: Sequence[str]) -> TokenCounts:
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    unknown, pieces = np.zeros(size + 1, bool), np.zeros(size + 1, bool)
    known = unknown_id(tokenizer)
    if known is not None:
        unknown[known] = True
    pieces[byte_piece_ids(tokenizer)] = True
    out = np.zeros((7, len(texts)), np.int64)
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        for i, encoded in enumerate(tokenizer.encode_batch(batch, add_special_tokens=False), start):
            ids = np.array(encoded.ids, np.int64)
            text = texts[i]
            out[0, i], out[3, i], out[4, i] = ids.size, len(text), len(text.encode("utf-8", "surrogatepass"))
            out[1, i], out[2, i] = _words(text, encoded.offsets)
            ids = np.minimum(ids, size)
            out[5, i], out[6, i] = int(unknown[ids].sum()), int(pieces[ids].sum())
    return TokenCounts(*out)


def _words(text: str, offsets: list[tuple[int, int]]) -> tuple[int, int]:
    """How many words there are between white space, and how many of them have tokens that begin inside of them."""
    letters = np.array([not c.isspace() for c in text], bool)
    begins = letters & ~np.concatenate(([False], letters[:-1])) if letters.size else letters
    word_of = np.cumsum(begins) - 1  # of each character
    starts = np.array([s for s, e in offsets if e > s], np.int64)
    ends = np.array([e for s, e in offsets if e > s], np.int64)
    last = word_of[np.minimum(ends - 1, max(0, letters.size - 1))] if starts.size else starts
    tokens = np.bincount(last[last >= 0], minlength=1) if starts.size else np.zeros(1, np.int64)
    return int(begins.sum()), int((tokens > 1).sum())


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of the token for what the vocabulary lacks; None where there is none."""
    model = _model(tokenizer)
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    name = model.get("unk_token")
    found: int | None = tokenizer.token_to_id(name) if isinstance(name, str) else None
    return found


def kind_of(tokenizer: Tokenizer) -> str:
    """The kind of its model: "BPE", "WordPiece", "Unigram", "WordLevel"."""
    return str(_model(tokenizer)["type"])


def byte_piece_ids(tokenizer: Tokenizer) -> list[int]:
    """The ids of tokens that are single bytes ("<0xE2>"), or, at the byte level, bytes that are no whole characters."""
    whole = json.loads(tokenizer.to_str())
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    if _at_byte_level(whole.get("pre_tokenizer")) or _at_byte_level(whole.get("normalizer")):
        table = byte_of_letter()
        return [i for token, i in vocabulary.items() if _broken(token, table)]
    if whole["model"].get("byte_fallback"):
        return [i for token, i in vocabulary.items() if len(token) == 6 and token.startswith("<0x")]
    return []


def byte_of_letter() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for.

    Source: Radford et al. (2019), GPT-2, encoder.py.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(rest)}


def _broken(token: str, table: dict[str, int]) -> bool:
    if any(c not in table for c in token):
        return False  # an added token is written as it is
    try:
        bytes(table[c] for c in token).decode()
    except UnicodeDecodeError:
        return True
    return False


def _at_byte_level(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    inner = part.get("pretokenizers") or part.get("normalizers") or []
    return part.get("type") == "ByteLevel" or any(_at_byte_level(p) for p in inner)


def _model(tokenizer: Tokenizer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return found
