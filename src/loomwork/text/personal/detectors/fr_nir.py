"""French social security numbers (NIR): thirteen characters and a key of two digits.

Sex, month and department must be possible, and the key right (97 minus the number modulo 97; 2A and 2B of Corsica count
as 19 and 18).

Source: Code de la sécurité sociale R115-2; INSEE, Répertoire national d'identification des personnes physiques.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import AFTER, ALONE, BEFORE, ENDS
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
GAP = "[ .\u00a0\u202f-]?"
TAIL = f"{GAP}[0-9]{{3}}{GAP}[0-9]{{3}}{GAP}[0-9]{{2}}"  # the commune, the order, the key
PREFILTER = f"{ALONE}[1-478]{GAP}[0-9]{{2}}{GAP}[0-9]{{2}}{GAP}[0-9][0-9ABab]{TAIL}{ENDS}"
PRIORITY = 4
NUMBER = re.compile(
    f"{BEFORE}[1-478]{GAP}[0-9]{{2}}{GAP}(?:0[1-9]|1[0-2]|[2-3][0-9]|4[0-2]|[5-9][0-9]){GAP}(?:[0-9]{{2}}|2[ABab])"
    f"{TAIL}{AFTER}"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the numbers in a text."""
    for match in NUMBER.finditer(text):
        if is_nir(canonical(match[0])):
            yield match.span()


def is_nir(value: str) -> bool:
    """Whether the key of a number without separators is right."""
    number = value[:13].replace("2A", "19").replace("2B", "18") if value[5:7] in ("2A", "2B") else value[:13]
    return number.isdigit() and number[5:7] != "00" and 97 - int(number) % 97 == int(value[13:])
