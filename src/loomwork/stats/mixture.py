"""Shares of a mixture: how much of it each class, source or language is to be."""

from __future__ import annotations

import math
from collections.abc import Mapping


def mixture_shares(
    sizes: Mapping[str, float], *, weights: Mapping[str, float] | None = None, temperature: float | None = 1.0
) -> dict[str, float]:
    """The share of each source, summing to 1.

    Args:
        sizes: how much there is of each: rows, characters or tokens.
        weights: the wanted shares, up to a factor; every source needs one. None: they follow from the sizes.
        temperature: without weights a share is proportional to size ** (1 / temperature): 1 keeps the natural shares,
            higher values raise the small ones, None makes all equal.

    Raises:
        ValueError: a source is missing from the weights, or a number is not finite and positive.

    Source: Arivazhagan et al. (2019), Massively multilingual neural machine translation in the wild, section 4.1.
    """
    names = sorted(sizes)
    if not names or not all(math.isfinite(sizes[n]) and sizes[n] > 0 for n in names):
        raise ValueError(f"sizes must be positive: {dict(sizes)}")
    if weights is not None:
        if sorted(weights) != names:
            raise ValueError(f"weights for {sorted(weights)}, where the sources are {names}")
        raw = [float(weights[n]) for n in names]
        if not all(math.isfinite(w) and w > 0 for w in raw):
            raise ValueError(f"weights must be positive: {dict(weights)}")
    elif temperature is None:
        raw = [1.0 for _ in names]
    elif not math.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    else:
        largest = max(sizes.values())  # shares do not change by it, and no power overflows
        raw = [(sizes[n] / largest) ** (1 / temperature) for n in names]
    total = math.fsum(raw)
    return {n: w / total for n, w in zip(names, raw, strict=True)}


def apportion(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to `total` and lie nearest to the shares of it (largest remainders).

    Args:
        shares: summing to 1.
        total: what is shared out.
    """
    exact = {name: share * total for name, share in shares.items()}
    whole = {name: math.floor(x) for name, x in exact.items()}
    by_remainder = sorted(shares, key=lambda name: (whole[name] - exact[name], name))
    for name in by_remainder[: total - sum(whole.values())]:
        whole[name] += 1
    return whole
