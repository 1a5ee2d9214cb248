"""What detectors share: boundaries of numbers, checksums, words that stand near, entropy."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

# A number stands alone: no letter or digit touches it, and it is no piece of a longer one ("1.234", "12-34").
# ASCII only: Chinese and Japanese write words right beside a number.
BEFORE = r"(?<![0-9A-Za-z_])(?<![0-9][.,:/-])"
AFTER = r"(?![0-9A-Za-z_])(?![.,:/-][0-9])"
ALONE, ENDS = "(?:^|[^0-9A-Za-z_])(?:", ")(?:[^0-9A-Za-z_]|$)"  # the same for a prefilter, around it
# The gate of the kinds that are rows of digits: any six, each at most three separators from the next.
SIX_DIGITS = "[0-9](?:[ ()./+\u00a0\u202f\u2011-]{0,3}[0-9]){5}"
SPACE = "[ \u00a0\u202f]"  # the spaces that group digits
VERHOEFF_STEP = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
VERHOEFF_MOVE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
# What redaction leaves, also cut at its beginning. "[PHONE]" must not make a telephone's of the number behind it.
MARK = re.compile(r"(?:\[|^)[A-Za-z_:]{1,48}\]")
NOT_DIGITS = re.compile(r"[^0-9]")
NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Za-z]")


def digits_of(value: str) -> str:
    """The ASCII digits of a text, its separators left out."""
    return NOT_DIGITS.sub("", value)


def compact(value: str) -> str:
    """The ASCII letters and digits of a text, in upper case."""
    return NOT_ALPHANUMERIC.sub("", value).upper()


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others.

    Source: ISO/IEC 7812-1, annex B.
    """
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the Verhoeff check digit of the others.

    Source: Verhoeff (1969), Error detecting decimal codes; the dihedral group D5.
    """
    check = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char)
        for _ in range(place % 8):
            value = VERHOEFF_MOVE[value]
        check = VERHOEFF_STEP[check][value]
    return check == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight; digits beyond the weights do not count."""
    return sum(int(char) * weight for char, weight in zip(digits, weights, strict=False))


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has such a day."""
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def words(*alternatives: str) -> re.Pattern[str]:
    """A pattern of whole words, whatever their case; "_" ends a word, as in `card_ssn`."""
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(alternatives)})(?![^\W\d_])", re.IGNORECASE)


def stands_near(pattern: re.Pattern[str], text: str, start: int, end: int, before: int = 48, after: int = 24) -> bool:
    """Whether a word stands shortly before a span, or right after it on the same line.

    Args:
        pattern: of the words.
        text: where to look.
        start, end: the span.
        before, after: how many characters to look at.
    """
    line_end = text.find("\n", end, end + after)
    behind = text[end : line_end if line_end >= 0 else end + after]
    return any(pattern.search(MARK.sub("", piece)) for piece in (text[max(0, start - before) : start], behind))


def entropy_bits(value: str) -> float:
    """The Shannon entropy of a text's characters, in bits a character; 0 for an empty text."""
    counts: Iterable[int] = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
