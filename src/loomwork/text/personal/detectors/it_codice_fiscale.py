"""Italian tax codes (codice fiscale) of persons: sixteen characters, the last a check letter.

Digits may stand as letters where two persons would share a code (omocodia), but for those beside the letter of the
month, which are the last to be replaced.

Source: Decreto ministeriale 23 dicembre 1976, Gazzetta Ufficiale 345 (12813/76).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
DIGIT = "[0-9L-NP-Vl-np-v]"
GATE = "[0-9][A-EHLMPRSTa-ehlmprst][0-9]"
PREFILTER = rf"[A-Za-z]{{3}} ?{DIGIT}[0-9][A-EHLMPRSTa-ehlmprst][0-9]{DIGIT} ?[A-Za-z]{DIGIT}{{3}} ?[A-Za-z]"
PRIORITY = 4
CODE = re.compile(
    rf"(?<![0-9A-Za-z_])(?:[A-Z]{{6}}|[a-z]{{6}}|[A-Z]{{3}} [A-Z]{{3}}) ?{DIGIT}[0-9]"
    rf"[A-EHLMPRSTa-ehlmprst][0-9]{DIGIT} ?[A-Za-z]{DIGIT}{{3}} ?[A-Za-z](?![0-9A-Za-z_])"
)
AS_DIGIT = str.maketrans("LMNPQRSTUV", "0123456789")
ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the codes in a text."""
    for match in CODE.finditer(text):
        if is_code(canonical(match[0])):
            yield match.span()


def is_code(value: str) -> bool:
    """Whether the day and the check letter of a code in capitals without separators are right."""
    day = int((value[9:11]).translate(AS_DIGIT))
    total = sum(ODD[char] for char in value[:15:2])
    total += sum(int(char) if char.isdigit() else ord(char) - 65 for char in value[1:15:2])
    return (1 <= day <= 31 or 41 <= day <= 71) and chr(65 + total % 26) == value[15]
