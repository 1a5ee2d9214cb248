"""Dutch citizen service numbers (burgerservicenummer): nine digits that pass the eleven test.

One number of eleven passes by chance, so a word such as "BSN" must stand near.

Source: Wet algemene bepalingen burgerservicenummer; Logisch Ontwerp BSN, the eleven test (elfproef).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, stands_near, weighted, words
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
PREFILTER = f"{ALONE}[0-9]{{4}}[. -][0-9]{{2}}[. -][0-9]{{3}}|[0-9]{{3}}[. -]?[0-9]{{3}}[. -]?[0-9]{{3}}{ENDS}"
NUMBER = re.compile(
    rf"{BEFORE}(?:[0-9]{{4}}([. -])[0-9]{{2}}\1[0-9]{{3}}|[0-9]{{3}}([. -]?)[0-9]{{3}}\2[0-9]{{3}}){AFTER}"
)
NEAR = words(
    "bsn", "bsns", r"burgerservicenummers?", r"sofi-?nummers?", r"persoonsnummers?", r"citizen service numbers?"
)
WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text that stand near a word for them."""
    for match in NUMBER.finditer(text):
        if is_bsn(canonical(match[0])) and stands_near(NEAR, text, *match.span()):
            yield match.span()


def is_bsn(digits: str) -> bool:
    """Whether nine digits pass the eleven test."""
    return weighted(digits, WEIGHTS) % 11 == 0 and digits.strip("0") != ""
