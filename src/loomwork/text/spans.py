"""Words of texts as spans of their UTF-8 bytes, with what rules ask of each: Numba kernels on Arrow's own buffers.

A word is a run of characters between white space (Unicode's, as in Python's str.split), unless other spans are given.
The kernels release the interpreter lock. They are compiled once per machine (Numba's cache, which checks the time stamp
of a kernel's own file: after a change here, touch the files of the kernels that call these).
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

_HYPHEN, _APOSTROPHE, _RIGHT_QUOTE = 0x2D, 0x27, 0x2019
ALPHA, SYMBOL, SPACE, TERMINAL = 1, 2, 4, 8  # bits of a character's kind
CATEGORISED = 0x20000  # from here on there are only letters, tags and private characters

# Unicode 16.0, the property Sentence_Terminal
SENTENCE_TERMINAL = """
21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D5
1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D
2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9
AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89
11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5
1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42
11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88
"""

_u64 = np.uint64
_FNV_OFFSET, _FNV_PRIME = _u64(0xCBF29CE484222325), _u64(0x100000001B3)
_MIX_A, _MIX_B = _u64(0xBF58476D1CE4E5B9), _u64(0x94D049BB133111EB)
_S27, _S30, _S31 = _u64(27), _u64(30), _u64(31)


@dataclass(frozen=True)
class Words:
    """The words of some texts.

    Args:
        starts, ends: the bytes of each word, int64 (words,), as places in the texts' data.
        rows: where each text's words begin, and the end of the last, int64 (texts + 1,).
        chars: characters of each word, int32 (words,).
        kinds: bits of each word, uint8 (words,): ALPHA if any character is alphabetic, SYMBOL if all are
            punctuation, symbols or controls.
        hashes: of its bytes, uint64 (words,).
    """

    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    chars: np.ndarray
    kinds: np.ndarray
    hashes: np.ndarray

    def __len__(self) -> int:
        return self.starts.size


@functools.cache
def character_kinds() -> np.ndarray:
    """The bits of every Unicode character, uint8 (0x110000,).

    ALPHA and SPACE as Python's str.isalpha and str.isspace; SYMBOL for punctuation, symbols and controls; TERMINAL
    for what ends a sentence.
    """
    letters = np.arange(0x110000, dtype=np.uint32)
    letters[0xD800:0xE000] = 0  # surrogates
    texts = letters.view("U1")
    kinds = np.char.isalpha(texts).astype(np.uint8) * np.uint8(ALPHA)
    kinds += np.char.isspace(texts).astype(np.uint8) * np.uint8(SPACE)
    category = unicodedata.category
    symbols = [i for i in range(CATEGORISED) if category(chr(i))[0] in "PS" or category(chr(i)) in ("Cc", "Cf")]
    kinds[symbols] |= SYMBOL
    kinds[kinds & SPACE != 0] = SPACE
    for span in SENTENCE_TERMINAL.split():
        first, _, last = span.partition("-")
        kinds[int(first, 16) : int(last or first, 16) + 1] |= TERMINAL
    return kinds


def split_words(data: np.ndarray, offsets: np.ndarray, *, marks_apart: bool = False) -> Words:
    """The words between white space.

    Args:
        data: the UTF-8 bytes of all texts, uint8.
        offsets: where each text begins, and the end of the last, int64 (texts + 1,).
        marks_apart: a punctuation mark or symbol is a word of its own, but between two letters or digits ("don't",
            "3.5").
    """
    most = int(offsets[-1] - offsets[0]) + 1 if marks_apart else int(offsets[-1] - offsets[0]) // 2 + offsets.size
    starts, ends, rows = np.empty(most, np.int64), np.empty(most, np.int64), np.zeros(offsets.size, np.int64)
    chars, kinds, hashes = np.empty(most, np.int32), np.empty(most, np.uint8), np.empty(most, np.uint64)
    count = _split(data, offsets, character_kinds(), marks_apart, starts, ends, rows, chars, kinds, hashes)
    return Words(starts[:count], ends[:count], rows, chars[:count], kinds[:count], hashes[:count])


def words_at(data: np.ndarray, starts: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> Words:
    """The words at given spans, for a word split of one's own; arguments as of Words."""
    chars, kinds = np.empty(starts.size, np.int32), np.empty(starts.size, np.uint8)
    hashes = np.empty(starts.size, np.uint64)
    _measure(data, starts, ends, character_kinds(), chars, kinds, hashes)
    return Words(starts, ends, rows, chars, kinds, hashes)


def hashes_of(words: list[str]) -> np.ndarray:
    """The hashes that these words have in a text, sorted, uint64."""
    spelled = [word.encode() for word in words]
    ends = np.cumsum([len(word) for word in spelled], dtype=np.int64)
    starts = ends - np.array([len(word) for word in spelled], np.int64)
    data = np.frombuffer(b"".join(spelled) or b"\0", np.uint8)
    return np.unique(words_at(data, starts, ends, np.array([0, len(words)])).hashes)


@njit(nogil=True, cache=True, inline="always")
def mix(x: Any) -> Any:
    """Scatter the bits of a 64-bit hash."""
    x = (x ^ (x >> _S30)) * _MIX_A
    x = (x ^ (x >> _S27)) * _MIX_B
    return x ^ (x >> _S31)


