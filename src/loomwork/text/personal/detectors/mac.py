"""Hardware (MAC) addresses of one device: aa:bb:cc:dd:ee:ff, aa-bb-cc-dd-ee-ff and aabb.ccdd.eeff.

Broadcast, multicast and all-zero addresses are no device's and are left; so is a piece of a longer row, as in a key's
fingerprint.

Source: IEEE 802-2014, clause 8 (the lowest bit of the first octet says multicast).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import compact as canonical

__all__ = ["GATE", "PREFILTER", "canonical", "find"]
GATE = "[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}[.][0-9A-Fa-f]{4}[.]"
PREFILTER = "(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]|[0-9A-Fa-f]{4}[.][0-9A-Fa-f]{4}[.][0-9A-Fa-f]{4}"
ADDRESS = re.compile(
    r"(?<![0-9A-Za-z_:.-])(?:[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}|"
    r"[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![0-9A-Za-z_])(?![:.-][0-9A-Fa-f])"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the addresses of single devices in a text."""
    for match in ADDRESS.finditer(text):
        plain = canonical(match[0])
        dotted_number = "." in match[0] and plain.isdigit()  # 2024.0101.1200: a version or a time
        if not int(plain[:2], 16) & 1 and plain.strip("0") and not dotted_number:
            yield match.span()
