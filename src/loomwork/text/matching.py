"""How much of some texts stands word for word in a stream of others: matching statistics. Numba kernels.

For each word of the texts, the length of the longest run of words that ends there and occurs in the stream. All that is
asked of an overlap follows from these numbers, exactly: whether the run of n words that ends there occurs, and which
run is the longest. Words are those of text/overlap.py: case and punctuation do not count; two words are taken as equal
where their 64-bit hashes are.

The texts are held as a suffix automaton of words (two states a word at most, about 100 bytes); the stream is read once
and not kept.

Source: Chang and Lawler (1994), Sublinear approximate string matching and biological applications; Blumer et al.
(1985), The smallest automaton recognizing the subwords of a text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from loomwork.text.minhash import Texts
from loomwork.text.overlap import FoldedWords, folded_words
from loomwork.text.spans import mix

_u64 = np.uint64
_S32 = _u64(32)
NONE = -1


class Matcher:
    """Texts that are looked for in a stream of others.

    Args:
        texts: what is looked for; their words are held in memory.
    """

    def __init__(self, texts: Texts) -> None:
        self.words: FoldedWords = folded_words(texts)
        self._vocabulary, places = np.unique(self.words.hashes, return_inverse=True)
        self._table = _index(self._vocabulary)
        ids = places.astype(np.int32)
        self._ids = ids
        self._automaton = _build(ids, self.words.rows)
        self._best = np.zeros(self._automaton[0].size, np.int32)  # the longest match that ended in each state

    def look(self, texts: Texts) -> None:
        """Read a piece of the stream. No run goes from one text into the next."""
        found = folded_words(texts)
        ids = _ids_of(found.hashes, self._vocabulary, self._table)
        _stream(ids, found.rows, *self._automaton, self._best)  # type: ignore[call-arg]

    def longest(self) -> np.ndarray:
        """For each word of the texts the length in words of the longest matched run that ends there, int32 (words,)."""
        length, link, *edges = self._automaton
        best = self._best.copy()
        _spread(best, length, link, np.argsort(length, kind="stable"))
        return _read(self._ids, self.words.rows, best, *edges)

    def share(self, words: int, longest: np.ndarray | None = None) -> np.ndarray:
        """The share of each text's runs of so many words that occur in the stream; NaN for a shorter text.  # (texts,)

        Args:
            longest: what `longest` returned, so that it is not made again.
        """
        ends = self.longest() if longest is None else longest
        sizes = np.diff(self.words.rows)
        hits = np.bincount(self.words.row_of, ends >= words, minlength=sizes.size)[: sizes.size]
        runs = sizes - words + 1
        return np.where(runs > 0, hits / np.maximum(runs, 1), np.nan)

    def longest_of_each(self, longest: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The longest matched run of each text: its length in words, and the number of its last word (-1 for none)."""
        ends = self.longest() if longest is None else longest
        sizes, last = np.zeros(self.words.rows.size - 1, np.int64), np.full(self.words.rows.size - 1, NONE, np.int64)
        for row, (start, end) in enumerate(zip(self.words.rows[:-1], self.words.rows[1:], strict=True)):
            if end > start:
                at = int(np.argmax(ends[start:end]))
                sizes[row] = ends[start + at]
                last[row] = start + at if sizes[row] else NONE
        return sizes, last


@njit(nogil=True, cache=True)
def _index(hashes: np.ndarray) -> np.ndarray:
    """An open hash table: slot -> place of a hash, or -1."""
    size = 16
    while size < 2 * hashes.size:
        size *= 2
    table = np.full(size, -1, np.int32)
    for place in range(hashes.size):
        slot = hashes[place] & _u64(size - 1)
        while table[slot] >= 0:
            slot = (slot + _u64(1)) & _u64(size - 1)
        table[slot] = place
    return table


