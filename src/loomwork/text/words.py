"""Words for search, code-aware."""

from __future__ import annotations

import re

CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z][A-Z])(?=[A-Z][a-z])")
WORD = re.compile(r"[^\W_]+")


def search_words(text: str) -> list[str]:
    """The words of a text, in lower case, with identifiers taken apart.

    "parseHTMLFile read_csv(x2)" gives parse, html, file, read, csv, x2.
    """
    return WORD.findall(CAMEL.sub(" ", text).lower())
