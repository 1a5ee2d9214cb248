"""Secrets in URLs: `user:password` in front of the host, and the values of parameters that carry tokens, keys or
signatures.

Only the secret is the span, so the rest of the URL stays. Variables (`$TOKEN`, `{token}`, `<token>`), documentation's
own words (user:password, token=abc) and what was redacted before are left.

Source: RFC 3986 3.2.1 (userinfo), RFC 6750 2.3 (access_token), the signed-URL parameters of AWS, Azure and Google
Cloud.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import entropy_bits

NAMES = (
    "access_?token|refresh_?token|id_?token|auth_?token|token|api_?key|key|secret|client_?secret|sig|signature|"
    "x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|password|passwd|pwd|pass|auth|code|"
    "session_?(?:id|key|token)?|sid|jwt"
)
PREFILTER = rf"://[^\s/@:?#]{{1,128}}:[^\s/@]{{1,200}}@|[?&;#](?:amp;)?(?i:{NAMES})=[A-Za-z0-9%._~+/-]{{6}}"
PRIORITY = 7
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}\Z")
LOGIN = re.compile(r"([^\s/@:?#\"'<>\[\]\\]{1,128}):([^\s/@\"'<>\[\]\\]{1,200})@(?=[A-Za-z0-9\[])")
PARAMETER = re.compile(
    rf"[?&;#](?:amp;)?(?:{NAMES})=([^\s&;#\"'<>\[\](){{}}$\\,|`*]{{8,4096}}+)",
    re.IGNORECASE,
)
KNOWN_WORDS = re.compile(
    r"(?:user(?:name)?|login|scott|me|foo|admin|name|my)?[_-]?(?:pass(?:word|wd)?|pwd|secret|tiger|bar|token|port|\.\.\.|x+|\*+)[0-9]?",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(r"[${}<>%]|passw|your|example|x{4}|redacted|placeholder|\*{3}|\.\.\.", re.IGNORECASE)
LEAST_BITS = 2.5  # a character of a parameter's value: words and counts have less, or too little length


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the secrets in a text's URLs, in order."""
    yield from sorted([*_logins(text), *_parameters(text)])


def _logins(text: str) -> Iterator[tuple[int, int]]:
    place = text.find("://")
    while place >= 0:
        match = LOGIN.match(text, place + 3)
        if match and SCHEME.search(text[max(0, place - 20) : place]):
            password = match[2]
            if not KNOWN_WORDS.fullmatch(password) and not PLACEHOLDER.search(match[1] + password):
                yield match.start(1), match.end(2)
        place = text.find("://", place + 3)


def _parameters(text: str) -> Iterator[tuple[int, int]]:
    for match in PARAMETER.finditer(text):
        value = match[1].rstrip(".:!")
        mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        if (
            mixed
            and entropy_bits(value) >= LEAST_BITS
            and not PLACEHOLDER.search(value.replace("%2", "").replace("%3", ""))
        ):
            yield match.start(1), match.start(1) + len(value)
