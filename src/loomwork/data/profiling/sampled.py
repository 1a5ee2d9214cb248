"""What is measured on the sampled texts: languages, near-duplicates, readability, quality, groups of people."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loomwork.core.score import Interval
from loomwork.stats.bootstrap import ratio_interval
from loomwork.stats.interval import clopper_pearson, wilson

NEAR = 0.8  # Jaccard similarity of word 5-grams from which texts are near-duplicates, as in data.near_dedup
BLOCK_CHARS = 4 << 20
EXAMPLE_CHARS = 600
READABLE_WORDS = 100  # a formula of readability is for passages of so many words
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEAST_WORDS = 20  # of an axis of groups of people; fewer say nothing of their balance
LEAST_LANGUAGE_CHARS = 20  # a shorter text has too little of a language
GOPHER = {  # (quantity, in words, lowest, highest): Rae et al. (2021), table A1
    "words": ("words", 50, 100_000),
    "mean_word_length": ("mean characters of a word", 3, 10),
    "hash_ratio": ("# to a word", None, 0.1),
    "ellipsis_ratio": ("ellipses to a word", None, 0.1),
    "bullet_lines": ("share of lines that begin with a bullet", None, 0.9),
    "ellipsis_lines": ("share of lines that end with an ellipsis", None, 0.3),
    "alphabetic_words": ("share of words with a letter", 0.8, None),
    "stop_words": ("different English stop words of eight", 2, None),
}


@dataclass(frozen=True)
class Sample:
    """The sampled texts that are not empty.

    Args:
        texts: cut to a length.
        rows: their row numbers.  # (texts,)
        languages: of each, "" where the column has none.
        sources: of each.
        shuffled: a random order of them; its beginning is a smaller sample.  # (texts,)
    """

    texts: list[str]
    rows: np.ndarray
    languages: list[str]
    sources: list[str]
    shuffled: np.ndarray

    def some(self, count: int) -> np.ndarray:
        """Places of a random part, in order."""
        return np.sort(self.shuffled[:count])


def blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in pieces of about BLOCK_CHARS, which bounds what is known of their words at one time."""
    ends = np.cumsum([len(t) for t in texts])
    cuts = np.unique([0, *np.searchsorted(ends, np.arange(BLOCK_CHARS, ends[-1], BLOCK_CHARS)), len(texts)])
    for start, end in itertools.pairwise(cuts.tolist()):
        yield texts[start:end]


def identified(texts: Sequence[str], threads: int) -> list[str]:
    """The language of each text, "und" where it is too short to tell."""
    from loomwork.text.language import UNKNOWN, identify

    codes = identify(texts, threads=threads).codes
    return [c if len(t) >= LEAST_LANGUAGE_CHARS else UNKNOWN for c, t in zip(codes, texts, strict=True)]


def is_english(language: str) -> bool:
    """Whether a value of a language column names English: "en", "en-GB", "eng_Latn", "English"."""
    first = language.lower().replace("_", "-").partition("-")[0]
    return first in ("en", "eng", "english")


def near_duplicate_rate(texts: Sequence[str], threads: int) -> dict[str, Any]:
    """The texts that near-duplicate removal would drop."""
    from loomwork.text.minhash import Texts, near_duplicates, sketch

    found = near_duplicates(sketch(Texts.of(texts), threads=threads), threshold=NEAR, threads=threads)
    dropped = int((found.kept != np.arange(len(texts))).sum())
    sizes = np.bincount(found.kept, minlength=len(texts))
    interval = wilson(dropped, len(texts))
    return {
        "texts": len(texts),
        "dropped": dropped,
        "share": dropped / len(texts),
        "low": interval.low,
        "high": interval.high,
        "groups": int((sizes > 1).sum()),
        "largest_group": int(sizes.max()),
        "threshold": NEAR,
    }


def readability_of(sample: Sample) -> dict[str, Any] | None:
    """Quantiles of the formulas over the English texts that are long enough; None where there are none."""
    from loomwork.text.readability import readability

    english = [t for t, language in zip(sample.texts, sample.languages, strict=True) if is_english(language)]
    if not english:
        return None
    measured = [readability(block) for block in blocks(english)]
    long = np.concatenate([m.words for m in measured]) >= READABLE_WORDS
    if not long.any():
        return None
    ease, grade = (np.concatenate([getattr(m, f) for m in measured])[long] for f in ("reading_ease", "grade"))
    low, high = (float(v) for v in np.quantile(ease, [0.01, 0.99]))
    edges = np.arange(np.floor(low / 5) * 5, np.ceil(high / 5) * 5 + 5, 5)
    counts = np.histogram(np.clip(ease, edges[0], edges[-1]), edges)[0] if edges.size > 1 else np.array([ease.size])
    return {
        "texts": int(long.sum()),
        "english": len(english),
        "reading_ease": _quantiles(ease),
        "grade": _quantiles(grade),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()} if edges.size > 1 else None,
    }


