"""Runs of words that texts share: every run of n words as a hash, with its place. Numba kernels.

A word is a run of letters and digits, case folded (Latin, Greek, Cyrillic and what else lies below U+0800). What stands
between words does not count, typographic punctuation too, so a text that was wrapped or punctuated anew is found. In
Chinese and Japanese every character is a word. Two runs are
taken as equal where their 64-bit hashes are: among a thousand million runs some two dozen differ and are.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from loomwork.text.minhash import Texts

_u64 = np.uint64
_OFFSET, _PRIME = _u64(0xCBF29CE484222325), _u64(0x100000001B3)
_MIX_A, _MIX_B = _u64(0xBF58476D1CE4E5B9), _u64(0x94D049BB133111EB)
_S27, _S30, _S31 = _u64(27), _u64(30), _u64(31)
_BASE = _u64(0xD6E8FEB86659FD93)


def _letters() -> np.ndarray:
    """What each byte counts as within a word; 0 stands for a byte between words."""
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        if byte >= 128 or chr(byte).isalnum():
            table[byte] = byte if byte >= 128 else ord(chr(byte).lower())
    return table


def _folded() -> np.ndarray:
    """The lower case of each character below U+0800, where that lies there too; 0 for one that is no part of a word."""
    table = np.zeros(0x800, np.uint16)
    for code in range(0x80, 0x800):
        char = chr(code)
        if char.isalnum() or unicodedata.category(char)[0] == "M":
            lower = char.lower()
            table[code] = ord(lower) if len(lower) == 1 and 0x80 <= ord(lower) < 0x800 else code
    return table


_LETTERS = _letters()
_FOLDED = _folded()


@dataclass(frozen=True)
class FoldedWords:
    """The words of some texts.

    Args:
        starts, ends: of each word in the texts' bytes, int64 (words,).
        hashes: of each word, case folded, uint64 (words,).
        rows: where each text's words begin, and the end of the last, int64 (texts + 1,).
    """

    starts: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return self.starts.size

    @property
    def row_of(self) -> np.ndarray:
        """The text of each word, int64 (words,)."""
        return np.repeat(np.arange(self.rows.size - 1), np.diff(self.rows))

    def runs(self, words: int) -> np.ndarray:
        """The hash of the run of words that begins at each word, uint64 (words,); 0 where the text ends before."""
        found = np.zeros(len(self), np.uint64)
        _roll(self.hashes, self.rows, words, found)
        return found


def folded_words(texts: Texts) -> FoldedWords:
    """Cut texts into words."""
    count = _cut(texts.data, texts.offsets, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64), _NONE)
    starts, ends, hashes = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.uint64)
    rows = np.zeros(len(texts) + 1, np.int64)
    _cut(texts.data, texts.offsets, starts, ends, hashes, rows)
    return FoldedWords(starts, ends, hashes, rows)


_NONE = np.empty(0, np.int64)


@njit(nogil=True, cache=True, inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> _S30)) * _MIX_A
    x = (x ^ (x >> _S27)) * _MIX_B
    return x ^ (x >> _S31)


@njit(nogil=True, cache=True, inline="always")
def _next(data: np.ndarray, at: Any, end: Any) -> Any:
    """What stands at a byte, folded (0 for what is no part of a word), and in how many bytes."""
    lead = np.int64(data[at])
    if lead < 0x80:
        return np.int64(_LETTERS[lead]), 1
    if 0xC2 <= lead < 0xE0 and at + 1 < end:
        folded = np.int64(_FOLDED[((lead & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F)])
        return folded, 2
    if lead == 0xE2 and at + 2 < end and (data[at + 1] == 0x80 or (data[at + 1] == 0x81 and data[at + 2] < 0xB0)):
        return np.int64(0), 3  # U+2000 to U+206F: dashes, quotation marks, spaces
    return lead, 1


@njit(nogil=True, cache=True)
def _cut(
    data: np.ndarray, offsets: np.ndarray, starts: np.ndarray, ends: np.ndarray, hashes: np.ndarray, rows: np.ndarray
) -> int:
    """Write the words of all texts where there is room; return how many there are."""
    count = 0
    fill = rows.size > 0
    for row in range(offsets.size - 1):
        end = offsets[row + 1]
        at = offsets[row]
        while at < end:
            letter, size = _next(data, at, end)
            if letter == 0:
                at += size
                continue
            first = at
            hashed = _OFFSET
            if size == 1 and 0xE3 <= letter <= 0xE9 and at + 2 < end:  # U+3000 to U+9FFF: a character is a word
                is_word = not (letter == 0xE3 and data[at + 1] == 0x80)  # U+3000 to U+303F is punctuation
                for _ in range(3):
                    hashed = (hashed ^ _u64(data[at])) * _PRIME
                    at += 1
                if not is_word:
                    continue
            else:
                while at < end:
                    letter, size = _next(data, at, end)
                    if letter == 0 or (size == 1 and 0xE3 <= letter <= 0xE9 and at + 2 < end):
                        break
                    if size == 2:
                        hashed = (hashed ^ _u64(letter >> 8)) * _PRIME
                    hashed = (hashed ^ _u64(letter & 0xFF)) * _PRIME
                    at += size
            if fill:
                starts[count], ends[count], hashes[count] = first, at, _mix(hashed)
            count += 1
        if fill:
            rows[row + 1] = count
    return count


@njit(nogil=True, cache=True)
def _roll(hashes: np.ndarray, rows: np.ndarray, words: int, out: np.ndarray) -> None:
    lead = _u64(1)  # the weight of a run's first word
    for _ in range(words - 1):
        lead *= _BASE
    for row in range(rows.size - 1):
        first, end = rows[row], rows[row + 1]
        rolled = _u64(0)
        for at in range(first, end):
            rolled = rolled * _BASE + hashes[at]
            begin = at - words + 1
            if begin >= first:
                mixed = _mix(rolled)
                out[begin] = mixed if mixed != _u64(0) else _u64(1)
                rolled -= hashes[begin] * lead


@njit(nogil=True, cache=True)
def covered(is_start: np.ndarray, words: int) -> np.ndarray:
    """Which words lie in a run of so many words that begins at a marked word: bool (words,)."""
    found = np.zeros(is_start.size, np.bool_)
    until = 0
    for at in range(is_start.size):
        if is_start[at]:
            until = at + words
        found[at] = at < until
    return found
