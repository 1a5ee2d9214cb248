"""Private keys in PEM blocks: RSA, EC, OpenSSH, PGP, PKCS #8, encrypted or not.

The span is the whole block. A block that was cut off before its end line is taken up to the last line that may belong
to it.

Source: RFC 7468 (textual encodings), RFC 4880 6.2 (armor), PROTOCOL.key of OpenSSH.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PREFILTER = "-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY"
PRIORITY = 9
BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----")
BODY = re.compile(r"(?:\\[rn]|[A-Za-z0-9+/=\s:,.()-])*+")  # base64, its header lines, and "\n" as source code writes it
KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/]{1,76}={1,2}|[A-Za-z-]{2,30}: .{1,80}")
SHORTEST = 32  # base64 characters of a key


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the private keys in a text."""
    place = 0
    while begin := BEGIN.search(text, place):
        place = begin.end()
        another = text.find("-----BEGIN", place)  # where the next block begins this one ends, so each is read once
        limit = another if another >= 0 else len(text)
        body = BODY.match(text, place, limit)
        stop = body.end() if body else place
        end_line = f"-----END {begin[1]}-----"
        end = text.find(end_line, place, min(limit, stop + len(end_line)))
        content = text[place:end] if end >= 0 else _cut_off(text[place:stop])
        place = end + len(end_line) if end >= 0 else place + len(content)
        if sum(char.isalnum() for char in content) >= SHORTEST:
            yield begin.start(), place


def _cut_off(body: str) -> str:
    """A block's content up to its last line of base64; the prose behind it is none."""
    end = 0
    for line in body.splitlines(keepends=True):
        plain = line.replace("\\n", "").strip()
        if plain and not KEY_LINE.fullmatch(plain):
            break
        end += len(line)
    return body[:end].rstrip()
