"""Extracted answers against the right ones: exact match and F1 of words, as the SQuAD scripts have them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_BETWEEN = "\0"  # texts are worked on in one piece, with this between them: no word, no space, no punctuation


def normalised(texts: Sequence[str]) -> list[str]:
    """Lower case, without ASCII punctuation and the articles a, an, the, with single spaces.

    Source: evaluate-v1.1.py and evaluate-v2.0.py of SQuAD (Rajpurkar et al. 2016, 2018), normalize_answer.
    """
    if any(_BETWEEN in text for text in texts):
        return [" ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split()) for text in texts]
    whole = _ARTICLE.sub(" ", _BETWEEN.join(texts).lower().translate(_PUNCTUATION))
    return [" ".join(text.split()) for text in whole.split(_BETWEEN)] if texts else []


def word_f1(prediction: str, answer: str, *, empty_counts: bool) -> float:
    """F1 of the words of two normalised texts, each word as often as it occurs.

    Args:
        empty_counts: whether two empty texts agree (SQuAD 2.0: both say "no answer"); else they score 0 (SQuAD 1.1).
    """
    ours, theirs = prediction.split(), answer.split()
    if not ours or not theirs:
        return float(empty_counts and ours == theirs)
    same = len(set(ours).intersection(theirs))
    if same and (len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs)):
        same = sum((Counter(ours) & Counter(theirs)).values())
    if not same:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def best_match(prediction: str, answers: Sequence[str], *, empty_counts: bool) -> tuple[float, float]:
    """Exact match and F1 of a normalised prediction, each the best over the normalised right answers; 0 to 1."""
    if prediction in answers and (prediction or empty_counts):
        return 1.0, 1.0
    f1 = max((word_f1(prediction, a, empty_counts=empty_counts) for a in set(answers)), default=0.0)
    return float(prediction in answers), f1
