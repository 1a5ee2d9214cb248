"""Swedish personal and coordination numbers: a date of birth, a serial number, and a Luhn check digit.

As YYMMDD-NNNN (+ from the age of a hundred), or with the century, then also together. The day of a coordination number
is 60 higher.

Source: Folkbokföringslagen (1991:481) 18 §; Skatteverket, SKV 704.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, is_date, luhn
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
PREFILTER = f"{ALONE}(?:[0-9]{{6}}|[0-9]{{8}})[-+][0-9]{{4}}|(?:19|20)[0-9]{{10}}{ENDS}"
PRIORITY = 1
NUMBER = re.compile(rf"{BEFORE}(?<![A-Za-z]-)(?:(?:19|20)?[0-9]{{6}}[-+]|(?:19|20)[0-9]{{6}})[0-9]{{4}}{AFTER}")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if is_personnummer(canonical(match[0])):
            yield match.span()


def is_personnummer(digits: str) -> bool:
    """Whether ten or twelve digits hold a date and the right check digit."""
    ten = digits[-10:]
    day = int(ten[4:6])
    century = int(digits[:2]) if len(digits) == 12 else 20  # 2000 had a 29th of February, as every fourth year has
    year = century * 100 + int(ten[:2])
    return luhn(ten) and is_date(year, int(ten[2:4]), day - 60 if day > 60 else day)