@njit(nogil=True, cache=True, inline="always")
def decode(data: np.ndarray, i: Any) -> tuple[Any, Any]:
    """The character that begins at a byte, and the byte after it. The bytes are valid UTF-8."""
    lead = np.int64(data[i])
    if lead < 0x80:
        return lead, i + 1
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | (data[i + 1] & 0x3F), i + 2
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F), i + 3
    high = ((lead & 0x07) << 18) | ((data[i + 1] & 0x3F) << 12)
    return high | ((data[i + 2] & 0x3F) << 6) | (data[i + 3] & 0x3F), i + 4


@njit(nogil=True, cache=True)
def hash_bytes(data: np.ndarray, start: int, end: int) -> Any:
    """A hash of some bytes, eight at a time; not the one that words have."""
    hashed = _FNV_OFFSET ^ _u64(end - start)
    i = start
    while i + 8 <= end:
        eight = _u64(data[i]) | _u64(data[i + 1]) << _u64(8) | _u64(data[i + 2]) << _u64(16)
        eight |= _u64(data[i + 3]) << _u64(24) | _u64(data[i + 4]) << _u64(32) | _u64(data[i + 5]) << _u64(40)
        eight |= _u64(data[i + 6]) << _u64(48) | _u64(data[i + 7]) << _u64(56)
        hashed = (hashed ^ eight) * _MIX_A
        hashed ^= hashed >> _S31
        i += 8
    while i < end:
        hashed = (hashed ^ _u64(data[i])) * _FNV_PRIME
        i += 1
    return mix(hashed)


@njit(nogil=True, cache=True)
def count_chars(data: np.ndarray, start: int, end: int) -> int:
    """How many characters some bytes are."""
    chars = 0
    for i in range(start, end):
        chars += (data[i] & 0xC0) != 0x80
    return chars


@njit(nogil=True, cache=True)
def _split(
    data: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    marks_apart: bool,
    starts: np.ndarray,
    ends: np.ndarray,
    rows: np.ndarray,
    chars: np.ndarray,
    kinds: np.ndarray,
    hashes: np.ndarray,
) -> int:
    """Split and measure in one pass; returns the number of words."""
    words = 0
    for row in range(offsets.size - 1):
        i, end = offsets[row], offsets[row + 1]
        begin, hashed, count = -1, _FNV_OFFSET, 0
        some, every = np.uint8(0), np.uint8(SYMBOL)
        while True:
            at_end = i >= end
            char, after = (0x20, i + 1) if at_end else decode(data, i)
            kind = table[char]
            mark = marks_apart and kind & SYMBOL != 0
            joins = mark and begin >= 0 and _joins(data, i, after, end, table)
            alone = mark and not joins
            clitic = joins and char in (_APOSTROPHE, _RIGHT_QUOTE)  # "don't" is "don" and "'t"
            if begin >= 0 and (kind & SPACE != 0 or clitic or (alone and data[begin] != data[i])):
                starts[words], ends[words], chars[words] = begin, i, count
                kinds[words], hashes[words] = some | every, mix(hashed)
                words += 1
                begin, hashed, count = -1, _FNV_OFFSET, 0
                some, every = np.uint8(0), np.uint8(SYMBOL)
            if at_end:
                break
            if kind & SPACE == 0:
                if begin < 0:
                    begin = i
                for byte in range(i, after):
                    hashed = (hashed ^ _u64(data[byte])) * _FNV_PRIME
                some |= kind & np.uint8(ALPHA)
                every &= kind
                count += 1
            if alone and (i + 1 != after or after >= end or data[after] != data[i]):  # "..." is one word
                starts[words], ends[words], chars[words] = begin, after, count
                kinds[words], hashes[words] = some | every, mix(hashed)
                words += 1
                begin, hashed, count = -1, _FNV_OFFSET, 0
                some, every = np.uint8(0), np.uint8(SYMBOL)
            i = after
        rows[row + 1] = words
    return words


@njit(nogil=True, cache=True, inline="always")
def _joins(data: np.ndarray, i: int, after: int, end: int, table: np.ndarray) -> bool:
    """Whether a mark inside a word is followed by a letter or digit."""
    if after >= end or data[i] == _HYPHEN:
        return False
    char, _ = decode(data, after)
    return bool(table[char] & (SYMBOL | SPACE) == 0)


@njit(nogil=True, cache=True)
def _measure(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    table: np.ndarray,
    chars: np.ndarray,
    kinds: np.ndarray,
    hashes: np.ndarray,
) -> None:
    for word in range(starts.size):
        i, end = starts[word], ends[word]
        hashed, count = _FNV_OFFSET, 0
        some, every = np.uint8(0), np.uint8(SYMBOL)
        while i < end:
            char, after = decode(data, i)
            for byte in range(i, after):
                hashed = (hashed ^ _u64(data[byte])) * _FNV_PRIME
            kind = table[char]
            some |= kind & np.uint8(ALPHA)
            every &= kind
            count += 1
            i = after
        chars[word], kinds[word], hashes[word] = count, some | every, mix(hashed)
