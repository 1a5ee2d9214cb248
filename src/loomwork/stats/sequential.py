"""Sequential decisions on right-or-wrong pairs: evidence that may be looked at after every item.

Only items count that one system has right and the other wrong. Where both are equally good each of these is a win with
probability 1/2. The e-value is how much likelier the wins and losses are if their rate is drawn from a Beta
distribution: it exceeds 1 / alpha at any time with probability at most alpha (Ville's inequality).
For graded items, or a margin, see stats/betting.py; for a few planned looks stats/group_sequential.py.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from loomwork.core.errors import InputError
from loomwork.stats.cluster import Floats

Side = Literal["two-sided", "greater", "less"]


def log_e_values(wins: Any, losses: Any, *, side: Side = "two-sided", shape: float = 1.0) -> Floats:
    """The log of the beta-mixture e-value for numbers of wins and losses so far.

    Args:
        wins, losses: running counts, of any shape.
        side: "greater" puts the mixture on rates of wins above 1/2 only.
        shape: of the symmetric Beta(shape, shape); 1 is uniform, larger values suit smaller differences.

    Returns: logs; a value of at least log(1 / alpha) at any time decides at alpha.

    Source: Robbins (1970), Annals of Mathematical Statistics 41(5); Ramdas, Grünwald, Vovk and Shafer (2023),
        Statistical Science 38(4).
    """
    from scipy.special import betaln

    w, lost = np.asarray(wins, np.float64), np.asarray(losses, np.float64)
    if shape <= 0 or (w.size and min(w.min(), lost.min()) < 0):
        raise InputError(f"wins and losses are counts and the shape is positive: {shape}")
    two_sided = betaln(w + shape, lost + shape) - betaln(shape, shape) + (w + lost) * np.log(2.0)
    if side == "two-sided":
        return np.asarray(two_sided)
    if side == "less":
        w, lost = lost, w
    # The part of the Beta posterior above 1/2, of which the prior has one half.
    return np.asarray(two_sided + np.log(2.0) + _log_upper_half(w + shape, lost + shape))


def _log_upper_half(a: Floats, b: Floats) -> Floats:
    """log P(X > 1/2) for X ~ Beta(a, b)."""
    from scipy.special import betainc

    share = np.asarray(betainc(b, a, 0.5))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(share))  # where it underflows, the e-value is 0: no evidence


def first_decided(log_e: Floats, alpha: float = 0.05) -> Any:
    """The first time (from 0) along the last axis at which the evidence decides at alpha; -1 where it never does."""
    decided = np.asarray(log_e) >= -np.log(alpha)
    return np.where(decided.any(axis=-1), decided.argmax(axis=-1), -1)


def anytime_p(log_e: Floats) -> Floats:
    """P-values that hold at every look: one over the largest e-value so far.  # (..., n)"""
    return np.asarray(np.exp(-np.maximum(np.maximum.accumulate(log_e, axis=-1), 0.0)))
