"""Texts as kernels take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loomwork.text.spans import Words, words_at


def as_bytes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Their UTF-8 bytes, one after the other, and where each begins."""
    pieces = [text.encode() for text in texts]
    offsets = np.concatenate(([0], np.cumsum([len(p) for p in pieces]))).astype(np.int64)
    return np.frombuffer(b"".join(pieces) or b"\0", np.uint8), offsets


def spelled(words: Words, data: np.ndarray) -> list[list[str]]:
    """The words of each text."""
    spans = [bytes(data[a:b]).decode() for a, b in zip(words.starts, words.ends, strict=True)]
    return [spans[a:b] for a, b in zip(words.rows[:-1], words.rows[1:], strict=True)]


def as_words(texts: Sequence[str], given: Sequence[Sequence[str]]) -> Words:
    """A word split of one's own: each word is looked for behind the one before it."""
    starts, ends, rows, place = [], [], [0], 0
    for text, words in zip(texts, given, strict=True):
        raw, at = text.encode(), 0
        for word in words:
            at = raw.index(word.encode(), at)
            starts.append(place + at)
            at += len(word.encode())
            ends.append(place + at)
        rows.append(len(starts))
        place += len(raw)
    data, _ = as_bytes(texts)
    return words_at(data, np.array(starts, np.int64), np.array(ends, np.int64), np.array(rows, np.int64))
