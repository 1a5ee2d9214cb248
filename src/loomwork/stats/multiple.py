"""P-values of several tests at once, adjusted so that an error rate holds over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from loomwork.core.errors import InputError


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting those at most alpha errs anywhere with probability at most alpha.

    It holds however the tests depend on one another. For few tests, each of which decides something.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    order = _by_size(p_values)
    adjusted, running = [0.0] * len(order), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: of those rejected at most alpha are false ones on average (the false discovery rate).

    It holds where the tests are independent, or depend positively as slices of one test set do. For many tests that
    only show where to look.

    Source: Benjamini and Hochberg (1995), JRSS B 57(1); Benjamini and Yekutieli (2001), for positive dependence.
    """
    order = _by_size(p_values)
    adjusted, running = [0.0] * len(order), 1.0
    for rank in range(len(order) - 1, -1, -1):
        running = min(running, p_values[order[rank]] * len(order) / (rank + 1))
        adjusted[order[rank]] = running
    return adjusted


def _by_size(p_values: Sequence[float]) -> list[int]:
    if not all(0 <= p <= 1 for p in p_values):
        raise InputError(f"p-values lie between 0 and 1: {list(p_values)}")
    return sorted(range(len(p_values)), key=lambda i: p_values[i])
