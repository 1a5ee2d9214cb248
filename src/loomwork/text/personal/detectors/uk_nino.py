"""National Insurance numbers of the United Kingdom: two letters, six digits, a letter from A to D.

There is no check digit: the rules for the letters are all that can be checked. Temporary numbers (TN) are no national
insurance numbers and are left.

Source: HM Revenue and Customs, National Insurance Manual NIM39110.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
PREFILTER = r"[A-Za-z]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-Da-d]"
NUMBER = re.compile(
    r"(?<![0-9A-Za-z_])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r"([ -]?)[0-9]{2}([ -]?)[0-9]{2}\2[0-9]{2}\1[A-D](?![0-9A-Za-z_])"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text, written in capitals."""
    for match in NUMBER.finditer(text):
        yield match.span()
