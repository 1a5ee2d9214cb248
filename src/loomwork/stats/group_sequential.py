"""Looks at a growing sample that were planned beforehand: the limits that keep the error rate over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

import numpy as np

from loomwork.core.errors import InputError
from loomwork.stats.cluster import Floats

Kind = Literal["obrien-fleming", "pocock", "spending"]
NODES = 96  # of the quadrature of each look
FAR = 9.0  # standard deviations that stand for infinity


@dataclass(frozen=True)
class Plan:
    """Looks and their limits.

    Args:
        fractions: of the planned items that each look has; increasing, the last one is 1.
        limits: a standardised difference (z) of at least this stops with a finding.
        alpha: the probability that any look finds a difference that is not there.
        sides: 1, or 2 where a difference in either direction is found.
        kind: of the limits.
    """

    fractions: tuple[float, ...]
    limits: tuple[float, ...]
    alpha: float
    sides: int
    kind: Kind

    def first_found(self, z: Floats) -> Floats:
        """The first look (from 0) at which each sample's z crosses its limit, -1 where none does.

        Args:
            z: of each sample at each look.  # (..., looks)
        """
        height = np.abs(z) if self.sides == 2 else np.asarray(z)
        found = height >= np.asarray(self.limits)
        return np.where(found.any(axis=-1), found.argmax(axis=-1), -1)


def plan_looks(
    fractions: int | Sequence[float], *, alpha: float = 0.05, sides: int = 2, kind: Kind = "obrien-fleming"
) -> Plan:
    """Limits for planned looks, by recursive integration.

    - obrien-fleming: the limit is C / sqrt(fraction): early looks stop only for very clear differences, and the last
      one is nearly the test without looks.
    - pocock: the same limit at every look: stops earlier, and loses more at the end.
    - spending: at each fraction t the part of alpha spent so far is that of Lan and DeMets' O'Brien-Fleming function;
      for looks at fractions that were not planned evenly.

    Args:
        fractions: how many evenly spaced looks, or the fractions themselves, e.g. [0.2, 0.5, 1].
        alpha: over all looks and sides.
        sides: 1 or 2.
        kind: which limits.

    Raises:
        InputError: the fractions do not increase to 1, or alpha or sides make no sense.

    Source: O'Brien and Fleming (1979), Biometrics 35(3); Pocock (1977), Biometrika 64(2); Lan and DeMets (1983),
        Biometrika 70(3); Armitage, McPherson and Rowe (1969), and Jennison and Turnbull (2000), chapter 19, for the
        integration.
    """
    if isinstance(fractions, int):
        fractions = [(i + 1) / fractions for i in range(fractions)]
    t = tuple(float(f) for f in fractions)
    if not t or t[0] <= 0 or abs(t[-1] - 1) > 1e-9 or any(b <= a for a, b in pairwise(t)):
        raise InputError(f"looks are at fractions that increase to 1, not at {list(t)}")
    if not 0 < alpha < 0.5 or sides not in (1, 2):
        raise InputError(f"alpha is {alpha} and sides {sides}; alpha lies between 0 and 0.5, sides is 1 or 2")
    if kind == "spending":
        return Plan(t, _spend(t, alpha, sides), alpha, sides, kind)
    shape = np.sqrt(t) if kind == "obrien-fleming" else np.ones(len(t))
    from scipy.optimize import brentq

    def excess(constant: float) -> float:
        return float(crossing_probabilities(t, constant / shape, sides=sides).sum()) - alpha

    constant = float(brentq(excess, 0.1, FAR, xtol=1e-7))
    return Plan(t, tuple(float(c) for c in constant / shape), alpha, sides, kind)


def crossing_probabilities(
    fractions: Sequence[float], limits: Sequence[float] | Floats, *, sides: int = 2, drift: float = 0.0
) -> Floats:
    """The probability that each look is the first to cross its limit.

    Args:
        fractions: of the items at each look.
        limits: of z at each look.
        sides: 1 or 2.
        drift: the mean of z at fraction 1: the true difference by its standard error over all items. 0 gives the
            error rates, other values the power (summed) and, with `fractions`, the expected number of items.
    """
    t = np.asarray(fractions, dtype=np.float64)
    bound = np.asarray(limits, dtype=np.float64) * np.sqrt(t)  # on the scale of a Brownian motion
    found = np.empty(len(t))
    x, density = np.zeros(1), np.ones(1)  # the places where it may be, with their probability
    before = 0.0
    for look in range(len(t)):
        step = t[look] - before
        before = float(t[look])
        scale = step**0.5
        found[look] = density @ _tail((bound[look] - x - drift * step) / scale)
        if sides == 2:
            found[look] += density @ _tail((bound[look] + x + drift * step) / scale)
        low = -bound[look] if sides == 2 else min(-FAR * before**0.5 + drift * before, bound[look] - 1e-9)
        y, weight = _nodes(max(low, -FAR * before**0.5 - abs(drift) * before), float(bound[look]))
        away = (y[:, None] - x - drift * step) / scale  # (new places, old places)
        density = weight * (np.exp(-away * away / 2) @ density) / (scale * (2 * np.pi) ** 0.5)
        x = y
    return found


def _spend(t: tuple[float, ...], alpha: float, sides: int) -> tuple[float, ...]:
    from scipy.optimize import brentq

    normal, limits = NormalDist(), list[float]()
    last = normal.inv_cdf(1 - alpha / (2 * sides))
    spent = [2 * sides * (1 - normal.cdf(last / f**0.5)) for f in t]
    for look in range(len(t)):
        wanted = spent[look] - (spent[look - 1] if look else 0.0)

        def excess(limit: float, look: int = look, wanted: float = wanted) -> float:
            return float(crossing_probabilities(t[: look + 1], [*limits, limit], sides=sides)[look]) - wanted

        limits.append(float(brentq(excess, 0.1, FAR, xtol=1e-7)) if excess(FAR) < 0 else FAR)
    return tuple(limits)


def _nodes(low: float, high: float) -> tuple[Floats, Floats]:
    """Gauss-Legendre's places and weights between two bounds."""
    x, w = _unit_nodes()
    return low + (high - low) * (x + 1) / 2, w * (high - low) / 2


@cache
def _unit_nodes() -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(NODES)


def _tail(z: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(-z))
