"""Social security numbers of the United States.

With hyphens; with spaces or together only where a word such as "SSN" stands near, for there is no check digit. Numbers
that were never given out (area 000, 666 and 900 on, group 00, serial 0000) and two famous ones from advertisements are
left.

Source: Social Security Administration, POMS RM 10201.035 and RM 10201.040.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, digits_of, stands_near, words
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
PREFILTER = f"{ALONE}[0-8][0-9]{{2}}[- ]?[0-9]{{2}}[- ]?[0-9]{{4}}{ENDS}"
NUMBER = re.compile(
    rf"{BEFORE}(?!000|666|9)[0-9]{{3}}([- ]?)(?!00)[0-9]{{2}}\1(?!0000)[0-9]{{4}}{AFTER}(?!\1?[0-9])", re.ASCII
)
NEAR = words("ssn", "ssns", r"social[ _-]?security(?:[ _-]?(?:number|no|num))?", r"taxpayer id(?:entification)?")
PRIORITY = 1
ADVERTISED = ("078051120", "219099999")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if digits_of(match[0]) in ADVERTISED:
            continue
        if match[1] == "-" or stands_near(NEAR, text, *match.span()):
            yield match.span()
