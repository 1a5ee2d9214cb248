"""Indian Aadhaar numbers: twelve digits, the last a Verhoeff check digit, the first neither 0 nor 1.

In three groups of four, alone; together only where a word such as "Aadhaar" stands near, for one of ten passes by
chance.

Source: Unique Identification Authority of India, UID Numbering Scheme (2010).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, stands_near, verhoeff, words
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
PREFILTER = f"{ALONE}[2-9][0-9]{{3}}[ -]?[0-9]{{4}}[ -]?[0-9]{{4}}{ENDS}"
NUMBER = re.compile(rf"(?<![0-9] ){BEFORE}[2-9][0-9]{{3}}([ -]?)[0-9]{{4}}\1[0-9]{{4}}{AFTER}(?! [0-9])")
NEAR = words("aadhaar", "aadhar", "adhaar", "uidai", "uid", "आधार")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if verhoeff(canonical(match[0])) and (match[1] or stands_near(NEAR, text, *match.span())):
            yield match.span()
