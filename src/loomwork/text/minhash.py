"""Near-duplicate texts: shingles, sketches, bands, exact Jaccard.

A text is a sequence of words: runs of ASCII letters (case folded), digits, underscores and non-ASCII bytes; in
Chinese and Japanese every character is a word. Its shingles are the 32-bit hashes of all runs of `words` words; a
shorter text has one shingle, of all its words. Two texts are near duplicates when the Jaccard similarity of their
sets of shingles reaches the threshold. Sketches only propose pairs: every pair is verified on the sets themselves.
(Two shingles of n share a hash by chance with a probability of n / 2^32: of texts of a thousand words, next to never.)

`sketch` is the only pass over the texts. What it makes may lie in memory-mapped files, and `near_duplicates` needs no
more than that. Nothing that is returned depends on the number of threads.

Source: Broder (1997), On the resemblance and containment of documents; Dahlgaard, Knudsen and Thorup (2017), Fast
similarity sketching (rounds of one hash per shingle, until no bin is empty).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from loomwork.text import minhash_kernels as kernels
from loomwork.text.minhash_kernels import BINS as BINS

RECALL = 0.995  # of pairs that lie exactly at the threshold, by the choice of bands
BLOCK_BYTES = 1 << 20  # of text, for one thread at a time
BLOCK_ROWS = 1 << 13
BLOCK_PAIRS = 1 << 11
TABLE_ROWS = 1 << 21  # of a band's hash table: 64 MB for each thread
KEY_BYTES = 1 << 28  # of the band keys that are held at once
Run = Callable[..., Iterable[Any]]  # of the form of `map`


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
        return cls(np.frombuffer(b"".join(pieces), np.uint8), offsets)

    @classmethod
    def of_column(cls, column: Any) -> Texts:
        """A column of texts, Arrow's or Polars', without copying it where it is in one piece; null is an empty text."""
        import pyarrow as pa
        import pyarrow.compute as pc

        array = column.to_arrow() if hasattr(column, "to_arrow") else column
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        array = array.cast(pa.large_string())
        array = pc.fill_null(array, "") if array.null_count else array
        _, offsets, content = array.buffers()
        if offsets is None:
            return cls(np.empty(0, np.uint8), np.zeros(1, np.int64))
        ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        return cls(np.frombuffer(content or b"", np.uint8), ends)

    def __len__(self) -> int:
        return self.offsets.size - 1


@dataclass(frozen=True)
class Sketches:
    """What the search for near duplicates knows of texts, row by row. The first two may be memory-mapped.

    Args:
        sketches: uint32 (rows, BINS).
        shingles: the shingles of all rows, each row's in order of its text, with repetitions, uint32.
        starts: where the shingles of each row begin, int64 (rows,).
        counts: how many shingles each row has, 0 where it has no words, int64 (rows,).
        lengths: of the texts in bytes, int64 (rows,).
        contents: hashes of the texts' bytes, uint64 (rows,).
    """

    sketches: np.ndarray
    shingles: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray
    contents: np.ndarray

    def __len__(self) -> int:
        return self.counts.size

    def runs(self) -> Iterator[np.ndarray]:
        """The shingles in pieces that lie together in memory; the gaps between them are left out."""
        ends = self.starts + self.counts
        breaks = [0, *(np.flatnonzero(ends[:-1] != self.starts[1:]) + 1), len(self)]
        for first, last in pairwise(breaks):
            if last > first:
                yield self.shingles[self.starts[first] : ends[last - 1]]


@dataclass(frozen=True)
class Groups:
    """Which text is kept for which: each group is a text that is kept and its near duplicates.

    Args:
        kept: for each text the index of the one that is kept for it, itself where it is kept, int64 (texts,).
        jaccard: the similarity of each text to the one kept for it, float64 (texts,).
        verified: how many pairs were compared exactly.
    """

    kept: np.ndarray
    jaccard: np.ndarray
    verified: int


def sketch(texts: Texts, *, words: int = 5, threads: int = 1) -> Sketches:
    """Shingle and sketch texts, in one pass over their bytes.

    Args:
        texts: any number of texts.
        words: the length of a shingle.
        threads: how many threads to use.
    """
    offsets = texts.offsets - texts.offsets[0]
    data = texts.data[texts.offsets[0] : texts.offsets[-1]]
    if data.size < 8:  # the kernel reads eight bytes at a time
        data = np.frombuffer(data.tobytes().ljust(8, b"\0"), np.uint8)
    rows = len(texts)
    found = Sketches(
        np.empty((rows, BINS), np.uint32),
        np.empty(int(offsets[-1]) // 2 + rows, np.uint32),  # no text has more; what is not used costs no memory
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.diff(offsets),
        np.empty(rows, np.uint64),
    )

    lock, used = threading.Lock(), 0

    def block(first: int, last: int) -> None:
        nonlocal used
        room = np.empty(int(offsets[last] - offsets[first]) // 2 + last - first, np.uint32)
        made = kernels.sketch_rows(
            data, offsets, first, last, words, room, 0, found.counts, found.sketches, found.contents
        )
        with lock:  # blocks lie in the order in which they are ready, without gaps: every page touched costs
            at, used = used, used + made
        found.shingles[at : at + made] = room[:made]
        found.starts[first:last] = at + np.cumsum(found.counts[first:last]) - found.counts[first:last]

    cuts = np.searchsorted(offsets, np.arange(BLOCK_BYTES, offsets[-1], BLOCK_BYTES))
    blocks = np.unique([0, *cuts, *range(0, rows, BLOCK_ROWS), rows]).tolist()
    with _mapping(threads if len(blocks) > 2 else 1) as run:
        list(run(block, blocks[:-1], blocks[1:]))
    return found


def preferred(
    texts: Sketches, keep: Literal["longest", "first", "best"] = "longest", rank: np.ndarray | None = None
) -> np.ndarray:
    """The rows in order of preference, the one that is kept of a group first, int64 (rows,).

    Args:
        texts: the sketches.
        keep: "longest" prefers the text with most bytes, "best" the lowest rank and then the longest, "first" the
            first. What is equal so far is ordered by a hash of the text: only rows with the same text by where they
            stand.
        rank: for "best", a number for each row.
    """
    if keep == "first":
        return np.arange(len(texts))
    keys = [texts.contents, -texts.lengths] + ([] if rank is None or keep == "longest" else [rank])
    return np.lexsort(keys)


def near_duplicates(
    texts: Sketches, *, threshold: float = 0.8, order: np.ndarray | None = None, known: int = 0, threads: int = 1
) -> Groups:
    """Choose texts to keep, so that every other text is a near duplicate of one of them.

    In order of preference, a text is kept unless it is a near duplicate of one that is kept already. So no text goes
    whose like does not stay: a chain of pairs whose ends are unlike does not go for one text, as in the groups that
    union-find would join. Pairs are proposed again among the texts that are left until no two of them are near
    duplicates, so that a second call on what was kept drops nothing. With an order that follows the contents alone,
    as `preferred` makes it for "longest", the order of the rows decides nothing.

    Args:
        texts: the sketches; texts without words are never duplicates.
        threshold: the Jaccard similarity from which two texts are near duplicates, above 0, at most 1.
        order: all rows, the most preferred first; None is `preferred(texts)`.
        known: so many of the last rows are known to be no near duplicates of one another: no two are compared.
        threads: how many threads to use.
    """
    order = preferred(texts) if order is None else order
    order = order[texts.counts[order] > 0]
    size = order.size  # a place is a position in `order`; a pair's code is lower place * size + higher place
    keeper = left = np.arange(size)
    compared, similar = np.empty(0, np.int64), np.empty(0)  # codes ascending
    held: dict[int, np.ndarray] = {}
    with _mapping(threads if size > BLOCK_ROWS else 1) as run:
        while True:
            codes = _proposed(texts.sketches, order, left, threshold, held, run)
            codes = codes[~np.isin(codes, compared)]
            pairs = order[np.stack(np.divmod(codes, size), axis=1)]
            fresh = pairs.min(axis=1, initial=len(texts)) < len(texts) - known
            found = _verify_all(texts, pairs[fresh], run)
            compared, similar = _merged(compared, similar, codes[fresh], found)
            if not (found >= threshold).any():
                break
            alike = np.stack(np.divmod(compared[similar >= threshold], size), axis=1)
            keeper = kernels.covered(size, alike[np.lexsort((alike[:, 0], alike[:, 1]))])
            left = np.flatnonzero(keeper == np.arange(size))  # a text is back when what it went for goes itself
    kept, jaccard = np.arange(len(texts)), np.ones(len(texts))
    kept[order] = order[keeper]
    others = np.flatnonzero(keeper != np.arange(size))
    jaccard[order[others]] = similar[np.searchsorted(compared, keeper[others] * size + others)]
    return Groups(kept, jaccard, compared.size)


def jaccard(a: str, b: str, *, words: int = 5) -> float:
    """The exact Jaccard similarity of two texts' shingles; 0 where neither has any."""
    both = sketch(Texts.of([a, b]), words=words)
    return float(kernels.similarities(both.shingles, both.starts, both.counts, np.array([[0, 1]]))[0])


