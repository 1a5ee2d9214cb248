"""What the words of texts say of their variety: distinct n-grams, compression, hashed n-gram counts.

A word is a run of letters, digits and marks, in lower case; in scripts that do not separate words a run may be a whole
phrase, so n-grams of characters are given too.

Source: distinct-n, Li et al. (2016), A diversity-promoting objective function for neural conversation models;
compression ratio, Shaib et al. (2024), Standardizing the measurement of text diversity; hashed features, Weinberger
et al. (2009), Feature hashing for large scale multitask learning.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from loomwork.text.minhash import Texts
from loomwork.text.spans import SPACE, SYMBOL, Words, character_kinds, decode, mix, words_at

_u64 = np.uint64


def letter_words(texts: Texts) -> Words:
    """The runs of letters, digits and marks; an apostrophe between two of them belongs to the word.

    Args:
        texts: in lower case, where case is not to count.
    """
    most = int(texts.offsets[-1] - texts.offsets[0]) // 2 + len(texts) + 1
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    rows = np.zeros(len(texts) + 1, np.int64)
    count = _letter_runs(texts.data, texts.offsets, character_kinds(), starts, ends, rows)
    return words_at(texts.data, starts[:count], ends[:count], rows)


@njit(nogil=True, cache=True)
def _letter_runs(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, starts: np.ndarray, ends: np.ndarray, rows: np.ndarray
) -> int:
    count = 0
    for row in range(offsets.size - 1):
        i, end = offsets[row], offsets[row + 1]
        inside = False
        while i < end:
            char, after = decode(data, i)
            letter = table[char] & (SPACE | SYMBOL) == 0
            if not letter and inside and (char == 0x27 or char == 0x2019) and after < end:
                following, _ = decode(data, after)
                letter = table[following] & (SPACE | SYMBOL) == 0
            if inside and not letter:
                ends[count - 1] = i
            elif letter and not inside:
                starts[count] = i
                count += 1
            inside = letter
            i = after
        if inside:
            ends[count - 1] = end
        rows[row + 1] = count
    return count


def word_ngrams(words: Words, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The hash of every run of n words within a text, and the text it stands in.

    Returns: uint64 (ngrams,), int64 (ngrams,).
    """
    row_of = np.repeat(np.arange(words.rows.size - 1), np.diff(words.rows))
    count = max(0, len(words) - n + 1)
    whole = row_of[:count] == row_of[n - 1 : n - 1 + count]
    hashed = np.zeros(count, np.uint64)
    for shift in range(n):
        hashed = scatter_bits(hashed * _u64(3) + words.hashes[shift : shift + count])
    return hashed[whole], row_of[:count][whole]


@njit(nogil=True, cache=True)
def scatter_bits(values: np.ndarray) -> np.ndarray:
    """Well-mixed hashes of 64-bit numbers, uint64 (n,)."""
    out = np.empty_like(values)
    for i in range(values.size):
        out[i] = mix(values[i])
    return out


def distinct_n(words: Words, n: int, most_words: int | None = None) -> tuple[float, int]:
    """Different n-grams of words by all n-grams, and how many there are. It falls with the length of what is measured.

    Args:
        words: of the texts, as from `letter_words`.
        n: 1 for words.
        most_words: only so many of the first words are measured, so that sets of different sizes compare.

    Returns: the ratio (0 where there is no n-gram), and the number of n-grams.
    """
    if most_words is not None and len(words) > most_words:
        rows = np.minimum(words.rows, most_words)
        part = slice(0, most_words)
        words = Words(
            words.starts[part], words.ends[part], rows, words.chars[part], words.kinds[part], words.hashes[part]
        )
    hashes, _ = word_ngrams(words, n)
    return (np.unique(hashes).size / hashes.size if hashes.size else 0.0), int(hashes.size)


