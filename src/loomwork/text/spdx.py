"""Licences as they are written, read as SPDX ids."""

from __future__ import annotations

import re
from collections.abc import Callable

# Tried in this order on lower case with "-" between words.
ADDRESSES = [
    (re.compile(r"creativecommons\.org/publicdomain/zero/([0-9.]+)"), r"cc0-\1"),
    (re.compile(r"creativecommons\.org/(?:publicdomain/mark|licenses/publicdomain)"), "public-domain"),
    (re.compile(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)"), r"cc-\1-\2"),
    (re.compile(r"(?:opensource|spdx)\.org/licen[sc]es?/([^/]+?)(?:\.html|\.php|\.json)?/?$"), r"\1"),
    (re.compile(r"apache\.org/licenses/license-([0-9.]+?)(?:\.html|\.txt)?$"), r"apache-\1"),
    (re.compile(r"gnu\.org/licenses/(?:old-licenses/)?([al]?gpl-[0-9.]+?)(?:\.html|\.txt|\.en)*$"), r"\1"),
]
OPERATORS = re.compile(r"( OR | AND |^\(|(?<=[ (])\(|\)$|\)(?=[ )]))")
SPELLINGS = [
    (re.compile(r"creative-commons"), "cc"),
    (re.compile(r"public-domain-dedication"), ""),
    (re.compile(r"cc-zero"), "cc0"),
    (re.compile(r"(?<![a-z])attribution(?![a-z])"), "by"),
    (re.compile(r"non-?commercial"), "nc"),
    (re.compile(r"no-?deriv(?:ative)?s?(?:-works)?"), "nd"),
    (re.compile(r"share-?alike"), "sa"),
    (
        re.compile(
            r"(?<![a-z])(?:the|international|unported|generic|universal|(?:software-|public-)?licen[sc]es?)(?![a-z])"
        ),
        "",
    ),
    (re.compile(r"(?:(?<![a-z])version|(?<![a-z])v|(?<=gpl)v|(?<=mpl)v)[.-]?(?=[0-9])"), "-"),
    (re.compile(r"(?<=[a-z])(?=[0-9](?:\.|$|-))(?<!cc)"), "-"),
    (re.compile(r"-{2,}"), "-"),
    (re.compile(r"^-|-$"), ""),
    (re.compile(r"^((?:apache|mpl|[al]?gpl|cc-[a-z-]+|cc0)-[0-9])(?=$|-|\+)"), r"\1.0"),
    (re.compile(r"^cc0$"), "cc0-1.0"),
]


def allowed(expression: str, accepts: Callable[[str], bool]) -> bool:
    """Whether somebody who takes the licences that `accepts` takes may use what is under a licence expression: one of
    the sides of OR, and both of AND, which binds closer; an exception (WITH) only adds to what is allowed.

    Args:
        expression: "MIT OR Apache-2.0", "(MIT AND BSD-3-Clause) OR GPL-2.0-only WITH Classpath-exception-2.0", or the
            name of one licence.
        accepts: says of one SPDX id, in lower case, whether it is accepted.

    Source: SPDX specification 2.3, annex D.
    """
    pieces = [piece.strip() for piece in OPERATORS.split(expression.strip()) if piece.strip()]
    if not {"OR", "AND"} & set(pieces) or pieces.count("(") != pieces.count(")"):
        return accepts(spdx_id(expression.split(" WITH ")[0]))  # one licence, whose name may hold parentheses
    return _either(pieces, accepts)


def _either(pieces: list[str], accepts: Callable[[str], bool]) -> bool:
    """The sides of OR from the first piece on; the pieces that are read are removed."""
    found = _both(pieces, accepts)
    while pieces and pieces[0] == "OR":
        pieces.pop(0)
        found = _both(pieces, accepts) or found
    return found


def _both(pieces: list[str], accepts: Callable[[str], bool]) -> bool:
    found = _one(pieces, accepts)
    while pieces and pieces[0] == "AND":
        pieces.pop(0)
        found = _one(pieces, accepts) and found
    return found


def _one(pieces: list[str], accepts: Callable[[str], bool]) -> bool:
    piece = pieces.pop(0) if pieces else ""
    if piece == "(":
        found = _either(pieces, accepts)
        if pieces:
            pieces.pop(0)
        return found
    return accepts(spdx_id(piece.split(" WITH ")[0]))


def spdx_id(name: str) -> str:
    """The SPDX id, in lower case, of a licence; a name that is not known stays much as it is.

    "Apache License, Version 2.0" and its address give apache-2.0.

    Source: SPDX License List.
    """
    text = re.sub(r"[\s_,()\"“”]+", "-", name.strip().lower()).strip("-")
    for address, spdx in ADDRESSES:
        found = address.search(text)
        if found:
            return found.expand(spdx)
    for spelling, spdx in SPELLINGS:
        text = spelling.sub(spdx, text)
    return text
