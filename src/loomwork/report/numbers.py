"""Numbers as people read them: ticks, scales, and formats with their units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_LARGEST = 1e300  # a span of two of these is still finite
MINUS = "\u2212"
SPACE = "\u00a0"  # does not break, between a number and its unit


def is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def held(value: float) -> float:
    """The value, within what sums and differences of many such values can hold."""
    return min(max(float(value), -_LARGEST), _LARGEST)


def domain(values: Iterable[float], *, pad: float = 0.0) -> tuple[float, float]:
    """Lowest and highest of the finite values, widened by a share `pad`; never empty, never of no width."""
    found = [held(v) for v in values if is_finite(v)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    size = max(abs(low), abs(high))
    if high - low <= max(size * 1e-9, 1e-290):
        spread = size * 0.1 if size > 1e-280 else 1.0
        return low - spread, high + spread
    spread = (high - low) * pad
    return low - spread, high + spread


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers between low and high."""
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Scale:
    """Maps a value to a place in px; clamped, so that nothing is drawn outside."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)

    def ticks(self, count: int = 5) -> list[float]:
        if not self.log:
            return ticks(self.low, self.high, count)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            found = [m * 10.0**p for p in powers for m in steps if self.low <= m * 10.0**p <= self.high]
            if len(found) >= 3:
                break
        return found[:: max(1, math.ceil(len(found) / (count + 2)))]


def plain(value: float, decimals: int | None = None, *, sign: bool = False) -> str:
    """A number with a true minus and grouped thousands; `decimals` None takes as many as it needs."""
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if size >= 1e15 or (size and size < 1e-6 and not decimals):
        shown = f"{value:.3g}"
    elif decimals is None:
        shown = f"{value:,.0f}" if size >= 1000 or value == int(value) else f"{value:.4g}"
    else:
        shown = f"{value:,.{decimals}f}"
    if set(shown) <= set("-0.,"):
        shown = shown.lstrip("-")
    return ("+" if sign and value > 0 else "") + shown.replace("-", MINUS)


def short(value: float) -> str:
    """A number for an axis: 1.2k, 3M."""
    size = abs(value)
    for bound, mark in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if bound <= size < 1e15 and size >= 1e4:
            return f"{value / bound:.4g}{mark}".replace("-", MINUS)
    return f"{value:.4g}".replace("-", MINUS)


def tick_labels(values: Sequence[float], *, sign: bool = False) -> list[str]:
    """Labels of an axis, all with the decimals that tell neighbours apart."""
    step = min((b - a for a, b in pairwise(values)), default=0.0)
    digits = next((d for d in range(7) if step and abs(round(step, d) - step) < step * 1e-6), None)
    large = max((abs(v) for v in values), default=0.0) >= 1e4
    if large or digits is None or (step and step < 1e-6):
        return [("+" if sign and v > 0 else "") + short(v) for v in values]
    return [plain(v, digits, sign=sign) for v in values]


def decimals_for(low: float, high: float) -> int:
    """How many decimals are worth showing when the truth lies between low and high: two digits of the width."""
    width = high - low
    if not math.isfinite(width) or width <= 0:
        return 3
    return min(max(math.ceil(-math.log10(width)) + 1, 0), 6)


def bytes_(count: float) -> str:
    """Bytes in decimal units."""
    for bound, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= bound:
            shown = f"{count / bound:.3g}" if count / bound < 1000 else plain(count / bound, 0)
            return f"{shown}{SPACE}{unit}"
    return f"{count:.0f}{SPACE}B"


def seconds(value: float) -> str:
    """A duration: 8 ms, 4.2 s, 2 min 27 s, 3 h 05 min."""
    if not math.isfinite(value):
        return "not finite"
    if value < 1:
        return f"{value * 1000:.3g}{SPACE}ms" if value >= 0.001 or value == 0 else f"{value * 1e6:.3g}{SPACE}µs"
    if value < 60:
        return f"{value:.3g}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest:02d}{SPACE}s"
    hours, minutes = divmod(minutes, 60)
    return f"{plain(hours)}{SPACE}h {minutes:02d}{SPACE}min"


def count(value: int, noun: str) -> str:
    """7,412 rows; 1 row."""
    if value == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"
    return f"{plain(value)} {plural}"