@njit(nogil=True, cache=True)
def _ids_of(hashes: np.ndarray, known: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The place of each hash among the known ones; -1 for one that is not there."""
    found = np.empty(hashes.size, np.int32)
    mask = _u64(table.size - 1)
    for i in range(hashes.size):
        slot = hashes[i] & mask
        place = table[slot]
        while place >= 0 and known[place] != hashes[i]:
            slot = (slot + _u64(1)) & mask
            place = table[slot]
        found[i] = place
    return found


@njit(nogil=True, cache=True, inline="always")
def _slot(state: Any, word: Any, size: int) -> Any:
    return mix((_u64(state) << _S32) | _u64(word)) & _u64(size - 1)


@njit(nogil=True, cache=True)
def _edge(state: int, word: int, table: np.ndarray, edge_state: np.ndarray, edge_word: np.ndarray) -> Any:
    """The number of the edge that leaves a state on a word, or -1."""
    slot = _slot(state, word, table.size)
    edge = table[slot]
    while edge >= 0 and (edge_state[edge] != state or edge_word[edge] != word):
        slot = (slot + _u64(1)) & _u64(table.size - 1)
        edge = table[slot]
    return edge


@njit(nogil=True, cache=True)
def _build(ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """The suffix automaton of all texts: for each state its length and link, and the edges with their hash table."""
    states, edges = 2 * ids.size + 2, 3 * ids.size + 4
    size = 16
    while size < 2 * edges:
        size *= 2
    length, link = np.zeros(states, np.int32), np.full(states, -1, np.int32)
    first = np.full(states, -1, np.int32)  # of each state's edges, a linked list
    after = np.full(edges, -1, np.int32)
    edge_state, edge_word, edge_to = np.empty(edges, np.int32), np.empty(edges, np.int32), np.empty(edges, np.int32)
    table = np.full(size, -1, np.int32)
    used, made = 1, 0
    for row in range(rows.size - 1):
        last = 0
        for at in range(rows[row], rows[row + 1]):
            word = ids[at]
            edge = _edge(last, word, table, edge_state, edge_word)
            if edge >= 0 and length[edge_to[edge]] == length[last] + 1:  # an earlier text has this run as well
                last = edge_to[edge]
                continue
            begun, state = -1, last
            if edge < 0:
                begun = used
                used += 1
                length[begun] = length[last] + 1
            while state >= 0 and edge < 0:
                slot = _slot(state, word, size)
                while table[slot] >= 0:
                    slot = (slot + _u64(1)) & _u64(size - 1)
                table[slot] = made
                edge_state[made], edge_word[made], edge_to[made] = state, word, begun
                after[made], first[state] = first[state], made
                made += 1
                state = link[state]
                if state >= 0:
                    edge = _edge(state, word, table, edge_state, edge_word)
            if state < 0:
                link[begun] = 0
                last = begun
                continue
            target = edge_to[edge]
            if length[state] + 1 == length[target]:
                link[begun] = target
                last = begun
                continue
            clone = used
            used += 1
            length[clone], link[clone] = length[state] + 1, link[target]
            copied = first[target]
            while copied >= 0:
                slot = _slot(clone, edge_word[copied], size)
                while table[slot] >= 0:
                    slot = (slot + _u64(1)) & _u64(size - 1)
                table[slot] = made
                edge_state[made], edge_word[made], edge_to[made] = clone, edge_word[copied], edge_to[copied]
                after[made], first[clone] = first[clone], made
                made += 1
                copied = after[copied]
            while state >= 0:
                edge = _edge(state, word, table, edge_state, edge_word)
                if edge < 0 or edge_to[edge] != target:
                    break
                edge_to[edge] = clone
                state = link[state]
            link[target] = clone
            if begun >= 0:
                link[begun] = clone
                last = begun
            else:
                last = clone
    return length[:used], link[:used], table, edge_state[:made], edge_word[:made], edge_to[:made]


@njit(nogil=True, cache=True)
def _stream(
    ids: np.ndarray,
    rows: np.ndarray,
    length: np.ndarray,
    link: np.ndarray,
    table: np.ndarray,
    edge_state: np.ndarray,
    edge_word: np.ndarray,
    edge_to: np.ndarray,
    best: np.ndarray,
) -> None:
    for row in range(rows.size - 1):
        state, matched = 0, 0
        for at in range(rows[row], rows[row + 1]):
            word = ids[at]
            if word < 0:
                state, matched = 0, 0
                continue
            edge = _edge(state, word, table, edge_state, edge_word)
            while edge < 0 and state > 0:
                state = link[state]
                matched = length[state]
                edge = _edge(state, word, table, edge_state, edge_word)
            if edge >= 0:
                state = edge_to[edge]
                matched += 1
                best[state] = max(best[state], matched)


@njit(nogil=True, cache=True)
def _spread(best: np.ndarray, length: np.ndarray, link: np.ndarray, order: np.ndarray) -> None:
    """Make `best` the longest match that is a suffix of what a state stands for; states in the order of length."""
    for at in range(order.size - 1, -1, -1):  # what ends in a state ends in those of its suffixes too
        state = order[at]
        if best[state] > 0 and link[state] > 0:
            best[link[state]] = length[link[state]]
    for state in order:
        if best[state] == 0 and link[state] > 0:
            best[state] = best[link[state]]


@njit(nogil=True, cache=True)
def _read(
    ids: np.ndarray,
    rows: np.ndarray,
    best: np.ndarray,
    table: np.ndarray,
    edge_state: np.ndarray,
    edge_word: np.ndarray,
    edge_to: np.ndarray,
) -> np.ndarray:
    found = np.zeros(ids.size, np.int32)
    for row in range(rows.size - 1):
        state = 0
        for at in range(rows[row], rows[row + 1]):
            state = edge_to[_edge(state, ids[at], table, edge_state, edge_word)]
            found[at] = best[state]
    return found
