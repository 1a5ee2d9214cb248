"""How evenly counts are spread over classes, clusters or sources."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def entropy(counts: Any) -> float:
    """The Shannon entropy of counts, in nats; empty classes add nothing.

    Args:
        counts: not negative, not all zero.  # (classes,)

    Raises:
        ValueError: there is nothing to count, or a count is negative.
    """
    c = np.asarray(counts, np.float64)
    if c.size == 0 or (c < 0).any() or c.sum() <= 0:
        raise ValueError("an entropy needs counts that are not negative and not all zero")
    p = c[c > 0] / c.sum()
    return max(0.0, float(-(p * np.log(p)).sum()))


def normalised_entropy(counts: Any) -> float:
    """The entropy by the largest it could be with as many classes: 1 is even, 0 is all in one. One class counts as 0.

    Args:
        counts: as of `entropy`; empty classes count among those that could be used.
    """
    classes = np.size(counts)
    return entropy(counts) / math.log(classes) if classes > 1 else 0.0


def effective_number(counts: Any) -> float:
    """How many equally large classes would have this entropy: exp(entropy), between 1 and the number of classes.

    Source: Hill (1973), Diversity and evenness, order 1.
    """
    return math.exp(entropy(counts))


def imbalance(counts: Any) -> float:
    """The largest class by the smallest one that is not empty."""
    c = np.asarray(counts, np.float64)
    if c.size == 0 or c.max() <= 0:
        raise ValueError("an imbalance needs counts that are not all zero")
    return float(c.max() / c[c > 0].min())
