"""Rule: texts that look more like the user's bad examples than like the good ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.ranges import Share
from loomwork.core.step import Card, Files
from loomwork.data.filters import Learned
from loomwork.data.filters._examples import example_texts
from loomwork.data.filters._measured import need_numba

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

USES = ("numba", "numpy", "scikit-learn", "scipy")
BUCKETS = 1 << 18  # of hashed words and pairs of words
FOLDS = 5
LEAST = 20  # examples of each kind
BATCH_ROWS = 2048


def quality_classifier(
    data: Dataset,
    *,
    column: str,
    good: Annotated[Path, Files()],
    bad: Annotated[Path, Files()],
    examples_column: str = "text",
    min_score: Share = 0.5,
    strength: Annotated[float, Gt(0)] = 10.0,
    max_examples: Annotated[int, Ge(LEAST)] = 100_000,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts whose probability of being good is too low: {quality_classifier: {good: wiki.txt, bad: spam.jsonl}}.

    A logistic regression on hashed words and pairs of words is trained on the examples, both kinds weighing the same.
    The card tells how well it ranks examples it has not seen: the area under the ROC curve over five folds, with its
    95 % interval, and what share of the good and of the bad examples it would drop.

    Args:
        data: rows with a text column.
        column: the text column.
        good, bad: examples, each a file, folder or dataset.
        examples_column: where their text is, in tables.
        min_score: a text with a lower score is dropped; a score lies between 0 (bad) and 1 (good).
        strength: the inverse of the regularisation (scikit-learn's C).
        max_examples: of each kind, that are used.

    Raises:
        InputError: there are too few examples, or they are the same texts.

    Source: Brown et al. (2020), Language models are few-shot learners, appendix A, for the idea; Weinberger et al.
    (2009), for hashed features; stats/auc.py for the interval.
    """
    import polars as pl

    need_numba("quality_classifier")
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise MissingDependency("the filter rule quality_classifier", "scikit-learn", "curate") from None
    texts, is_good = _examples(good, bad, examples_column, max_examples)
    classifier, card = _trained(texts, is_good, strength, min_score)

    def rule(rows: pl.DataFrame) -> pl.Series:
        given = rows[column].cast(pl.String).fill_null("").to_list()
        parts = [given[i : i + BATCH_ROWS] for i in range(0, len(given), BATCH_ROWS)]
        scores = pl.Series([score for part in parts for score in classifier.scores(part)], dtype=pl.Float64).round(4)
        verdict = pl.when(pl.col("score") < min_score).then(pl.format("like the bad examples: {}", "score"))
        return scores.alias("score").to_frame().select(reason=verdict.otherwise(pl.lit(""))).to_series()

    return Learned(rule, card)


def _examples(good: Path, bad: Path, column: str, most: int) -> tuple[list[str], np.ndarray]:
    import itertools

    import numpy as np

    asked = "rule quality_classifier"
    kinds = [
        list(dict.fromkeys(itertools.islice(example_texts(path, column, f"{asked}, {name}"), most)))
        for name, path in (("good", good), ("bad", bad))
    ]
    both = set(kinds[0]) & set(kinds[1])
    kinds = [[text for text in texts if text not in both] for texts in kinds]
    for name, texts in zip(("good", "bad"), kinds, strict=True):
        if len(texts) < LEAST:
            told = f", {len(both)} texts are examples of both and do not count" if both else ""
            raise InputError(f"{asked}: {len(texts)} different {name} examples{told}", f"give at least {LEAST}")
    return kinds[0] + kinds[1], np.repeat([True, False], [len(kinds[0]), len(kinds[1])])


@dataclass(frozen=True)
class _Classifier:
    """The logistic regression, and which of the hashed features it knows: those that its examples have."""

    model: Any
    known: np.ndarray

    def scores(self, texts: list[str]) -> list[float]:
        """How likely each text is good; one without words is judged by nothing and has the score 0.5."""
        import numpy as np

        features = _features(texts)
        odds = np.where(np.diff(features.indptr) > 0, self.model.decision_function(features[:, self.known]), 0.0)
        scores: list[float] = _probability(odds).tolist()
        return scores


def _trained(texts: list[str], is_good: np.ndarray, strength: float, min_score: float) -> tuple[_Classifier, Card]:
    """The classifier of all examples, and what five of four fifths each say of it."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    from loomwork.stats.auc import auc_interval
    from loomwork.stats.two_sample import by_fold, cross_fitted, folds_of_groups

    features, order = _features(texts), np.random.default_rng(0)
    known = np.unique(features.indices)
    features = features[:, known]
    fold_of = np.empty(len(texts), np.int64)
    for kind in (True, False):  # each fold has its share of both
        places = np.flatnonzero(is_good == kind)
        fold_of[places] = folds_of_groups(np.arange(places.size), FOLDS, order)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=200, tol=1e-3)
    with threadpool_limits(1):  # the same sums in the same order on every machine, and no threads that wait
        odds = cross_fitted(features, is_good, fold_of, strength=strength)
        model.fit(features, is_good)
    auc, interval = auc_interval(list(by_fold(odds, is_good, fold_of)))
    dropped = _probability(odds) < min_score
    card = Card(
        {
            "held-out AUC": auc,
            "held-out AUC, low": interval.low,
            "held-out AUC, high": interval.high,
            "examples, good": float(is_good.sum()),
            "examples, bad": float((~is_good).sum()),
            "held-out good dropped": float(dropped[is_good].mean()),
            "held-out bad dropped": float(dropped[~is_good].mean()),
        },
        notes=[
            f"AUC on held-out examples {auc:.3f} [{interval.low:.3f}, {interval.high:.3f}] ({interval.level:.0%}, "
            f"{interval.method}; {int(is_good.sum())} good, {int((~is_good).sum())} bad)"
        ],
    )
    return _Classifier(model, known), card


def _features(texts: list[str]) -> Any:
    from loomwork.text.lexical import hashed_counts, unit_rows

    return unit_rows(hashed_counts(texts, most_n=2, buckets=BUCKETS)).tocsr()


def _probability(odds: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    found: np.ndarray = expit(odds)
    return found
