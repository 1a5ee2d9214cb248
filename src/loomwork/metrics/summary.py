"""ROUGE of summaries, through rouge-score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import MissingDependency

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def rouge(
    summaries: Iterable[str],
    references: Iterable[Sequence[str]],
    *,
    names: Sequence[str] = NAMES,
    stemmer: bool = False,
) -> npt.NDArray[np.float64]:
    """Precision, recall and F of each measure for each summary; of several references the one with the best F.

    Args:
        summaries: one an item; for rougeLsum one sentence a line.
        references: of each item.
        names: rouge1, rouge2... (n-grams), rougeL (longest common subsequence), rougeLsum (of sentences).
        stemmer: compare English words by their stems.

    Returns: (items, names, 3)

    Raises:
        MissingDependency: rouge-score is not installed.

    Source: Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingDependency("evals.summary", "rouge-score", "evals") from None
    scorer = RougeScorer(list(names), use_stemmer=stemmer)
    found = []
    for summary, wanted in zip(summaries, references, strict=True):
        scored = scorer.score_multi(list(wanted), summary)
        found.append([[scored[n].precision, scored[n].recall, scored[n].fmeasure] for n in names])
    return np.array(found, dtype=np.float64).reshape(-1, len(names), 3)
