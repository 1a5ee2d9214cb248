"""N-gram models with interpolated modified Kneser-Ney smoothing: of bytes, the baseline of bits per byte, and of any
other symbols with numbers, such as words.

A text is its symbols and an end mark; before its first symbol stands a begin mark, which is context only. Every order
up to the highest is interpolated, down to the uniform distribution over all symbols (of bytes: 257), so that every
text has a probability above zero and the probabilities after any context sum to one.

Source: Chen and Goodman (1999), An empirical study of smoothing techniques for language modeling, section 3 and
appendix; n-grams that begin a text keep their counts in the lower orders, as in KenLM (Heafield et al., 2013).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SYMBOLS = 257  # of a byte model, that can be predicted: 256 bytes and the end
END, BEGIN = SYMBOLS - 1, SYMBOLS  # the marks have the numbers after those of the symbols; BEGIN is never predicted


@dataclass(frozen=True)
class Level:
    """All n-grams of one length.

    Args:
        codes: number of the context * (symbols + 1) + symbol, ascending, int64 (ngrams,). The place of an n-gram here
            is its number; a single symbol's number is the symbol.
        share: the discounted probability of each n-gram's symbol, float64 (ngrams,).
        rest: for each context the probability left to the next lower order, float64 (contexts,).
    """

    codes: np.ndarray
    share: np.ndarray
    rest: np.ndarray

    def find(self, codes: np.ndarray) -> np.ndarray:
        """The number of each code, -1 where it never occurred."""
        if not self.codes.size:
            return np.full(codes.shape, -1)
        place = np.minimum(np.searchsorted(self.codes, codes), self.codes.size - 1)
        return np.where(self.codes[place] == codes, place, -1)


@dataclass(frozen=True)
class NgramModel:
    """A trained model; `levels[n]` holds the n-grams of length n + 1, of `size` symbols with the end mark."""

    levels: list[Level]
    size: int = SYMBOLS

    @property
    def width(self) -> int:
        """What a context's number is multiplied by in a code: there is room for the begin mark too."""
        return self.size + 1

    @property
    def order(self) -> int:
        return len(self.levels)

    def bits(self, text: bytes) -> float:
        """The total bits that the model needs for a text and its end.

        Args:
            text: any bytes; the empty text costs the bits of its end.
        """
        return float(-np.log2(self.byte_probabilities(text)).sum())

    def byte_probabilities(self, text: bytes) -> np.ndarray:
        """The probability of each byte after those before it, and of the end, float64 (bytes + 1,)."""
        return self.symbol_probabilities(_symbols([text]))

    def symbol_probabilities(self, symbols: np.ndarray) -> np.ndarray:
        """The probability of each symbol of one text after those before it.

        Args:
            symbols: begin mark, symbols, end mark, int64 (n + 1,).

        Returns: float64 (n,), the end's the last.
        """
        found = np.full(symbols.size - 1, 1 / self.size)
        context = np.zeros(found.size, np.int64)  # the number of the n-gram before each symbol, -1 if unknown
        numbers = symbols
        for level in self.levels:
            if not level.codes.size:
                break  # no text is as long as these n-grams
            known = np.flatnonzero(context >= 0)
            before, place = context[known], np.full(context.size, -1)
            place[known] = level.find(before * self.width + symbols[1:][known])
            share = np.where(place[known] >= 0, level.share[place[known]], 0.0)
            found[known] = share + level.rest[before] * found[known]
            if level is not self.levels[0]:
                numbers = np.concatenate(([-1], place))
            context = numbers[:-1]
        return found

    def probabilities(self, context: bytes) -> np.ndarray:
        """The distribution of the symbol after the beginning of a text, float64 (257,): 256 bytes and the end."""
        symbols = _symbols([context])[:-1]
        found = np.full(self.size, 1 / self.size)
        number = 0
        for length, level in enumerate(self.levels):
            if length > symbols.size:
                break
            if length:
                number = self._number(symbols[symbols.size - length :])
                if number < 0:
                    break
            found *= level.rest[number]
            part = slice(*np.searchsorted(level.codes, [number * self.width, (number + 1) * self.width]))
            found[level.codes[part] % self.width] += level.share[part]
        return found

    def _number(self, ngram: np.ndarray) -> int:
        number = int(ngram[0])
        for level, symbol in zip(self.levels[1:], ngram[1:], strict=False):
            number = int(level.find(np.array([number * self.width + symbol]))[0])
            if number < 0:
                break
        return number


