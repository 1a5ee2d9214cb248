"""What the quality rules of Gopher and FineWeb measure in texts: one pass over the bytes, no row loops in Python.

Source: Rae et al. (2021), Scaling language models, A1.1; Penedo et al. (2024), The FineWeb datasets, 3.6. Where the
papers leave details open they are those of datatrove, which made FineWeb; its word split is spaCy's, which makes
words of punctuation marks, and ours is white space, unless other spans are given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from loomwork.text.spans import ALPHA, SPACE, SYMBOL, Words, character_kinds, decode

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Gopher's
_DOT, _HASH, _DASH, _LF, _CR = 0x2E, 0x23, 0x2D, 0x0A, 0x0D
_BULLET, _ELLIPSIS = 0x2022, 0x2026


@dataclass(frozen=True)
class Quality:
    """Gopher's quantities, one value a text, float64 (texts,). A ratio to nothing is 0.

    Args:
        words: how many words are not only punctuation.
        mean_word_length: their mean number of characters.
        hash_ratio: "#" to a word, all words counted.
        ellipsis_ratio: "..." or "…" to a word.
        bullet_lines: share of lines that begin with "•" or "-", white space aside.
        ellipsis_lines: share of lines that end with "..." or "…", white space aside.
        alphabetic_words: share of words with an alphabetic character.
        stop_words: how many different stop words occur, as they are written.
    """

    words: np.ndarray
    mean_word_length: np.ndarray
    hash_ratio: np.ndarray
    ellipsis_ratio: np.ndarray
    bullet_lines: np.ndarray
    ellipsis_lines: np.ndarray
    alphabetic_words: np.ndarray
    stop_words: np.ndarray


def quality(data: np.ndarray, offsets: np.ndarray, words: Words, stop_words: np.ndarray) -> Quality:
    """Measure texts.

    Args:
        data: the UTF-8 bytes of all texts, uint8.
        offsets: where each text begins, and the end of the last, int64 (texts + 1,).
        words: their words.
        stop_words: hashes of the words to look for, sorted, from spans.hashes_of.
    """
    out = np.zeros((len(fields(Quality)), offsets.size - 1))
    _of_words(words.rows, words.chars, words.kinds, words.hashes, stop_words, out)
    _of_lines(data, offsets, words.rows, character_kinds(), out)
    return Quality(*out)


@njit(nogil=True, cache=True)
def _of_words(
    rows: np.ndarray, chars: np.ndarray, kinds: np.ndarray, hashes: np.ndarray, stop_words: np.ndarray, out: np.ndarray
) -> None:
    seen = np.full(stop_words.size, -1, np.int64)  # the last text in which each stop word was seen
    for row in range(rows.size - 1):
        count = length = alphabetic = stops = 0
        for word in range(rows[row], rows[row + 1]):
            if kinds[word] & SYMBOL == 0:
                count += 1
                length += chars[word]
            alphabetic += (kinds[word] & ALPHA) != 0
            place = np.searchsorted(stop_words, hashes[word])
            if place < stop_words.size and stop_words[place] == hashes[word] and seen[place] != row:
                seen[place] = row
                stops += 1
        out[0, row] = count
        out[1, row] = length / max(count, 1)
        out[6, row] = alphabetic / max(rows[row + 1] - rows[row], 1)
        out[7, row] = stops


@njit(nogil=True, cache=True)
def _of_lines(data: np.ndarray, offsets: np.ndarray, rows: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    for row in range(offsets.size - 1):
        i, end = offsets[row], offsets[row + 1]
        hashes = ellipses = lines = bullets = trailing = 0
        dots = 0  # of the run that ends here
        blank, trails = True, False  # so far in this line
        last = 0
        while i < end:
            char, i = decode(data, i)
            if char == _DOT:
                dots = dots + 1
                ellipses += dots % 3 == 0
                trails = dots >= 3
            else:
                dots = 0
            if _ends_line(char):
                if not (char == _LF and last == _CR):
                    lines += 1
                    trailing += trails
                blank, trails = True, False
            elif char != _DOT and table[char] & SPACE == 0:
                hashes += char == _HASH
                ellipses += char == _ELLIPSIS
                trails = char == _ELLIPSIS
                bullets += blank and char in (_BULLET, _DASH)
                blank = False
            elif char == _DOT:
                blank = False
            last = char
        if end > offsets[row] and not _ends_line(last):
            lines += 1
            trailing += trails
        words = max(rows[row + 1] - rows[row], 1)
        out[2, row] = hashes / words
        out[3, row] = ellipses / words
        out[4, row] = bullets / max(lines, 1)
        out[5, row] = trailing / max(lines, 1)


@njit(nogil=True, cache=True, inline="always")
def _ends_line(char: int) -> bool:
    """Whether a character ends a line, as in Python's str.splitlines."""
    return 0x0A <= char <= 0x0D or 0x1C <= char <= 0x1E or char == 0x85 or char == 0x2028 or char == 0x2029
