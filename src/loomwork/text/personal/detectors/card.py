"""Payment card numbers: the issuer's prefix, the length that goes with it, and the Luhn check digit.

Digits stand together or in the groups that are printed on cards (4-4-4-4, 4-6-5, 4-6-4), with one kind of separator.
One number of ten that has a prefix and a length passes the Luhn check by chance.

Source: ISO/IEC 7812-1; the issuers' ranges as published by Visa, Mastercard, American Express, Discover, JCB, UnionPay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, digits_of, luhn
from loomwork.text.personal.shapes import SIX_DIGITS as GATE

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
PREFILTER = (
    f"{ALONE}[0-9]{{12,19}}|[0-9]{{4}}[ -][0-9]{{4}}[ -][0-9]{{4}}[ -][0-9]{{1,4}}|"
    f"3[0-9]{{3}}[ -][0-9]{{6}}[ -][0-9]{{4,5}}{ENDS}"
)
PRIORITY = 3
CARD = re.compile(
    rf"{BEFORE}(?:[0-9]{{12,19}}|[0-9]{{4}}([ -])[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{1,4}}(\1[0-9]{{1,3}})?|"
    rf"3[0-9]{{3}}([ -])[0-9]{{6}}\3[0-9]{{4,5}}){AFTER}"
)
RANGES: tuple[tuple[int, int, frozenset[int]], ...] = (  # the first and the last prefix of equal length, the lengths
    (4, 4, frozenset({13, 16, 19})),  # Visa
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),
    (300, 305, frozenset({14, 16})),  # Diners Club
    (3095, 3095, frozenset({14, 16})),
    (36, 36, frozenset({14, 16})),
    (38, 39, frozenset({14, 16})),
    (6011, 6011, frozenset({16, 19})),  # Discover
    (644, 649, frozenset({16, 19})),
    (65, 65, frozenset({16, 19})),
    (3528, 3589, frozenset({16, 19})),  # JCB
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (81, 81, frozenset({16, 17, 18, 19})),
    (2200, 2204, frozenset({16, 19})),  # Mir
    (5018, 5018, frozenset(range(12, 20))),  # Maestro
    (5020, 5020, frozenset(range(12, 20))),
    (5038, 5038, frozenset(range(12, 20))),
    (5893, 5893, frozenset(range(12, 20))),
    (6304, 6304, frozenset(range(12, 20))),
    (6759, 6759, frozenset(range(12, 20))),
    (6761, 6763, frozenset(range(12, 20))),
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the card numbers in a text."""
    for match in CARD.finditer(text):
        start, end = match.span()
        if is_card(digits_of(match[0])):
            yield start, end
        elif match[2] and is_card(digits_of(text[start : match.start(2)])):  # a number follows the card's
            yield start, match.start(2)


def is_card(digits: str) -> bool:
    """Whether digits have an issuer's prefix, a length of that issuer, and a right check digit."""
    known = any(
        first <= int(digits[: len(str(first))]) <= last and len(digits) in lengths for first, last, lengths in RANGES
    )
    return known and len(set(digits)) > 1 and luhn(digits)


def canonical(value: str) -> str:
    return digits_of(value)
