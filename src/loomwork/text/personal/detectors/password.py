"""Passwords and secrets that text or code assigns: `password = "..."`, `DB_PASSWORD=...`, `"client_secret": "..."`.

Only the value is the span. A value in quotes counts when it is no placeholder, name or sentence; one without quotes
must look made: letters with digits or signs. Environment variables, calls, attributes and types (`password: str`) are
left. What is told in prose without a sign ("my password is ...") is not found.

Source: the rule "generic-api-key" of gitleaks and the keyword detector of detect-secrets, whose false alarms these
rules lessen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import entropy_bits

# A keyword, its first letter in a set, so that the search skips fast.
KEYWORD = (
    "[aAbBeEpPrRsS](?:(?<=[pP])(?i:ass(?:word|wd|phrase)|wd|rivate[_-]?key)|(?<=[sS])(?i:ecret(?:[_-]?(?:access[_-]?)?key)?)|"
    "(?<=[aA])(?i:pi[_-]?key|ccess[_-]?(?:key|token)|uth[_-]?token)|(?<=[rR])(?i:efresh[_-]?token)|"
    "(?<=[bB])(?i:earer[_-]?token)|(?<=[eE])(?i:ncryption[_-]?key))"
)
PREFILTER = (
    "(?i:pass(?:word|wd|phrase)|pwd|secret|api[_-]?key|access[_-]?key|token|private[_-]?key|encryption[_-]?key)"
    "[A-Za-z0-9_-]{0,12}[\"']?[ \t]{0,4}(?:[:=]|=>)"
)
PRIORITY = 5
ASSIGNED = re.compile(
    rf"{KEYWORD}(?:[_-]?[A-Za-z0-9]{{1,10}})?[\"']?[ \t]{{0,4}}(?::=|=>|[:=](?![:=]))[ \t]{{0,4}}"
    r"(?:[bBrRuUfF]{0,2}\"([^\"\n\\]{4,200})\"|[bBrRuUfF]{0,2}'([^'\n\\]{4,200})'|([^\s\"'`,;&<>()\[\]{}\\]{6,200}+))"
)
PLACEHOLDER = re.compile(
    r"^[<\[]|[${]|%[(s]|your|example|placeholder|redacted|change[_-]?me|x{4}|\*{2}|\.\.\.|dummy|todo|insert|here|none|"
    r"null|undefined|true|false|secret|password|passwd|passphrase|token|apikey|api[_-]key|test|foobar|hunter2|process\.env|environ|getenv|"
    r"config|self\.|args\.|://|…|arn:",
    re.IGNORECASE,
)
NAME = re.compile(
    r"[a-z]+(?:[._-][a-z]+)*[0-9]?|[A-Z][A-Z0-9_]*|[A-Z]?[a-z]+(?:[A-Z][a-z]+){0,4}[0-9]?|[a-z]+(?:_[A-Za-z]+)+"
)
PATH = re.compile(r"[A-Za-z_]+(?:[.:_-][A-Za-z_]+)*[0-9]?")
FILE = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[\w.-]+[/\\])+[\w.-]*")
QUOTED_BITS, BARE_BITS = 2.0, 2.5


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the values that are assigned to passwords and secrets in a text."""
    for match in ASSIGNED.finditer(text):
        group = match.lastindex or 0
        value = match[group] if group < 3 else match[group].rstrip(".:!?")
        if _is_made(value, quoted=group < 3):
            yield match.start(group), match.start(group) + len(value)


def _is_made(value: str, *, quoted: bool) -> bool:
    """Whether a value looks like a secret, not like a word for one, a name in code or a sentence."""
    if PLACEHOLDER.search(value) or FILE.fullmatch(value) or (quoted and " " in value.strip()):
        return False
    if quoted:
        return not NAME.fullmatch(value) and entropy_bits(value) >= QUOTED_BITS
    digits, letters = any(c.isdigit() for c in value), any(c.isalpha() for c in value)
    signs = any(not c.isalnum() and c not in "._-/" for c in value)
    named = PATH.fullmatch(value) or NAME.fullmatch(value) or value.replace(".", "").isdigit()
    return letters and (digits or signs) and not named and len(value) >= 8 and entropy_bits(value) >= BARE_BITS
