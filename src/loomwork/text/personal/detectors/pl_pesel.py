"""Polish personal numbers (PESEL): eleven digits, a date of birth in front, a check digit at the end.

About one number of 55 with eleven digits passes by chance.

Source: Ustawa z dnia 24 września 2010 r. o ewidencji ludności, art. 15; gov.pl, Czym jest numer PESEL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, is_date, weighted
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
PREFILTER = f"{ALONE}[0-9]{{11}}{ENDS}"
PRIORITY = -1  # another kind of eleven digits with a stronger check goes first
NUMBER = re.compile(rf"{BEFORE}[0-9]{{11}}{AFTER}")
WEIGHTS = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
CENTURIES = {4: 1800, 0: 1900, 1: 2000, 2: 2100, 3: 2200}  # by the tens of the month, halved


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if is_pesel(match[0]):
            yield match.span()


def is_pesel(digits: str) -> bool:
    """Whether eleven digits hold a date and the right check digit."""
    year, month, day = (int(digits[i : i + 2]) for i in (0, 2, 4))
    return weighted(digits, WEIGHTS) % 10 == 0 and is_date(CENTURIES[month // 20] + year, month % 20, day)
