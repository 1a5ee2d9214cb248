"""Corpus metrics as functions of sums of per-item statistics, for many resamples at once: the `statistic` of sums.py.

Each takes sums whose last axis holds the statistics, (..., k), and returns one value for each, (...). What an item's
statistics are is said in each docstring; they add up over items.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loomwork.stats.cluster import Floats


def ratio(sums: Any) -> Floats:
    """One sum by another: accuracy, TER, bits per byte.  # statistics of an item: above, below"""
    x = np.asarray(sums, np.float64)
    return _by(x[..., 0], x[..., 1])


def perplexity(sums: Any) -> Floats:
    """exp of minus log-probability a token.  # statistics of an item: log-probability (nats), tokens"""
    return np.asarray(np.exp(-ratio(sums)))


def f_score(sums: Any, beta: float = 1.0) -> Floats:
    """F of counts, 0 where nothing was found or wanted.  # statistics of an item: hits, found, wanted

    Source: van Rijsbergen (1979), Information Retrieval, chapter 7.
    """
    x = np.asarray(sums, np.float64)
    return _by((1 + beta**2) * x[..., 0], x[..., 1] + beta**2 * x[..., 2])


def matthews(sums: Any) -> Floats:
    """Matthews' correlation of two classes, 0 where a side has one class only.

    Args:
        sums: of true positives, false positives, false negatives, true negatives; an item has one 1 among them.

    Source: Matthews (1975), Biochimica et Biophysica Acta 405(2).
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    return _by(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def pearson_statistics(x: Any, y: Any) -> Floats:
    """The statistics of each item for `pearson`: 1, x, y, xx, yy, xy of centred values, so that sums do not cancel.

    Args:
        x, y: one number an item.  # (n,)
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    a, b = a - a.mean(), b - b.mean()
    return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], axis=1)


def pearson(sums: Any) -> Floats:
    """Pearson's correlation, 0 where a side does not vary; of ranks it is Spearman's.

    Spearman's ranks are then those of the whole sample, not of the resample.

    Args:
        sums: of what `pearson_statistics` gives.
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    across = np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0)
    tiny = across <= (1e-12 * n * n) ** 2 * np.maximum(xx * yy, 0.0)
    return np.clip(np.where(tiny, 0.0, _by(n * xy - x * y, np.sqrt(across))), -1.0, 1.0)


def bleu(sums: Any) -> Floats:
    """BLEU from 0 to 100, with sacreBLEU's exponential smoothing.

    Args:
        sums: of length of the output, length of the reference, matching n-grams of order 1 to N, n-grams of the output
            of order 1 to N: what sacreBLEU's `_extract_corpus_statistics` gives.

    Source: Papineni et al. (2002); Chen and Cherry (2014), smoothing 3, as in sacreBLEU.
    """
    x = np.asarray(sums, np.float64)
    order = (x.shape[-1] - 2) // 2
    length, reference, hits, total = x[..., 0], x[..., 1], x[..., 2 : 2 + order], x[..., 2 + order :]
    none = hits == 0
    smoothed = np.where(none, 0.5 ** np.cumsum(none, axis=-1), hits)  # 1/2 of a hit at the first empty order, 1/4 ...
    empty = (total == 0).any(axis=-1) | none.all(axis=-1)
    precision = np.log(_by(smoothed, total) + (total == 0)).mean(axis=-1)
    brevity = np.minimum(0.0, 1 - _by(reference, length))
    return np.where(empty, 0.0, 100 * np.exp(precision + brevity))


def chrf(sums: Any, beta: float = 2.0) -> Floats:
    """chrF from 0 to 100, as sacreBLEU has it.

    Args:
        sums: of n-grams of the output, of the reference, and of both, for each order in turn.

    Source: Popović (2015), chrF: character n-gram F-score for automatic MT evaluation.
    """
    x = np.asarray(sums, np.float64)
    x = x.reshape(*x.shape[:-1], -1, 3)  # (..., orders, 3)
    own, reference, both = x[..., 0], x[..., 1], x[..., 2]
    counted = (own > 0) & (reference > 0)
    orders = counted.sum(axis=-1)
    precision = _by((_by(both, own) * counted).sum(axis=-1), orders)
    recall = _by((_by(both, reference) * counted).sum(axis=-1), orders)
    return 100 * _by((1 + beta**2) * precision * recall, beta**2 * precision + recall)


def _by(above: Any, below: Any) -> Floats:
    """A quotient, 0 where it would divide by 0."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.zeros(above.shape), where=below != 0)