def quality_of(texts: Sequence[str]) -> dict[str, Any]:
    """Gopher's quantities, and the texts outside of its limits."""
    from loomwork.text.minhash import Texts
    from loomwork.text.quality import STOP_WORDS, quality
    from loomwork.text.spans import hashes_of, split_words

    stops = hashes_of(list(STOP_WORDS))
    measured = []
    for block in blocks(texts):
        encoded = Texts.of(block)
        words = split_words(encoded.data, encoded.offsets)
        measured.append(quality(encoded.data, encoded.offsets, words, stops))
    rows, any_outside = [], np.zeros(len(texts), bool)
    for name, (told, low, high) in GOPHER.items():
        values = np.concatenate([getattr(m, name) for m in measured])
        outside = (values < (-np.inf if low is None else low)) | (values > (np.inf if high is None else high))
        any_outside |= outside
        rows.append(
            {"name": told, "low": low, "high": high, "outside": int(outside.sum()), "quantiles": _quantiles(values)}
        )
    return {"texts": len(texts), "outside": int(any_outside.sum()), "quantities": rows}


def people(sample: Sample) -> dict[str, Any] | None:
    """Words that name groups of people, in the English texts; each group's share of its axis with its interval."""
    from loomwork.text.demographic import count_terms

    english = [t for t, language in zip(sample.texts, sample.languages, strict=True) if is_english(language)]
    if not english:
        return None
    axes = []
    counted = [count_terms(block) for block in blocks(english)]
    for axis, names in counted[0].items():
        groups = {name: np.concatenate([c[axis][name] for c in counted]) for name in names}
        total = np.sum(list(groups.values()), axis=0)
        has = total > 0
        if has.sum() < 2 or total.sum() < LEAST_WORDS:
            continue
        shares = []
        for group, counts in groups.items():
            count = int(counts.sum())
            interval = _share_interval(counts[has], total[has])
            low, high = max(0.0, interval.low), min(1.0, interval.high)
            shares.append({"group": group, "count": count, "share": count / int(total.sum()), "low": low, "high": high})
        axes.append({"axis": axis, "words": int(total.sum()), "texts": int(has.sum()), "groups": shares})
    return {"texts": len(english), "axes": axes} if axes else None


def _share_interval(counts: np.ndarray, total: np.ndarray) -> Interval:
    """Of a share of words, over texts; where all or none are of the group a bootstrap sees no spread.  # (texts,)"""
    if counts.sum() in (0, total.sum()):
        return clopper_pearson(len(counts) if counts.sum() else 0, len(counts))
    return ratio_interval(counts, total)


def language_counts(languages: Sequence[str]) -> dict[str, list[int]]:
    """Texts of each language of a sample, the most frequent first."""
    return {name: [n, 0] for name, n in sorted(Counter(languages).items(), key=lambda pair: (-pair[1], pair[0]))}


def examples_of(sample: Sample, extremes: dict[str, list[tuple[int, int, str]]], few: int) -> list[dict[str, Any]]:
    """Random, longest, shortest and oddest texts."""
    from loomwork.text.lexical import oddness
    from loomwork.text.minhash import Texts

    def row(why: str, number: int, text: str, chars: int | None = None) -> dict[str, Any]:
        return {"why": why, "row": int(number), "text": text[:EXAMPLE_CHARS], "chars": chars or len(text)}

    found = [row("random", sample.rows[i], sample.texts[i]) for i in sample.shuffled[:few]]
    for why in ("longest", "shortest"):
        found += [row(why, number, text, chars) for chars, number, text in extremes[why][:few]]
    bits = oddness(Texts.of(sample.texts))
    bits[[len(t) < LEAST_LANGUAGE_CHARS for t in sample.texts]] = 0
    for i in np.lexsort((sample.rows, -bits))[:few]:
        if bits[i] > 0:
            found.append(row("oddest", sample.rows[i], sample.texts[i]) | {"bits_per_byte": float(bits[i])})
    return found


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f"{q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
