"""Credentials of HTTP requests: `Authorization: Bearer ...`, `Basic ...`, `Token ...`, without a scheme, and "Bearer"
with a token alone.

Only the credential is the span. Basic counts where it decodes to "user:password"; a token must look made by a machine:
at least 16 characters, of more than letters of one case, and no placeholder ("Bearer YOUR_TOKEN", "Bearer $TOKEN").

Source: RFC 6750 (bearer tokens), RFC 7617 (basic authentication), RFC 9110, section 11.6.2.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import entropy_bits

PREFILTER = r"(?i:authorization|bearer)[\"'\\]{0,3}[\s:=]"
PRIORITY = 4  # a key that is known by its form goes first
SCHEMES = "bearer|basic|token|apikey|api-key|negotiate"
CREDENTIAL = re.compile(
    r"(?i:(?<![a-z-])(?:(?:proxy-)?authorization[\"'\\]{0,3}\s{0,4}[:=]\s{0,4}[\"'\\]{0,3}"
    rf"(?:(?P<scheme>{SCHEMES})[ \t]{{1,4}})?|bearer[ \t]{{1,4}}))"
    r"(?P<value>[A-Za-z0-9._~+/-]{8,4096}+={0,2})"
)
PLACEHOLDER = re.compile(
    r"example|placeholder|x{6}|your|redacted|changeme|\.\.\.|0{8}|token|secret|api[_-]?key", re.IGNORECASE
)
FEWEST, LEAST_BITS = 16, 3.0


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the credentials in a text."""
    for match in CREDENTIAL.finditer(text):
        value = match["value"]
        if _is_basic(value) if (match["scheme"] or "").lower() == "basic" else _is_made(value.rstrip(".")):
            yield match.start("value"), match.end("value") - (len(value) - len(value.rstrip(".")))


def _is_basic(value: str) -> bool:
    """Whether it is the Base64 of a user's name and password."""
    try:
        user, colon, password = base64.b64decode(value.rstrip("."), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(user and colon and password) and (user + password).isprintable()


def _is_made(value: str) -> bool:
    if len(value) < FEWEST or PLACEHOLDER.search(value) or entropy_bits(value) < LEAST_BITS:
        return False
    return any(c.isdigit() for c in value) or (not value.islower() and not value.isupper() and not value.istitle())
