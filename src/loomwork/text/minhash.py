"""Near-duplicate texts: shingles, sketches, bands, exact Jaccard, union-find. Numba kernels, no row loops in Python.

A text is a sequence of words: runs of ASCII letters (case folded), digits, underscores and non-ASCII bytes; in
Chinese and Japanese every character is a word. Its shingles are the hashes of all runs of `words` words; a shorter
text has one shingle, of all its words. Two texts are near duplicates when the Jaccard similarity of their sets of
shingles reaches the threshold. Sketches only propose pairs: every pair is verified on the shingles themselves.

The kernels release the interpreter lock and work on blocks of rows, so that threads share them; no result depends
on the number of threads. They are compiled once per machine (Numba's cache, which checks this file's time stamp).

Source: Broder (1997), On the resemblance and containment of documents; Dahlgaard, Knudsen and Thorup (2017), Fast
similarity sketching (rounds of one hash per shingle, until no bin is empty).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit

BINS = 128  # of a sketch; a power of two
ROUNDS = 15  # of hashing into random bins; the round is kept in a value's upper four bits
RECALL = 0.995  # of pairs that lie exactly at the threshold, by the choice of bands
BLOCK_ROWS = 2048
BLOCK_PAIRS = 4096

_u64 = np.uint64
_GOLDEN, _MIX_A, _MIX_B = _u64(0x9E3779B97F4A7C15), _u64(0xBF58476D1CE4E5B9), _u64(0x94D049BB133111EB)
_FNV_OFFSET, _FNV_PRIME = _u64(0xCBF29CE484222325), _u64(0x100000001B3)
_BASE = _u64(0xD6E8FEB86659FD93)  # of the rolling polynomial over word hashes
_S27, _S30, _S31, _S36 = _u64(27), _u64(30), _u64(31), _u64(36)
_EMPTY = np.uint32(0xFFFFFFFF)


def _letters() -> np.ndarray:
    """What each byte counts as within a word; 0 stands for a byte between words."""
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        if byte >= 128:
            table[byte] = byte
        elif chr(byte).isalnum() or chr(byte) == "_":
            table[byte] = ord(chr(byte).lower())
    return table


_LETTERS = _letters()


@dataclass(frozen=True)
class Texts:
    """Texts as one run of UTF-8 bytes.

    Args:
        data: all bytes, one text after the other, uint8; may be memory-mapped.
        offsets: where each text begins, and the end of the last, int64 (texts + 1,).
    """

    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
        offsets = np.concatenate(([0], np.cumsum([len(p) for p in pieces]))).astype(np.int64)
        return cls(np.frombuffer(b"".join(pieces) or b"\0", np.uint8), offsets)

    def __len__(self) -> int:
        return self.offsets.size - 1


@dataclass(frozen=True)
class Groups:
    """Which text stands for which.

    Args:
        kept: for each text the index of the one that is kept for it, itself where it is kept, int64 (texts,).
        jaccard: the similarity of each text to the one kept for it, float64 (texts,).
        verified: how many pairs were compared exactly.
    """

    kept: np.ndarray
    jaccard: np.ndarray
    verified: int


def near_duplicates(
    texts: Texts,
    *,
    threshold: float = 0.8,
    words: int = 5,
    keep: Literal["longest", "first"] = "longest",
    threads: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> Groups:
    """Group texts that are joined by pairs of near duplicates, directly or in a chain, and choose one of each.

    Pairs are proposed again among the texts that are left until no two are near duplicates, so that a second
    call on what was kept drops nothing.

    Args:
        texts: the texts; those without words are never duplicates.
        threshold: the Jaccard similarity from which two texts are near duplicates, above 0, at most 1.
        words: the length of a shingle.
        keep: which text of a group is kept: the one with most bytes (the first of these), or the first.
        threads: how many threads to use.
        progress: is told the share of sketches made.
    """
    kept = np.arange(len(texts))
    verified = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        sketches, sizes = _sketch_all(texts, words, pool, progress)
        left = np.flatnonzero(sizes)
        while True:
            pairs = _proposed(sketches, left, threshold, pool)
            similar = _verify_all(texts, pairs, words, pool)
            verified += len(pairs)
            group = _groups(len(texts), pairs[similar >= threshold])
            if (group[left] == left).all():
                break
            chosen = _choose(texts, group, left, keep)
            kept = chosen[group[kept]]
            left = left[chosen[group[left]] == left]
        others = np.flatnonzero(kept != np.arange(kept.size))
        jaccard = np.ones(len(texts))
        jaccard[others] = _verify_all(texts, np.stack([kept[others], others], axis=1), words, pool)
    return Groups(kept, jaccard, verified)


def jaccard(a: str, b: str, *, words: int = 5) -> float:
    """The exact Jaccard similarity of two texts' shingles; 0 where neither has any."""
    return float(_verify(*_arrays(Texts.of([a, b])), np.array([[0, 1]]), words)[0])


