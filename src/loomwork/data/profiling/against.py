"""How like the target the data is: a classifier two-sample test, coverage, divergence of n-grams, telling words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from loomwork.core.errors import InputError
from loomwork.core.score import Interval
from loomwork.data.profiling.variety import CUT, typical_words
from loomwork.stats.auc import auc_interval
from loomwork.stats.divergence import grouped_permutation_p, jensen_shannon
from loomwork.stats.interval import wilson
from loomwork.stats.two_sample import by_fold, coverage, coverage_of_equals, cross_fitted, folds_of_groups
from loomwork.text.lexical import hashed_counts, unit_rows

COMPARED = 2000  # texts of each side
EMBEDDED = 1000  # where an encoder has to read them
LEAST = 20  # texts of each side, for five folds
FOLDS = 5
STRENGTH = 10.0  # of the logistic regression (C)
DIVERGENCE_BUCKETS = 1 << 14
DEALS = 199
NEIGHBOURS = 5
TELLING = 20  # words of each side that are shown


def require_enough(ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Refuse what is too little to compare.

    Raises:
        InputError: a side has too few texts.
    """
    if min(len(ours), len(theirs)) < LEAST:
        raise InputError(
            f"the data has {len(ours)} texts and the target {len(theirs)}; a comparison needs {LEAST} on each side",
            "is a whole file one text? data.read with text_unit=paragraph makes a row of each paragraph",
        )


def against(
    ours: Sequence[str], theirs: Sequence[str], embed: Callable[[Sequence[str]], np.ndarray] | None, seed: int
) -> tuple[dict[str, Any], Interval, dict[str, np.ndarray]]:
    """Compare two sets of texts.

    Args:
        ours: of the data, in random order.
        theirs: of the target, in random order.
        embed: gives vectors of length 1; None compares words and word pairs.
        seed: of folds and deals.

    Returns: the measures, the interval of the AUC, and of each text its fold and its score.
    """
    most = EMBEDDED if embed else COMPARED
    ours, theirs = [t[:CUT] for t in ours[:most]], [t[:CUT] for t in theirs[:most]]
    order = np.random.default_rng(seed)
    both = [*ours, *theirs]
    is_target = np.arange(len(both)) >= len(ours)
    _, copies = np.unique(np.array(both, dtype=object), return_inverse=True)
    fold_of = folds_of_groups(copies.astype(np.int64), FOLDS, order)
    features = embed(both) if embed else unit_rows(hashed_counts(both)).tocsr()
    scores = cross_fitted(features, is_target, fold_of, strength=STRENGTH)
    value, interval = auc_interval(list(by_fold(scores, is_target, fold_of)), cross_fitted=True)
    words = hashed_counts(both, most_n=1, buckets=DIVERGENCE_BUCKETS).tocsr()
    near, far = features[: len(ours)], features[len(ours) :]
    covered = coverage(_cosines(far, far), _cosines(far, near), NEIGHBOURS)
    covered_interval = wilson(int(covered.sum()), len(covered))
    mine, other = typical_words(both, is_target.astype(np.int64), 2, TELLING)
    return (
        {
            "texts": len(ours),
            "target_texts": len(theirs),
            "features": "embeddings" if embed else "words and word pairs",
            "auc": {"value": value, "low": interval.low, "high": interval.high, "method": interval.method},
            "jensen_shannon": _divergence(words, is_target, order),
            "coverage": {
                "share": float(covered.mean()),
                "low": covered_interval.low,
                "high": covered_interval.high,
                "of_equals": coverage_of_equals(len(ours), len(theirs), NEIGHBOURS),
                "neighbours": NEIGHBOURS,
            },
            "words_of_data": mine,
            "words_of_target": other,
        },
        interval,
        {"fold": fold_of, "score": scores, "is_target": is_target},
    )


def _cosines(one: Any, two: Any) -> np.ndarray:
    """Of rows of length 1, dense or sparse."""
    found = one @ two.T
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def _divergence(words: Any, is_target: np.ndarray, order: np.random.Generator) -> dict[str, float]:
    """Of hashed words, in bits; samples of one distribution are apart too, by `chance` on average."""

    def apart(side: np.ndarray) -> float:
        after = np.asarray(words[side].sum(axis=0)).ravel()
        before = np.asarray(words[~side].sum(axis=0)).ravel()
        return float(jensen_shannon(before, after)) if before.sum() and after.sum() else 0.0

    chance = float(np.mean([apart(order.permutation(is_target)) for _ in range(10)]))
    p = grouped_permutation_p(words, is_target, "jensen-shannon", draws=DEALS, order=order)
    return {"bits": apart(is_target), "chance": chance, "p": p, "draws": DEALS}
