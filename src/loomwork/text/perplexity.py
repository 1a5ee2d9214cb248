"""How surprising texts are to an n-gram model of words or characters: Numba kernels over Arrow's own buffers.

Words are runs of characters between white space, with punctuation marks apart; upper and lower case count as the
caller has made them. A word's number is its hash in a table of fixed size, so that memory does not grow with the
vocabulary: two words that share a number share their counts.

The model is that of text/ngram.py, laid out so that all continuations of a context lie together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from loomwork.text.ngram import NgramModel, train_symbols
from loomwork.text.spans import decode, split_words

Unit = Literal["word", "character"]
WORDS, CHARACTERS = 1 << 20, 1 << 17  # numbers for words and for characters


@dataclass(frozen=True)
class Surprise:
    """A trained model, ready to be asked.

    Args:
        unit: what its symbols are.
        size: how many symbols there are, with the end mark.
        first: share of each single symbol, float64 (size + 1,).
        symbols: the last symbol of every longer n-gram, level after level, int32 (n,).
        share: its discounted probability, float64 (n,).
        starts: for each context of each level where its continuations begin in `symbols`, int64.
        rest: the probability left to the next lower order, beside `starts`, float64.
        levels: for each level above the first, where its contexts begin in `starts`, int64 (order - 1,).
        places: where its n-grams begin in `symbols`, int64 (order - 1,).
        first_rest: of the empty context.
    """

    unit: Unit
    size: int
    first: np.ndarray
    symbols: np.ndarray
    share: np.ndarray
    starts: np.ndarray
    rest: np.ndarray
    levels: np.ndarray
    places: np.ndarray
    first_rest: float

    @classmethod
    def of(cls, model: NgramModel, unit: Unit) -> Surprise:
        """A model of text/ngram.py, laid out for the kernels."""
        lowest = model.levels[0]
        first = np.zeros(model.width)
        first[lowest.codes] = lowest.share
        starts: list[np.ndarray] = []
        rest: list[np.ndarray] = []
        levels: list[int] = []
        places: list[int] = []
        contexts_so_far = place = 0
        for level in model.levels[1:]:
            contexts = np.arange(level.rest.size + 1) * model.width
            levels.append(contexts_so_far)
            contexts_so_far += contexts.size
            places.append(place)
            starts.append(np.searchsorted(level.codes, contexts) + place)
            rest.append(np.append(level.rest, 1.0))
            place += level.codes.size
        higher = model.levels[1:]
        return cls(
            unit,
            model.size,
            first,
            _joined([level.codes % model.width for level in higher], np.int32),
            _joined([level.share for level in higher], np.float64),
            _joined(starts, np.int64),
            _joined(rest, np.float64),
            np.array(levels, np.int64),
            np.array(places, np.int64),
            float(lowest.rest[0]),
        )

    def bits(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bits that each text and its end cost, and how many units the text has.

        Args:
            data: the UTF-8 bytes of all texts, uint8.
            offsets: where each text begins, and the end of the last, int64 (texts + 1,).

        Returns: bits, float64 (texts,), and units without the end mark, int64 (texts,).
        """
        numbers, rows = unit_numbers(data, offsets, self.unit)
        laid = (self.first, self.symbols, self.share, self.starts, self.rest, self.levels, self.places)
        return _bits(numbers, rows, self.size, *laid, self.first_rest), np.diff(rows)


def train_surprise(symbols: np.ndarray, unit: Unit, order: int) -> Surprise:
    """Train a model.

    Args:
        symbols: what `marked` gives, one piece after the other, int64.
        unit: what they are.
        order: the length of the longest n-gram.

    Raises:
        ValueError: there are no texts.
    """
    return Surprise.of(train_symbols(symbols, _size(unit), order), unit)


def marked(data: np.ndarray, offsets: np.ndarray, unit: Unit) -> np.ndarray:
    """The symbols of texts with their marks, ready for training, int64."""
    numbers, rows = unit_numbers(data, offsets, unit)
    size = _size(unit)
    texts = rows.size - 1
    found = np.empty(numbers.size + 2 * texts, np.int64)
    shift = np.repeat(np.arange(texts), np.diff(rows))
    found[np.arange(numbers.size) + 2 * shift + 1] = numbers
    found[rows[:-1] + 2 * np.arange(texts)] = size
    found[rows[1:] + 2 * np.arange(texts) + 1] = size - 1
    return found


def unit_numbers(data: np.ndarray, offsets: np.ndarray, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    """The number of each word or character, int64, and where each text's begin, int64 (texts + 1,)."""
    if unit == "word":
        words = split_words(data, offsets, marks_apart=True)
        return (words.hashes % np.uint64(WORDS)).astype(np.int64), words.rows
    return _characters(data, offsets)


def _size(unit: Unit) -> int:
    return (WORDS if unit == "word" else CHARACTERS) + 1


def _joined(pieces: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(pieces).astype(kind) if pieces else np.empty(0, kind)


@njit(nogil=True, cache=True)
def _characters(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.empty(offsets[-1] - offsets[0], np.int64)
    rows = np.zeros(offsets.size, np.int64)
    count = 0
    for text in range(offsets.size - 1):
        place = offsets[text]
        while place < offsets[text + 1]:
            letter, place = decode(data, place)
            numbers[count] = letter % CHARACTERS
            count += 1
        rows[text + 1] = count
    return numbers[:count].copy(), rows


@njit(nogil=True, cache=True)
def _bits(
    numbers: np.ndarray,
    rows: np.ndarray,
    size: int,
    first: np.ndarray,
    symbols: np.ndarray,
    share: np.ndarray,
    starts: np.ndarray,
    rest: np.ndarray,
    levels: np.ndarray,
    places: np.ndarray,
    first_rest: float,
) -> np.ndarray:
    """The total bits of each text and its end."""
    bits = np.zeros(rows.size - 1)
    known = np.empty(levels.size + 1, np.int64)  # the number of the n-gram of each length that ends before the symbol
    for text in range(rows.size - 1):
        known[:] = -1
        if levels.size:
            known[0] = size  # the begin mark
        for at in range(rows[text], rows[text + 1] + 1):
            symbol = numbers[at] if at < rows[text + 1] else size - 1
            probability = first[symbol] + first_rest / size
            previous, number = known[0], symbol
            known[0] = symbol
            for level in range(levels.size):
                found = np.int64(-1)
                if previous >= 0:
                    context = levels[level] + previous
                    low, high = starts[context], starts[context + 1]
                    while low < high:
                        middle = (low + high) // 2
                        if symbols[middle] < symbol:
                            low = middle + 1
                        else:
                            high = middle
                    probability *= rest[context]
                    if low < starts[context + 1] and symbols[low] == symbol:
                        probability += share[low]
                        found = low - places[level]
                previous, number = known[level + 1], found
                known[level + 1] = number
            bits[text] -= np.log2(probability)
    return bits
