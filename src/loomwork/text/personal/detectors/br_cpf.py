"""Brazilian personal tax numbers (CPF): nine digits and two check digits.

As 000.000.000-00, 000000000-00 or together. About one number of 100 with eleven digits passes by chance.

Source: Receita Federal, Instrução Normativa RFB 2172/2024; the check digits are two sums modulo 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS, weighted
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import digits_of as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
PREFILTER = rf"{ALONE}[0-9]{{3}}\.[0-9]{{3}}\.[0-9]{{3}}-[0-9]{{2}}|[0-9]{{9}}-?[0-9]{{2}}{ENDS}"
NUMBER = re.compile(rf"{BEFORE}(?:[0-9]{{3}}\.[0-9]{{3}}\.[0-9]{{3}}-[0-9]{{2}}|[0-9]{{9}}-?[0-9]{{2}}){AFTER}")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if is_cpf(canonical(match[0])):
            yield match.span()


def is_cpf(digits: str) -> bool:
    """Whether both check digits are right; eleven equal digits are no number."""
    first = weighted(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"
