"""IPv4 and IPv6 addresses of the public internet.

Private, loopback, link-local, documentation and other special addresses name nobody and are left (the IANA registries,
through the standard library), and so are IPv6 addresses outside the global unicast block 2000::/3. Four numbers behind
a word such as "version", "section" or "==" are no address, nor is a piece of a longer dotted number (1.3.6.1.4.1). An
address that ends in a port or a prefix length is found without it.

Source: RFC 791, RFC 4291, RFC 6890 (special-purpose addresses).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

PREFILTER = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]"
# Both begin with a set, so that the search skips fast; what stands before them is looked at afterwards.
V4 = re.compile(r"[0-9]{1,3}+(?:\.[0-9]{1,3}+){3}(?![0-9A-Za-z_])(?!\.[0-9])(?!-[a-z0-9])")
V6 = re.compile(r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,35}+(?![0-9A-Za-z_])")
TOUCHES_V4 = re.compile(r"(?:[0-9A-Za-z_]|[0-9]\.)\Z")
TOUCHES_V6 = re.compile(r"[0-9A-Za-z_:.]\Z")
# What is left on purpose, to be counted: private, loopback, link-local and documentation addresses of version 4.
LEFT = (
    "special address",
    r"\b(?:10\.[0-9]{1,3}|127\.[0-9]{1,3}|192\.168|172\.(?:1[6-9]|2[0-9]|3[01])|169\.254|192\.0\.2|198\.51\.100|"
    r"203\.0\.113)(?:\.[0-9]{1,3}){1,2}\b",
)
VERSION = re.compile(
    r"(?:version|(?<![A-Za-z])(?:v|ver|vers|versions|versie|rel|releases?|rev|revision|build|firmware|sections?|sec|"
    r"chapter|clause|figure|table|annex|rfc|oid|protocol|update|upgraded? to)|§)[\"']?[.:=]?\s?[\"'(]?\s?$|"
    r"[A-Za-z0-9\]][=~<>!]=$|[~<>]=? ?$|\^$",
    re.IGNORECASE,
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the public IP addresses in a text, in order."""
    spans = [m.span() for m in V4.finditer(text) if not TOUCHES_V4.search(text, *_before(m)) and _is_four(text, m)]
    for match in V6.finditer(text):
        value = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
        if not TOUCHES_V6.search(text, *_before(match)) and _public(value):
            spans.append((match.start(), match.start() + len(value)))
    yield from sorted(spans)


def _before(match: re.Match[str]) -> tuple[int, int]:
    """The two characters before a match."""
    return max(0, match.start() - 2), match.start()


def _is_four(text: str, match: re.Match[str]) -> bool:
    return _public(match[0]) and not VERSION.search(text[max(0, match.start() - 16) : match.start()])


def _public(value: str) -> bool:
    try:
        return ipaddress.ip_address(value).is_global
    except ValueError:
        return False


def canonical(value: str) -> str:
    return str(ipaddress.ip_address(value))


def pseudonym(number: int, value: str) -> str:
    """An address of the same version that no machine has: of the reserved block 240.0.0.0/4, or of 2001:db8::/32."""
    if ":" in value:
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) | (number & ((1 << 96) - 1))))
    return str(ipaddress.IPv4Address((0xF0 << 24) | (number % ((1 << 28) - 1))))