def bands_for(threshold: float) -> tuple[int, int]:
    """(bands, rows): the longest bands with which a pair at the threshold shares one with probability RECALL."""
    for rows in range(BINS, 1, -1):
        bands = BINS // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, rows
    return BINS, 1


def _arrays(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    return texts.data, texts.offsets


def _sketch_all(texts: Texts, words: int, pool: ThreadPoolExecutor, progress: Callable[[float], None]) -> Any:
    """Sketches uint32 (texts, BINS) and the numbers of shingles int64 (texts,)."""
    sketches, sizes = np.empty((len(texts), BINS), np.uint32), np.zeros(len(texts), np.int64)

    def block(start: int) -> int:
        end = min(len(texts), start + BLOCK_ROWS)
        _sketch_rows(*_arrays(texts), start, end, words, sketches, sizes)
        return end

    for end in pool.map(block, range(0, len(texts), BLOCK_ROWS)):
        progress(end / len(texts))
    return sketches, sizes


def _proposed(sketches: np.ndarray, left: np.ndarray, threshold: float, pool: ThreadPoolExecutor) -> np.ndarray:
    """Pairs (pairs, 2) of rows in `left`, the lower first, that share a band and whose sketches agree enough."""
    bands, rows = bands_for(threshold)
    # 3.5 standard errors below the threshold: one pair in 4,000 at the threshold is missed by this
    slack = 3.5 * (threshold * (1 - threshold) / BINS) ** 0.5
    agreeing = int((threshold - slack) * BINS)
    found = pool.map(lambda b: _band_pairs(sketches, left, b * rows, rows, agreeing), range(bands))
    codes = np.unique(np.concatenate([*found, np.empty(0, np.int64)]))
    return np.stack(np.divmod(codes, max(1, len(sketches))), axis=1)


def _verify_all(texts: Texts, pairs: np.ndarray, words: int, pool: ThreadPoolExecutor) -> np.ndarray:
    blocks = [pairs[i : i + BLOCK_PAIRS] for i in range(0, len(pairs), BLOCK_PAIRS)]
    return np.concatenate([*pool.map(lambda b: _verify(*_arrays(texts), b, words), blocks), np.empty(0)])


def _choose(texts: Texts, group: np.ndarray, left: np.ndarray, keep: str) -> np.ndarray:
    """For each group (named by its lowest row) the row that is kept; rows that are not left are no choice."""
    chosen = np.arange(group.size)
    if keep == "longest":
        lengths = np.diff(texts.offsets)[left]
        best = left[np.lexsort((-left, lengths))]  # ascending: the last written is the longest, then the first
        chosen[group[best]] = best
    return chosen


@njit(nogil=True, cache=True, inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> _S30)) * _MIX_A
    x = (x ^ (x >> _S27)) * _MIX_B
    return x ^ (x >> _S31)


@njit(nogil=True, cache=True)
def _shingles(data: np.ndarray, start: int, end: int, words: int, out: np.ndarray) -> int:
    """Write the shingle hashes of data[start:end] into `out`, in order of the text; return their number."""
    count = 0
    i = start
    hashed, inside = _FNV_OFFSET, False
    while i <= end:
        letter = _LETTERS[data[i]] if i < end else np.uint8(0)
        wide = 0xE3 <= letter <= 0xE9 and i + 2 < end  # U+3000 to U+9FFF: a character is a word
        if letter != 0 and not wide:
            hashed = (hashed ^ _u64(letter)) * _FNV_PRIME
            inside = True
            i += 1
            continue
        if inside:
            out[count] = _mix(hashed)
            count += 1
            hashed, inside = _FNV_OFFSET, False
        if wide and not (letter == 0xE3 and data[i + 1] == 0x80):  # U+3000 to U+303F is punctuation
            out[count] = _mix((_u64(letter) << _u64(16)) | (_u64(data[i + 1]) << _u64(8)) | _u64(data[i + 2]))
            count += 1
        i += 3 if wide else 1
    length = min(words, count)
    lead = _u64(1)  # the weight of a window's first word
    for _ in range(length - 1):
        lead *= _BASE
    rolled = _u64(0)
    for j in range(count):
        rolled = rolled * _BASE + out[j]
        first = j - length + 1
        if first >= 0:
            leaving = out[first]
            out[first] = _mix(rolled)
            rolled -= leaving * lead
    return count - length + 1 if count else 0


