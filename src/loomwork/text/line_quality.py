"""What FineWeb's rule measures in the lines of texts.

Source: Penedo et al. (2024), The FineWeb datasets, 3.6, with the details of datatrove, which made FineWeb: a line ends
at a line feed and counts if it holds more than white space; white space at its end is a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from loomwork.text.repetition import capacity, find_slot
from loomwork.text.spans import SPACE, TERMINAL, Words, character_kinds, decode, hash_bytes

_LF = 0x0A


@dataclass(frozen=True)
class LineQuality:
    """One value a text, float64 (texts,). A ratio to nothing is 0.

    Args:
        lines: how many are not blank.
        terminal: share of these that end with a character that ends a sentence.
        short: share of these that are short.
        duplicate_chars: characters in lines that stood before, to all characters but line feeds.
        feeds: line feeds to a word.
    """

    lines: np.ndarray
    terminal: np.ndarray
    short: np.ndarray
    duplicate_chars: np.ndarray
    feeds: np.ndarray


def line_quality(data: np.ndarray, offsets: np.ndarray, words: Words, *, short_chars: int = 30) -> LineQuality:
    """Measure texts.

    Args:
        data: the UTF-8 bytes of all texts, uint8.
        offsets: where each text begins, and the end of the last, int64 (texts + 1,).
        words: their words.
        short_chars: a line of at most so many characters is short.
    """
    out = np.zeros((len(fields(LineQuality)), offsets.size - 1))
    _measure(data, offsets, words.rows, character_kinds(), short_chars, out)
    return LineQuality(*out)


@njit(nogil=True, cache=True)
def _measure(
    data: np.ndarray, offsets: np.ndarray, rows: np.ndarray, table: np.ndarray, short_chars: int, out: np.ndarray
) -> None:
    longest = 0
    for row in range(offsets.size - 1):
        found = 0
        for i in range(offsets[row], offsets[row + 1]):
            found += data[i] == _LF
        longest = max(longest, found)
    size = capacity(longest + 1)
    keys, stamps = np.empty(size, np.uint64), np.full(size, -1, np.int64)
    for row in range(offsets.size - 1):
        i, end = offsets[row], offsets[row + 1]
        lines = terminal = short = duplicate_chars = feeds = all_chars = 0
        begin, chars, last, blank = i, 0, 0, True
        while True:
            at_end = i >= end
            char, after = (_LF, i + 1) if at_end else decode(data, i)
            if char != _LF:
                blank = blank and (table[char] & SPACE) != 0
                chars += 1
                last, i = char, after
                continue
            all_chars += chars
            if not blank:
                lines += 1
                terminal += (table[last] & TERMINAL) != 0
                short += chars <= short_chars
                key = hash_bytes(data, begin, i)
                slot = find_slot(keys, stamps, row, size - 1, key)
                if stamps[slot] == row:
                    duplicate_chars += chars
                keys[slot], stamps[slot] = key, row
            if at_end:
                break
            feeds += 1
            i = begin = after
            chars, last, blank = 0, 0, True
        out[0, row] = lines
        out[1, row] = terminal / max(lines, 1)
        out[2, row] = short / max(lines, 1)
        out[3, row] = duplicate_chars / max(all_chars, 1)
        out[4, row] = feeds / max(rows[row + 1] - rows[row], 1)
