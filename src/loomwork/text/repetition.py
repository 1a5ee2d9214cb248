"""How repetitive texts are: duplicate lines, paragraphs and n-grams of words, by Gopher's definitions.

A line is what stands between runs of line feeds, a paragraph what stands between blank lines; those before the first
and after the last character that is no line feed do not count. A line, a paragraph or an n-gram is a duplicate when
the same one stood before it in the text. The characters of duplicate n-grams are counted without white space, and an
n-gram that overlaps one that was counted is not.

Source: Rae et al. (2021), Scaling language models, A1.1. The paper leaves open whether the first of equal pieces is
counted (here it is not) and what the shares are of (here: of all characters of the text); both as in datatrove.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from loomwork.text.spans import SPACE, Words, character_kinds, count_chars, decode, hash_bytes, mix

_u64 = np.uint64
_BASE = _u64(0xD6E8FEB86659FD93)  # of the rolling polynomial over word hashes
_LF = 0x0A


@dataclass(frozen=True)
class Repetition:
    """Shares from 0, float64 (texts,) each; 0 for a text without characters.

    Args:
        lines, paragraphs: duplicates among all.
        line_chars, paragraph_chars: characters in duplicates.
        top: by n, characters in the most frequent n-gram of words, all its occurrences, with a space between words.
        duplicate: by n, characters in duplicate n-grams.
    """

    lines: np.ndarray
    line_chars: np.ndarray
    paragraphs: np.ndarray
    paragraph_chars: np.ndarray
    top: dict[int, np.ndarray]
    duplicate: dict[int, np.ndarray]


def repetition(
    data: np.ndarray,
    offsets: np.ndarray,
    words: Words,
    *,
    top: Sequence[int] = (2, 3, 4),
    duplicate: Sequence[int] = (5, 6, 7, 8, 9, 10),
) -> Repetition:
    """Measure texts.

    Args:
        data: the UTF-8 bytes of all texts, uint8.
        offsets: where each text begins, and the end of the last, int64 (texts + 1,).
        words: their words.
        top, duplicate: the lengths of n-grams that are measured.
    """
    texts = offsets.size - 1
    pieces, grams = np.zeros((4, texts)), np.zeros((len(top) + len(duplicate), texts))
    lengths = np.array([*top, *duplicate], np.int64)
    _pieces(data, offsets, character_kinds(), pieces)
    _ngrams(data, offsets, words.rows, words.chars, words.hashes, lengths, len(top), grams)
    lines, line_chars, paragraphs, paragraph_chars = pieces
    most, rest = dict(zip(top, grams, strict=False)), dict(zip(duplicate, grams[len(top) :], strict=True))
    return Repetition(lines, line_chars, paragraphs, paragraph_chars, most, rest)


@njit(nogil=True, cache=True, inline="always")
def capacity(entries: Any) -> Any:
    """The size of a hash table for so many entries: a power of two, at least half empty."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@njit(nogil=True, cache=True, inline="always")
def find_slot(keys: np.ndarray, stamps: np.ndarray, stamp: int, mask: int, key: Any) -> Any:
    """Where a key is, or where it goes. An entry with another stamp is of an earlier table, and counts as empty."""
    slot = np.int64(key & _u64(mask))
    while stamps[slot] == stamp and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True)