def compression_ratio(texts: Sequence[str], most_bytes: int = 8 << 20) -> float:
    """Bytes by bytes after DEFLATE (level 6): texts that repeat one another compress more. 1 where there is no text.

    Args:
        texts: joined with line ends.
        most_bytes: only so many are measured.
    """
    packer = zlib.compressobj(6)
    given = made = 0
    for text in texts:
        piece = (text + "\n").encode("utf-8", "surrogatepass")[: most_bytes - given]
        given += len(piece)
        made += len(packer.compress(piece))
        if given >= most_bytes:
            break
    made += len(packer.flush())
    return given / made if given else 1.0


def hashed_counts(texts: Sequence[str], *, most_n: int = 2, buckets: int = 1 << 16, characters: bool = False) -> Any:
    """How often each hashed n-gram occurs in each text.

    Args:
        texts: any; lower-cased here.
        most_n: words, pairs and so on up to this length; with `characters` runs of exactly so many bytes.
        buckets: a power of two.
        characters: runs of bytes in place of words.

    Returns: a scipy sparse matrix, float64 (texts, buckets).
    """
    from scipy.sparse import csr_matrix

    encoded = Texts.of(text.lower() for text in texts)
    if characters:
        hashes, rows = _byte_ngrams(encoded, most_n)
    else:
        words = letter_words(encoded)
        pairs = [word_ngrams(words, n) for n in range(1, most_n + 1)]
        hashes, rows = np.concatenate([h for h, _ in pairs]), np.concatenate([r for _, r in pairs])
    columns = (hashes & _u64(buckets - 1)).astype(np.int64)
    counts = csr_matrix((np.ones(rows.size), (rows, columns)), shape=(len(encoded), buckets))
    counts.sum_duplicates()
    return counts


def _byte_ngrams(texts: Texts, n: int) -> tuple[np.ndarray, np.ndarray]:
    data = texts.data[: texts.offsets[-1]].astype(np.uint64)
    count = max(0, data.size - n + 1)
    row_of = np.repeat(np.arange(len(texts)), np.diff(texts.offsets))
    whole = row_of[:count] == row_of[n - 1 : n - 1 + count]
    hashed = np.zeros(count, np.uint64)
    for shift in range(n):
        hashed = (hashed << _u64(8)) + data[shift : shift + count]
    return scatter_bits(hashed[whole]), row_of[:count][whole]


def unit_rows(counts: Any) -> Any:
    """log(1 + count), each row brought to length 1; rows of nothing stay zero. A scipy sparse matrix like its input."""
    from scipy.sparse import diags

    damped = counts.copy()
    damped.data = np.log1p(damped.data)
    lengths = np.sqrt(np.asarray(damped.multiply(damped).sum(axis=1)).ravel())
    return diags(1 / np.where(lengths > 0, lengths, 1)) @ damped


def oddness(texts: Texts) -> np.ndarray:
    """How unexpected each text's pairs of bytes are among those of all texts: mean bits a pair, 0 for a short text.

    Returns: float64 (texts,).
    """
    pairs = np.full((256, 256), 1e-3)
    _count_pairs(texts.data, texts.offsets, pairs)
    found = np.zeros(len(texts))
    _mean_bits(texts.data, texts.offsets, -np.log2(pairs / pairs.sum(axis=1, keepdims=True)), found)
    return found


@njit(nogil=True, cache=True)
def _count_pairs(data: np.ndarray, offsets: np.ndarray, pairs: np.ndarray) -> None:
    for row in range(offsets.size - 1):
        for i in range(offsets[row] + 1, offsets[row + 1]):
            pairs[data[i - 1], data[i]] += 1


@njit(nogil=True, cache=True)
def _mean_bits(data: np.ndarray, offsets: np.ndarray, bits: np.ndarray, out: np.ndarray) -> None:
    for row in range(offsets.size - 1):
        for i in range(offsets[row] + 1, offsets[row + 1]):
            out[row] += bits[data[i - 1], data[i]]
        out[row] /= max(offsets[row + 1] - offsets[row] - 1, 1)
