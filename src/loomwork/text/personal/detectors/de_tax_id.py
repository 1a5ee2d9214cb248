"""German tax identification numbers of persons (IdNr): eleven digits, the last a check digit.

Among the first ten digits exactly one occurs twice or three times, and no digit stands three times in a row. By chance
about one number of 250 with eleven digits passes.

Source: Abgabenordnung § 139b; Bundeszentralamt für Steuern, Steueridentifikationsnummer (ISO/IEC 7064, MOD 11,10).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
GAP = "[ /\u00a0\u202f]?"
PREFILTER = f"{ALONE}[1-9][0-9]{GAP}[0-9]{{3}}{GAP}[0-9]{{3}}{GAP}[0-9]{{3}}{ENDS}"
NUMBER = re.compile(rf"{BEFORE}[1-9][0-9]({GAP})[0-9]{{3}}\1[0-9]{{3}}\1[0-9]{{3}}{AFTER}(?! [0-9])")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if is_tax_id(canonical(match[0])):
            yield match.span()


def is_tax_id(digits: str) -> bool:
    """Whether the digits occur as they may and the check digit is right."""
    counts = sorted(Counter(digits[:10]).values())
    if counts[-1] not in (2, 3) or counts[-2:-1] == [2] or any(d * 3 in digits[:10] for d in set(digits)):
        return False
    product = 10
    for char in digits[:10]:
        product = ((int(char) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])