@njit(nogil=True, cache=True)
def _sketch(hashes: np.ndarray, count: int, sketch: np.ndarray) -> None:
    """A fast similarity sketch: two sets agree in a bin with a probability equal to their Jaccard similarity."""
    bins = _u64(sketch.size - 1)
    sketch[:] = _EMPTY
    empty = sketch.size
    for turn in range(ROUNDS):
        tag = np.uint32(turn) << np.uint32(28)
        salt = _u64(turn) * _GOLDEN
        for i in range(count):
            x = _mix(hashes[i] + salt)
            value = tag | np.uint32(x >> _S36)
            slot = np.int64(x & bins)
            if value < sketch[slot]:
                if sketch[slot] == _EMPTY:
                    empty -= 1
                sketch[slot] = value
        if empty == 0:
            return
    tag = np.uint32(ROUNDS) << np.uint32(28)
    for b in range(sketch.size):  # few shingles: an ordinary MinHash for each bin that is still empty
        if sketch[b] == _EMPTY:
            salt = _u64(ROUNDS + b) * _GOLDEN
            for i in range(count):
                sketch[b] = min(sketch[b], tag | np.uint32(_mix(hashes[i] + salt) >> _S36))


@njit(nogil=True, cache=True)
def _longest(offsets: np.ndarray, rows: np.ndarray) -> int:
    """The most bytes that one of these texts has."""
    found = 0
    for row in rows:
        found = max(found, int(offsets[row + 1] - offsets[row]))
    return found


@njit(nogil=True, cache=True)
def _sketch_rows(
    data: np.ndarray, offsets: np.ndarray, start: int, end: int, words: int, sketches: np.ndarray, sizes: np.ndarray
) -> None:
    hashes = np.empty(_longest(offsets, np.arange(start, end)) // 2 + 2, np.uint64)
    for row in range(start, end):
        sizes[row] = _shingles(data, offsets[row], offsets[row + 1], words, hashes)
        if sizes[row]:
            _sketch(hashes, sizes[row], sketches[row])


@njit(nogil=True, cache=True)
def _band_pairs(sketches: np.ndarray, left: np.ndarray, first_bin: int, bins: int, agreeing: int) -> np.ndarray:
    """Rows that fall into one bucket of a band, each with the bucket's first row and with the one before it.

    Returns codes lower * rows + higher. A bucket of m rows so gives 2m pairs, not m squared; what a chain
    misses, the next turn of `near_duplicates` proposes.
    """
    capacity = 1
    while capacity < 2 * left.size:
        capacity *= 2
    mask = capacity - 1
    head, tail = np.full(capacity, -1, np.int64), np.empty(capacity, np.int64)
    keys = np.empty(capacity, np.uint64)
    codes = np.empty(2 * left.size, np.int64)
    count = 0
    for row in left:
        key = _u64(first_bin + 1) * _GOLDEN
        for b in range(first_bin, first_bin + bins):
            key = _mix(key ^ _u64(sketches[row, b]))
        slot = np.int64(key & _u64(mask))
        while head[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & mask
        if head[slot] < 0:
            head[slot] = tail[slot] = row
            keys[slot] = key
            continue
        first, last = head[slot], tail[slot]
        tail[slot] = row
        for other in (first, last):
            same = 0
            for b in range(sketches.shape[1]):
                same += sketches[other, b] == sketches[row, b]
            if same >= agreeing:
                codes[count] = other * len(sketches) + row
                count += 1
            if first == last:
                break
    return codes[:count].copy()


@njit(nogil=True, cache=True)
def _set(hashes: np.ndarray, count: int) -> int:
    """Sort and make unique in place; return the number left."""
    hashes[:count].sort()
    made = 0
    for i in range(count):
        if i == 0 or hashes[i] != hashes[made - 1]:
            hashes[made] = hashes[i]
            made += 1
    return made


@njit(nogil=True, cache=True)
def _verify(data: np.ndarray, offsets: np.ndarray, pairs: np.ndarray, words: int) -> np.ndarray:
    """The exact Jaccard similarity of each pair; pairs with the same first text should follow one another."""
    longest = _longest(offsets, pairs.ravel())
    one, two = np.empty(longest // 2 + 2, np.uint64), np.empty(longest // 2 + 2, np.uint64)
    similar = np.zeros(len(pairs))
    first, n = -1, 0
    for p in range(len(pairs)):
        if pairs[p, 0] != first:
            first = pairs[p, 0]
            n = _set(one, _shingles(data, offsets[first], offsets[first + 1], words, one))
        second = pairs[p, 1]
        m = _set(two, _shingles(data, offsets[second], offsets[second + 1], words, two))
        i = j = common = 0
        while i < n and j < m:
            if one[i] == two[j]:
                common += 1
                i += 1
                j += 1
            elif one[i] < two[j]:
                i += 1
            else:
                j += 1
        if n + m:
            similar[p] = common / (n + m - common)
    return similar


@njit(nogil=True, cache=True)
def _groups(rows: int, pairs: np.ndarray) -> np.ndarray:
    """Union-find: the lowest row of each row's group."""
    parent = np.arange(rows)
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for row in range(rows):  # a parent is never above its child, so one pass settles all
        parent[row] = parent[parent[row]]
    return parent