def bands_for(threshold: float) -> tuple[int, int]:
    """(bands, bins each): the longest bands with which a pair at the threshold shares one with probability RECALL."""
    for bins in range(BINS, 1, -1):
        bands = BINS // bins
        if 1 - (1 - threshold**bins) ** bands >= RECALL:
            return bands, bins
    return BINS, 1


def bucket_mates(known: np.ndarray, sketches: np.ndarray, threshold: float) -> np.ndarray:
    """Which known rows may be compared with one of the new ones: they share a bucket of a band, bool (known rows,).

    Args:
        known: sketches, uint32 (known rows, BINS).
        sketches: of the new rows, uint32 (rows, BINS).
        threshold: as for `near_duplicates`.
    """
    bands, bins = bands_for(threshold)
    slots = 1 << max(6, (8 * len(sketches) * bands).bit_length())  # sparse: most rows meet free slots
    return kernels.touched(known, kernels.key_table(sketches, bands, bins, slots), bands, bins)


@contextmanager
def _mapping(threads: int) -> Iterator[Run]:
    """`map`, on several threads; on one without the cost of handing work over."""
    if threads <= 1:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


def _proposed(
    sketches: np.ndarray, order: np.ndarray, left: np.ndarray, threshold: float, held: dict[int, np.ndarray], run: Run
) -> np.ndarray:
    """Codes of pairs of places that share a band and agree in about enough bins, ascending.

    `held` keeps the keys of all bands for the next call, where there is room for them.
    """
    bands, bins = bands_for(threshold)
    slack = 3.5 * (threshold * (1 - threshold) / BINS) ** 0.5
    agreeing = int((threshold - slack) * BINS)
    turns = -(-left.size // TABLE_ROWS) or 1
    slots = 1 << max(6, int(2 * left.size / turns * (1 if turns == 1 else 1.25)).bit_length())
    at_once = min(bands, max(1, KEY_BYTES // (8 * max(1, order.size))))
    codes = np.empty(0, np.int64)
    for first in range(0, bands, at_once):
        keys = held.get(first)
        if keys is None:
            keys = np.empty((min(at_once, bands - first), order.size), np.uint64)
            list(run(partial(_fill_keys, sketches, order, keys, first, bins), range(0, order.size, BLOCK_ROWS)))
            if at_once == bands:
                held[first] = keys
        jobs = [(band, turn) for band in range(len(keys)) for turn in range(turns)]
        made = run(partial(_pairs_of, sketches, order, left, keys, agreeing, slots, turns), jobs)
        waiting = [codes]
        for found in made:
            waiting.append(found)
            if sum(w.size for w in waiting[1:]) > max(codes.size, left.size):  # the same pairs come from many bands
                waiting = [_set_of(waiting)]
        codes = _set_of(waiting)
    return codes


def _fill_keys(sketches: np.ndarray, rows: np.ndarray, keys: np.ndarray, first: int, bins: int, start: int) -> None:
    kernels.band_keys(sketches, rows, start, min(rows.size, start + BLOCK_ROWS), first, bins, keys)


def _pairs_of(
    sketches: np.ndarray,
    order: np.ndarray,
    left: np.ndarray,
    keys: np.ndarray,
    agreeing: int,
    slots: int,
    turns: int,
    job: tuple[int, int],
) -> np.ndarray:
    return kernels.band_pairs(sketches, order, left, keys[job[0]], agreeing, np.array([slots, turns, job[1]]))


def _set_of(codes: list[np.ndarray]) -> np.ndarray:
    """All different codes, ascending. (np.unique hashes, which is slower by far.)"""
    ascending = np.sort(np.concatenate(codes))
    return ascending[np.concatenate(([True], ascending[1:] != ascending[:-1]))] if ascending.size else ascending


def _verify_all(texts: Sketches, pairs: np.ndarray, run: Run) -> np.ndarray:
    blocks = [pairs[i : i + BLOCK_PAIRS] for i in range(0, len(pairs), BLOCK_PAIRS)]
    work = run(lambda b: kernels.similarities(texts.shingles, texts.starts, texts.counts, b), blocks)
    return np.concatenate([*work, np.empty(0)])


def _merged(
    codes: np.ndarray, values: np.ndarray, more_codes: np.ndarray, more_values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    codes, values = np.concatenate((codes, more_codes)), np.concatenate((values, more_values))
    ascending = np.argsort(codes)
    return codes[ascending], values[ascending]
