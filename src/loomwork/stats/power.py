"""How many items a comparison needs, and what difference it can find."""

from __future__ import annotations

import math
from statistics import NormalDist

from loomwork.core.errors import InputError

POWER = 0.8


def detectable(standard_error: float, *, alpha: float = 0.05, power: float = POWER, sides: int = 1) -> float:
    """The smallest true difference that a test at `alpha` finds with probability `power`, by the normal law.

    Args:
        standard_error: of the paired difference.
        sides: 1 for a gate, 2 for "is there a difference".

    Source: Bloom (1995), Evaluation Review 19(5).
    """
    return (_quantile(1 - alpha / sides) + _quantile(power)) * standard_error


def power_of(difference: float, standard_error: float, *, alpha: float = 0.05, sides: int = 1) -> float:
    """The probability that a test at `alpha` finds a true difference of this size."""
    if standard_error <= 0:
        raise InputError(f"a standard error is positive, not {standard_error}")
    critical, shift = _quantile(1 - alpha / sides), abs(difference) / standard_error
    found = NormalDist().cdf(shift - critical)
    return found if sides == 1 else found + NormalDist().cdf(-shift - critical)


def items_needed(difference: float, spread: float, *, alpha: float = 0.05, power: float = POWER, sides: int = 1) -> int:
    """How many independent items a test needs to find a true difference with probability `power`.

    Args:
        difference: between the truth and the limit, not 0.
        spread: the standard deviation of an item's paired difference; of right-or-wrong items the root of
            the share of changes less the difference squared (`binary_spread`).
    """
    if difference == 0 or spread <= 0:
        raise InputError(f"no number of items finds a difference of {difference} at a spread of {spread}")
    return math.ceil(((_quantile(1 - alpha / sides) + _quantile(power)) * spread / difference) ** 2 - 1e-9)


def binary_spread(changes: float, difference: float) -> float:
    """The standard deviation of an item's paired difference where items are right or wrong.

    Args:
        changes: the share of items of which the two systems have one right and one wrong.
        difference: of the two accuracies, no larger than `changes`.
    """
    if not abs(difference) <= changes <= 1:
        raise InputError(f"a share of changes of {changes} does not allow a difference of {difference}")
    return math.sqrt(changes - difference * difference)


def _quantile(share: float) -> float:
    if not 0 < share < 1:
        raise InputError(f"alpha and power lie between 0 and 1: {share}")
    return NormalDist().inv_cdf(share)
