"""BLEU, chrF and TER through sacreBLEU: statistics of each segment, and the metrics of their sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from loomwork.core.errors import MissingDependency

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

Name = Literal["bleu", "chrf", "ter"]
Tokenizer = Literal["13a", "intl", "zh", "char", "none"]
Floats = npt.NDArray[np.float64]
ORDER = 4  # of BLEU's n-grams
BETA = 2  # of chrF: recall counts twice


def make_metric(name: Name, *, tokenize: Tokenizer = "13a", lowercase: bool = False, word_order: int = 0) -> Metric:
    """sacreBLEU's metric.

    Args:
        tokenize: for BLEU.
        lowercase: for all three; TER ignores case in any case, as sacreBLEU's default does.
        word_order: of chrF: 0, or 2 for chrF++.

    Raises:
        MissingDependency: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
        from sacrebleu.metrics.ter import TER
    except ImportError:
        raise MissingDependency("evals.translation", "sacrebleu", "evals") from None
    if name == "bleu":
        # force: what looks tokenised is a warning on the terminal, not another score.
        found: Metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
        return found
    return CHRF(word_order=word_order, lowercase=lowercase, beta=BETA) if name == "chrf" else TER()


def segment_statistics(metric: Metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """What each segment adds to the sums that the metric is made of.

    Args:
        hypotheses: one a segment.
        references: for each reference translation its segments.

    Returns: (segments, k)
    """
    rows = metric._extract_corpus_statistics(list(hypotheses), [list(r) for r in references])
    return np.array(rows, dtype=np.float64)


def signature(metric: Metric) -> str:
    """sacreBLEU's short signature, after statistics were taken: "BLEU|#:1|c:mixed|e:no|tok:13a|s:exp|v:2.6.0"."""
    name = {"BLEU": "BLEU", "CHRF": "chrF", "TER": "TER"}[type(metric).__name__]
    return f"{name}{'+' * int(getattr(metric, 'word_order', 0))}|{metric.get_signature().format(short=True)}"


def metric_of(name: Name) -> Any:
    """The function of sums that a metric is."""
    return {"bleu": bleu, "chrf": chrf, "ter": ter}[name]


def bleu(sums: Floats) -> Floats:
    """BLEU of (hypothesis length, reference length, 4 x correct, 4 x total), smoothed as sacreBLEU's "exp".

    # (..., 10) -> (...)

    Source: Papineni et al. (2002); Post (2018), A call for clarity in reporting BLEU scores.
    """
    s = np.asarray(sums, dtype=np.float64)
    said, wanted, correct, total = s[..., 0], s[..., 1], s[..., 2 : 2 + ORDER], s[..., 2 + ORDER :]
    none = correct == 0
    halvings = 2.0 ** np.cumsum(none, axis=-1)  # each order without a hit counts half of the one before
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(none, 1 / (halvings * total), correct / total)
        penalty = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        found = 100 * penalty * np.exp(np.log(shares).mean(axis=-1))
    return np.asarray(np.where((total > 0).all(axis=-1) & (correct.sum(axis=-1) > 0), found, 0.0))


def chrf(sums: Floats) -> Floats:
    """chrF of (in hypothesis, in reference, in both) for each order of n-grams.  # (..., 3 * orders) -> (...)

    Source: Popovic (2015), chrF: character n-gram F-score for automatic MT evaluation.
    """
    s = np.asarray(sums, dtype=np.float64)
    said, wanted, both = s[..., 0::3], s[..., 1::3], s[..., 2::3]
    there = (said > 0) & (wanted > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision = np.divide(both, said, out=np.zeros_like(both), where=there).sum(axis=-1) / orders
    recall = np.divide(both, wanted, out=np.zeros_like(both), where=there).sum(axis=-1) / orders
    above, below = (1 + BETA**2) * precision * recall, BETA**2 * precision + recall
    return np.asarray(100 * np.divide(above, below, out=np.zeros(np.shape(below)), where=below > 0))


def ter(sums: Floats) -> Floats:
    """TER of (edits, mean reference length).  # (..., 2) -> (...)

    Source: Snover et al. (2006), A study of translation edit rate with targeted human annotation.
    """
    s = np.asarray(sums, dtype=np.float64)
    edits, length = s[..., 0], s[..., 1]
    found = np.divide(edits, length, out=np.zeros(np.shape(length)), where=length > 0)
    return np.asarray(100 * np.where((length == 0) & (edits > 0), 1.0, found))
