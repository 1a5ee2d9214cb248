"""Resident identity numbers of the People's Republic of China: region, date of birth, serial number, check character.

Source: GB 11643-1999; the check character is ISO/IEC 7064 MOD 11-2; region codes GB/T 2260.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, is_date
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
PREFILTER = f"{ALONE}[1-8][0-9]{{16}}[0-9Xx]{ENDS}"
PRIORITY = 4
NUMBER = re.compile(
    rf"{BEFORE}(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])[0-9]{{4}}(?:18|19|20)[0-9]{{2}}"
    rf"(?:0[1-9]|1[0-2])[0-9]{{5}}[0-9Xx]{AFTER}"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if is_resident_id(canonical(match[0])):
            yield match.span()


def is_resident_id(value: str) -> bool:
    """Whether eighteen characters in capitals hold a date and the right check character."""
    total = sum(int(char) * pow(2, 17 - place, 11) for place, char in enumerate(value[:17]))
    born = int(value[6:10]), int(value[10:12]), int(value[12:14])
    return "10X98765432"[total % 11] == value[17] and is_date(*born)
