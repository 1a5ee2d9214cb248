"""Spanish identity numbers: DNI (eight digits and a letter) and NIE (X, Y or Z, seven digits and a letter).

The letter is the number modulo 23. One text of 23 of that shape passes by chance.

Source: Ministerio del Interior, Cálculo del dígito de control del NIF/NIE; Real Decreto 1553/2005.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
PREFILTER = r"[0-9](?:[.][0-9]{3}){2}[ -]?[A-Za-z]|[0-9]{7}[ -]?[A-Za-z]"
NUMBER = re.compile(
    r"(?<![0-9A-Za-z_.-])(?:[XYZxyz][ -]?[0-9]{7}|[0-9]{8}|[0-9]{2}\.[0-9]{3}\.[0-9]{3})[ -]?"
    r"[A-HJ-NP-TV-Za-hj-np-tv-z](?![0-9A-Za-z_])"
)
LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text; a letter after a space must be a capital."""
    for match in NUMBER.finditer(text):
        if is_dni(canonical(match[0])) and not (match[0][-2] == " " and match[0][-1].islower()):
            yield match.span()


def is_dni(value: str) -> bool:
    """Whether the letter of a number without separators, in capitals, is right."""
    first = {"X": "0", "Y": "1", "Z": "2"}.get(value[0], value[0])
    return LETTERS[int(first + value[1:-1]) % 23] == value[-1] and value[1:-1].strip("0") != ""
