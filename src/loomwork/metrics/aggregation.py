"""How the items of a metric become one number, under the names of lm-evaluation-harness.

An item is a number, or a pair: (sum of log-probabilities, weight), or (gold, prediction). Sums over items are all
that the weighted ones need, so intervals can be drawn from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import InputError, MissingDependency
from loomwork.metrics.classification import binary_cells, binary_f1, brier


def mean(items: Sequence[float]) -> float:
    return float(np.mean(np.asarray(items, dtype=np.float64)))


def nanmean(items: Sequence[float]) -> float:
    """The mean of the items that are numbers; NaN where none is."""
    x = np.asarray(items, dtype=np.float64)
    return float(x[~np.isnan(x)].mean()) if not np.isnan(x).all() else math.nan


def median(items: Sequence[float]) -> float:
    """The upper median, as lm-evaluation-harness has it."""
    return float(sorted(items)[len(items) // 2])


def brier_score(items: Sequence[Any]) -> float:
    """The mean Brier score: see `brier_of_each`."""
    return mean(brier_of_each(items).tolist())


def brier_of_each(items: Sequence[Any]) -> npt.NDArray[np.float64]:
    """The Brier score of each item: what it is, or that of a pair.  # items: number, or (gold, probabilities)"""
    found = []
    for item in items:
        if isinstance(item, list | tuple):
            gold, probabilities = item
            found.append(float(brier(np.array([probabilities], dtype=np.float64), np.array([gold]))[0]))
        else:
            found.append(float(item))
    return np.array(found, dtype=np.float64)


def perplexity(items: Sequence[float]) -> float:
    """exp of minus the mean summed log-probability of a target."""
    return math.exp(-mean(items))


def weighted_perplexity(items: Sequence[tuple[float, float]]) -> float:
    """exp of minus all log-probability over all weight (words, bytes).  # items: (log-probability, weight)"""
    return math.exp(-_ratio(items))


def bits_per_byte(items: Sequence[tuple[float, float]]) -> float:
    """Minus all log-probability, in bits, over all bytes.  # items: (log-probability, bytes)"""
    return -_ratio(items) / math.log(2)


def f1(items: Sequence[tuple[int, int]]) -> float:
    """F1 of the class 1; 0 where it is neither there nor predicted.  # items: (gold, prediction), each 0 or 1

    Raises:
        InputError: there are other classes.
    """
    gold, predicted = _labels(items)
    if not set(np.unique(np.concatenate([gold, predicted]))) <= {0, 1}:
        raise InputError("the aggregation f1 is of two classes, 0 and 1", "with more, aggregate acc or mcc")
    return float(binary_f1(binary_cells(gold, predicted).sum(axis=0)))


def matthews_corrcoef(items: Sequence[tuple[int, int]]) -> float:
    """Matthews' correlation of any number of classes; 0 where one side is constant. Of two it is the usual one.

    Source: Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.
    """
    gold, predicted = _labels(items)
    classes = np.unique(np.concatenate([gold, predicted]))
    is_gold = (gold[:, None] == classes).astype(np.float64)  # (items, classes)
    is_predicted = (predicted[:, None] == classes).astype(np.float64)
    is_gold -= is_gold.mean(axis=0)
    is_predicted -= is_predicted.mean(axis=0)
    spread = float((is_gold**2).sum() * (is_predicted**2).sum())
    return float((is_gold * is_predicted).sum() / math.sqrt(spread)) if spread else 0.0


def bleu(items: Sequence[tuple[Any, str]]) -> float:
    """Corpus BLEU, sacrebleu's defaults.  # items: (reference or references, prediction)"""
    references, predictions = _streams(items)
    return float(_sacrebleu().corpus_bleu(predictions, references).score)


def chrf(items: Sequence[tuple[Any, str]]) -> float:
    """Corpus chrF, sacrebleu's defaults."""
    references, predictions = _streams(items)
    return float(_sacrebleu().corpus_chrf(predictions, references).score)


def chrf_words(items: Sequence[tuple[Any, str]]) -> float:
    """Corpus chrF++: chrF with words and pairs of words."""
    references, predictions = _streams(items)
    return float(_sacrebleu().corpus_chrf(predictions, references, word_order=2).score)


def ter(items: Sequence[tuple[Any, str]]) -> float:
    """Corpus translation edit rate, sacrebleu's defaults."""
    references, predictions = _streams(items)
    return float(_sacrebleu().corpus_ter(predictions, references).score)


AGGREGATIONS: dict[str, Callable[[Sequence[Any]], float]] = {
    "mean": mean,
    "nanmean": nanmean,
    "median": median,
    "brier_score": brier_score,
    "perplexity": perplexity,
    "weighted_perplexity": weighted_perplexity,
    "bits_per_byte": bits_per_byte,
    "f1": f1,
    "matthews_corrcoef": matthews_corrcoef,
    "bleu": bleu,
    "chrf": chrf,
    "chrf++": chrf_words,
    "ter": ter,
}


def _ratio(items: Sequence[tuple[float, float]]) -> float:
    log_probability, weight = np.asarray(items, dtype=np.float64).T  # (2, items)
    if weight.sum() <= 0:
        raise InputError("the texts have no words or bytes at all", "look at what the task's target is")
    return float(log_probability.sum() / weight.sum())


def _labels(items: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.asarray(items, dtype=np.int64)  # (items, 2)
    return pairs[:, 0], pairs[:, 1]


def _streams(items: Sequence[tuple[Any, str]]) -> tuple[list[list[str]], list[str]]:
    """sacrebleu's form: one list for each reference that every item has."""
    every = [[r] if isinstance(r, str) else list(r) for r, _ in items]
    if len({len(r) for r in every}) != 1:
        raise InputError("items have different numbers of references", "give each as many as the others")
    return [list(stream) for stream in zip(*every, strict=True)], [p for _, p in items]


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ModuleNotFoundError:
        raise MissingDependency("BLEU, chrF and TER", "sacrebleu", "evals") from None
    return sacrebleu
