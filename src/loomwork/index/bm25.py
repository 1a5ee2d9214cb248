"""BM25: an inverted index in four flat arrays, and its search.

A posting holds the whole contribution of a word to a document, so that a query only adds up slices.

Source: Robertson and Zaragoza (2009), The probabilistic relevance framework; the inverse document frequency is
Lucene's log(1 + (N - n + 0.5) / (n + 0.5)), which is never negative.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loomwork.text.words import search_words

K1, B = 1.2, 0.75
ARRAYS = ("starts", "rows", "weights")


@dataclass(frozen=True)
class Bm25:
    """Postings, sorted by word and then by row.

    Args:
        words: the number of each word.
        starts: where the postings of each word begin, int64 (words + 1,).
        rows: int32 (postings,).
        weights: what the word adds to the row's score, float32 (postings,).
        count: how many rows there are.
    """

    words: dict[str, int]
    starts: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    count: int

    def scores(self, query: str) -> np.ndarray:
        """The score of every row, float32 (rows,). A word that stands twice in the query counts twice."""
        found = np.zeros(self.count, np.float32)
        for word in search_words(query):
            number = self.words.get(word)
            if number is not None:
                part = slice(self.starts[number], self.starts[number + 1])
                found[self.rows[part]] += self.weights[part]
        return found

    def save(self, folder: Path) -> None:
        """Write words.txt, one word a line in order of number, and one .npy an array."""
        folder.mkdir(parents=True)
        (folder / "words.txt").write_text("".join(word + "\n" for word in self.words), "utf-8", newline="\n")
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, count: int) -> Bm25:
        """Open a saved index of `count` rows; its arrays stay on disk until they are read."""
        words = (folder / "words.txt").read_text("utf-8").split("\n")[:-1]
        starts, rows, weights = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS)
        return cls({word: i for i, word in enumerate(words)}, starts, rows, weights, count)


def build_bm25(texts: Iterable[str], *, k1: float = K1, b: float = B) -> Bm25:
    """Index texts, in their order.

    Args:
        texts: one a row.
        k1: how fast a repeated word stops to count.
        b: how much a long text is held against it, 0 to 1.
    """
    numbers: dict[str, int] = {}
    blocks: list[np.ndarray] = []
    lengths: list[int] = []
    for text in texts:
        words = search_words(text)
        lengths.append(len(words))
        blocks.append(np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64))
    ordered = sorted(numbers)
    rank = np.empty(len(ordered), np.int64)
    rank[[numbers[word] for word in ordered]] = np.arange(len(ordered))
    occurrences = np.concatenate([np.empty(0, np.int64), *blocks])
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    codes, frequency = np.unique(rank[occurrences] * max(1, len(lengths)) + row_of, return_counts=True)
    word_of, rows = np.divmod(codes, max(1, len(lengths)))
    documents = np.bincount(word_of, minlength=len(ordered))
    rarity = np.log1p((len(lengths) - documents + 0.5) / (documents + 0.5))
    length = np.asarray(lengths, np.float64) / max(1.0, float(np.mean(lengths or [1])))
    saturated = frequency * (k1 + 1) / (frequency + k1 * (1 - b + b * length[rows]))
    return Bm25(
        {word: i for i, word in enumerate(ordered)},
        np.concatenate(([0], np.cumsum(documents))).astype(np.int64),
        rows.astype(np.int32),
        (rarity[word_of] * saturated).astype(np.float32),
        len(lengths),
    )