def _pieces(data: np.ndarray, offsets: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Duplicate lines and paragraphs."""
    longest = 0
    for row in range(offsets.size - 1):
        feeds = 0
        for i in range(offsets[row], offsets[row + 1]):
            feeds += data[i] == _LF
        longest = max(longest, feeds)
    size = capacity(longest + 1)
    keys, stamps = np.empty(size, np.uint64), np.full(size, -1, np.int64)
    for row in range(offsets.size - 1):
        chars = count_chars(data, offsets[row], offsets[row + 1])
        if chars == 0:
            continue
        for feeds in range(1, 3):  # one line feed ends a line, two end a paragraph
            start, end = offsets[row], offsets[row + 1]
            if feeds == 2:
                start, end = _stripped(data, start, end, table)
            else:
                while start < end and data[start] == _LF:
                    start += 1
                while end > start and data[end - 1] == _LF:
                    end -= 1
            number, duplicates, duplicate_chars = _duplicates(data, start, end, feeds, keys, stamps, 2 * row + feeds)
            out[2 * feeds - 2, row] = duplicates / number
            out[2 * feeds - 1, row] = duplicate_chars / chars


@njit(nogil=True, cache=True)
def _stripped(data: np.ndarray, start: int, end: int, table: np.ndarray) -> tuple[int, int]:
    """Bytes without the white space at both ends."""
    while start < end:
        char, after = decode(data, start)
        if table[char] & SPACE == 0:
            break
        start = after
    while start < end:
        before = end - 1
        while data[before] & 0xC0 == 0x80:
            before -= 1
        char, _ = decode(data, before)
        if table[char] & SPACE == 0:
            break
        end = before
    return start, end


@njit(nogil=True, cache=True)
def _duplicates(
    data: np.ndarray, start: int, end: int, feeds: int, keys: np.ndarray, stamps: np.ndarray, stamp: int
) -> tuple[int, int, int]:
    """Pieces between runs of at least `feeds` line feeds: how many, how many are duplicates, and their characters."""
    mask = keys.size - 1
    number = duplicates = duplicate_chars = 0
    i = begin = start
    while i <= end:
        while i < end and data[i] != _LF:
            i += 1
        run = i
        while run < end and data[run] == _LF:
            run += 1
        if i < end and run - i < feeds:
            i = run
            continue
        key = hash_bytes(data, begin, i)
        slot = find_slot(keys, stamps, stamp, mask, key)
        if stamps[slot] == stamp:
            duplicates += 1
            duplicate_chars += count_chars(data, begin, i)
        keys[slot], stamps[slot] = key, stamp
        number += 1
        i = begin = max(run, i + 1)
    return number, duplicates, duplicate_chars


@njit(nogil=True, cache=True)
def _ngrams(
    data: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    chars: np.ndarray,
    hashes: np.ndarray,
    lengths: np.ndarray,
    top: int,
    out: np.ndarray,
) -> None:
    """The share of characters in the most frequent n-gram for the first `top` lengths, in duplicates for the others."""
    most = 0
    for row in range(rows.size - 1):
        most = max(most, rows[row + 1] - rows[row])
    size = capacity(most + 1)
    keys, stamps = np.empty(size, np.uint64), np.full(size, -1, np.int64)
    counts, firsts = np.empty(size, np.int64), np.empty(size, np.int64)
    rolled, before = np.zeros(most + 1, np.uint64), np.zeros(most + 1, np.int64)
    slots, again = np.empty(most + 1, np.int64), np.empty(most + 1, np.bool_)
    for row in range(rows.size - 1):
        text_chars = count_chars(data, offsets[row], offsets[row + 1])
        begin, words = rows[row], rows[row + 1] - rows[row]
        for word in range(words):  # prefixes: of the polynomial over the hashes, and of the numbers of characters
            rolled[word + 1] = rolled[word] * _BASE + hashes[begin + word]
            before[word + 1] = before[word] + chars[begin + word]
            again[word] = True  # an n-gram that may begin here once more; a longer one cannot where a shorter does not
        known = 0  # the n that `again` is true of
        mask = capacity(words) - 1
        for k in range(lengths.size):
            n = lengths[k]
            weight = _u64(1)
            for _ in range(n):
                weight *= _BASE
            if n > words or text_chars == 0:
                continue
            if n < known:
                again[:words] = True
                known = 0
            stamp = row * lengths.size + k
            if k < top:
                found = _most_frequent(
                    rolled, before, words, n, weight, keys, stamps, counts, firsts, slots, again, mask, stamp
                )
                known = n
            else:
                found = _repeated(rolled, before, words, n, weight, keys, stamps, again, mask, stamp)
            out[k, row] = found / text_chars


@njit(nogil=True, cache=True)
def _most_frequent(
    rolled: np.ndarray,
    before: np.ndarray,
    words: int,
    n: int,
    weight: Any,
    keys: np.ndarray,
    stamps: np.ndarray,
    counts: np.ndarray,
    firsts: np.ndarray,
    slots: np.ndarray,
    again: np.ndarray,
    mask: int,
    stamp: int,
) -> Any:
    """Characters of the most frequent n-gram, the first of several, times its count. Where `again` is false the
    n-gram stands once; afterwards it is true only where an n-gram begins that stands more than once."""
    best, best_first = 1, 0
    for i in range(words - n + 1):
        if not again[i]:
            continue
        key = mix(rolled[i + n] - rolled[i] * weight)
        slot = find_slot(keys, stamps, stamp, mask, key)
        if stamps[slot] != stamp:
            keys[slot], stamps[slot], counts[slot], firsts[slot] = key, stamp, 0, i
        counts[slot] += 1
        slots[i] = slot
        if counts[slot] > best or (counts[slot] == best and firsts[slot] < best_first):
            best, best_first = counts[slot], firsts[slot]
    for i in range(words - n + 1):
        again[i] = again[i] and counts[slots[i]] > 1
    for i in range(words - n + 1, words):
        again[i] = False
    return (before[best_first + n] - before[best_first] + n - 1) * best


@njit(nogil=True, cache=True)
def _repeated(
    rolled: np.ndarray,
    before: np.ndarray,
    words: int,
    n: int,
    weight: Any,
    keys: np.ndarray,
    stamps: np.ndarray,
    again: np.ndarray,
    mask: int,
    stamp: int,
) -> Any:
    """Characters of n-grams that stood before; after such a one the search goes on behind it."""
    found = i = 0
    while i + n <= words:
        if not again[i]:
            i += 1
            continue
        key = mix(rolled[i + n] - rolled[i] * weight)
        slot = find_slot(keys, stamps, stamp, mask, key)
        if stamps[slot] == stamp:
            found += before[i + n] - before[i]
            i += n
        else:
            keys[slot], stamps[slot] = key, stamp
            i += 1
    return found