def train_ngram(texts: Iterable[bytes], order: int = 6) -> NgramModel:
    """Count n-grams and smooth them.

    Args:
        texts: each is a text of its own; contexts do not reach over a text's beginning.
        order: the length of the longest n-gram, at least 1.

    Raises:
        ValueError: there are no texts, or the order is below 1.
    """
    return train_symbols(_symbols(texts), SYMBOLS, order)


def train_symbols(symbols: np.ndarray, size: int, order: int) -> NgramModel:
    """The same for texts of any symbols.

    Args:
        symbols: text after text, each with its marks: begin mark, symbols, end mark, int64 (n,).
        size: how many symbols there are with the end mark, which is the last; the begin mark has the number after it.
        order: the length of the longest n-gram, at least 1.

    Raises:
        ValueError: there are no texts, or the order is below 1.
    """
    if order < 1:
        raise ValueError(f"the order of an n-gram model is at least 1, not {order}")
    if symbols.size == 0:
        raise ValueError("an n-gram model needs at least one text")
    width = size + 1
    begins = np.flatnonzero(symbols == size)
    age = np.arange(symbols.size) - np.repeat(begins, np.diff(np.append(begins, symbols.size)))
    levels: list[Level] = []
    numbers, codes, counts = symbols, np.empty(0, np.int64), np.empty(0, np.int64)
    contexts = 1
    for length in range(1, order + 1):
        ends = np.flatnonzero(age >= max(1, length - 1))
        before = numbers[ends - 1] if length > 1 else np.zeros(ends.size, np.int64)
        new, first, place, seen = np.unique(
            before * width + symbols[ends], return_index=True, return_inverse=True, return_counts=True
        )
        last = ends[first]  # where each n-gram occurs for the first time
        if length > 1:
            levels.append(_level(codes, _spread(counts, numbers[last], codes, length, width), contexts, width))
            contexts = width if length == 2 else codes.size
        # An n-gram that begins a text has no symbol to its left: it keeps its count.
        counts = np.where((age[last] == length - 1) & (length > 1), seen, -seen)
        codes = new
        if length > 1:
            numbers = np.full(symbols.size, -1)
            numbers[ends] = place
    levels.append(_level(codes, np.abs(counts), contexts, width))
    return NgramModel(levels, size)


def _symbols(texts: Iterable[bytes]) -> np.ndarray:
    """Begin mark, bytes, end mark, text after text, int64."""
    pieces: list[np.ndarray] = []
    for text in texts:
        pieces += [np.array([BEGIN]), np.frombuffer(text, np.uint8), np.array([END])]
    return np.concatenate(pieces).astype(np.int64) if pieces else np.empty(0, np.int64)


def _spread(counts: np.ndarray, suffixes: np.ndarray, codes: np.ndarray, length: int, width: int) -> np.ndarray:
    """Kneser-Ney counts of shorter n-grams: how many different symbols stand before each.

    Args:
        counts: their plain counts, negative where they have to be replaced.
        suffixes: for each n-gram of `length`, the number of the n-gram without its first symbol.
        codes: of the shorter n-grams.
    """
    if length == 2:  # a single symbol's number is the symbol, not its place
        spread: np.ndarray = np.bincount(suffixes, minlength=width)[codes]
        return spread
    return np.where(counts > 0, counts, np.bincount(suffixes, minlength=codes.size))


def _level(codes: np.ndarray, counts: np.ndarray, contexts: int, width: int) -> Level:
    """Discount the counts and give what was taken to the lower order."""
    discount = _discounts(counts)
    taken = discount[np.minimum(counts, 3)]
    context = codes // width
    total = np.bincount(context, counts, minlength=contexts)
    left = np.bincount(context, taken, minlength=contexts)
    rest = np.divide(left, total, out=np.ones(contexts), where=total > 0)
    return Level(codes, (counts - taken) / total[context], rest)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from counts of 0, 1, 2, and 3 or more, float64 (4,).

    Where the counts of counts cannot tell (a small corpus), half of what the count could give at most.
    """
    ones, twos, threes, fours = (float(np.count_nonzero(counts == n)) for n in (1, 2, 3, 4))
    found = np.array([0.0, 0.5, 1.0, 1.5])
    if min(ones, twos, threes) > 0:
        base = ones / (ones + 2 * twos)
        estimate = [1 - 2 * base * twos / ones, 2 - 3 * base * threes / twos, 3 - 4 * base * fours / threes]
        for n, value in enumerate(estimate, 1):
            if 0 < value < n:
                found[n] = value
    return found
