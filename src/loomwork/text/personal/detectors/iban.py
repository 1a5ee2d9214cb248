"""International bank account numbers: the country's length, and the two check digits (mod 97).

In capitals, together or in groups of four. One text of 97 with a country's letters and length passes by chance.

Source: ISO 13616-1; lengths from the SWIFT IBAN registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
GATE = "[0-9]{2}(?:[ -]|\u00a0|\u202f)?[A-Z0-9]{4}"
PREFILTER = "[A-Z]{2}[0-9]{2}(?:[ -]|\u00a0|\u202f)?[A-Z0-9]{4}"
PRIORITY = 3
START = re.compile("(?<![0-9A-Za-z_])[A-Z]{2}[0-9]{2}(?=[ \u00a0\u202f-]?[A-Z0-9]{4})")
REST = re.compile("(?:[ \u00a0\u202f-]?[A-Z0-9]){11,30}")
COUNTRIES = {  # by the length of their numbers
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
LENGTHS = {country: length for length, countries in COUNTRIES.items() for country in countries.split()}


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the account numbers in a text."""
    for match in START.finditer(text):
        length = LENGTHS.get(match[0][:2])
        rest = REST.match(text, match.end()) if length else None
        if not rest or not length:
            continue
        end, left = match.end(), length - 4
        while left and end < rest.end():  # words may follow in capitals: take as many as the country has
            left -= text[end].isalnum()
            end += 1
        follows = text[end : end + 1]
        alone = not (follows.isascii() and (follows.isalnum() or follows == "_"))
        if not left and alone and is_iban(canonical(text[match.start() : end])):
            yield match.start(), end


def is_iban(value: str) -> bool:
    """Whether a number without separators has its country's length and the right check digits."""
    turned = "".join(str(int(char, 36)) for char in value[4:] + value[:4])
    return LENGTHS.get(value[:2]) == len(value) and int(turned) % 97 == 1
