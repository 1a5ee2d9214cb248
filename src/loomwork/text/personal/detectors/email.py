"""E-mail addresses, also with Latin, Greek and Cyrillic letters.

Names and domains that stand for nobody are left: RFC 2606's reserved domains (example.com, .invalid), `git@host:path`,
and file names such as icon@2x.png. Not found: "name at host dot org", quoted local parts, and local parts in scripts
without spaces.

Source: RFC 5321 4.5.3.1 (lengths), RFC 6531 (letters beyond ASCII), RFC 2606 (reserved names).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PREFILTER = "@"
PRIORITY = 2
LETTERS = "A-Za-z0-9\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff"
LONGEST_LOCAL = 64
BACKWARDS = re.compile(rf"[{LETTERS}_.+%~&'-]+")
LABEL = rf"[{LETTERS}](?:[{LETTERS}-]{{0,61}}[{LETTERS}])?"
DOMAIN = re.compile(rf"((?:{LABEL}\.){{1,8}})([^\W\d_]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}})(?![{LETTERS}_])", re.ASCII)
DOMAIN_WIDE = re.compile(DOMAIN.pattern)  # a top-level domain in another script: иван@почта.рф
RESERVED = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org)|example|invalid|test|localhost|local)$", re.IGNORECASE)
# What is left on purpose, to be counted: its name, and a pattern for Rust's `regex`.
LEFT = (
    "example domain",
    r"(?i)[a-z0-9]@(?:[a-z0-9-]+\.)*(?:example\.(?:com|net|org)|[a-z0-9-]+\.(?:example|invalid|test|localhost|local))\b",
)
LOGIN = re.compile(r"://[^\s/@:]*:$")  # user:password@host is the url_secret's
# Endings of file names and of systemd units, none of them a top-level domain.
ENDINGS = (
    "automount avif bmp cfg conf css csv device dll exe gif gz htm html ico ini jpeg jpg js json jsx log map mount pdf "
    "php png ppt rst scss service slice socket sql svg swap tar target tgz tif tiff timer toml ts tsx txt vue webp whl "
    "woff xls xml yaml yml"
)
NO_DOMAINS = frozenset(ENDINGS.split())


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the e-mail addresses in a text."""
    at, end = text.find("@"), 0
    while at >= 0:
        span = _around(text, at, end)
        if span:
            end = span[1]
            yield span
        at = text.find("@", at + 1)


def _around(text: str, at: int, free: int) -> tuple[int, int] | None:
    """The address around an "@", none of it before `free`."""
    local = BACKWARDS.match(text[max(free, at - LONGEST_LOCAL) : at][::-1])
    if not local:
        return None
    name = local[0][::-1].lstrip(".'%&~-")
    domain = DOMAIN.match(text, at + 1) or DOMAIN_WIDE.match(text, at + 1)
    if not domain or not name or name.endswith("."):
        return None
    start = at - len(name)
    if domain[2].lower() in NO_DOMAINS or RESERVED.search(domain[0]):
        return None
    if name == "git" and (text[domain.end() : domain.end() + 1] == ":" or text[max(0, start - 6) : start] == "ssh://"):
        return None
    if LOGIN.search(text[max(0, start - 80) : start]):
        return None
    return start, domain.end()


def canonical(value: str) -> str:
    return value.lower()


def pseudonym(number: int, value: str) -> str:
    """An address at a domain that RFC 2606 keeps for nobody."""
    letters = "".join(chr(97 + (number >> 4 * i & 15)) for i in range(16))
    return f"user-{letters}@redacted.invalid"
