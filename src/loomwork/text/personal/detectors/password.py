"""Passwords and secrets that text or code assigns: `password = "..."`, `DB_PASSWORD=...`, `Passwort: ...`.

Only the value is the span, the whole of it: to its closing quote, or without quotes to white space, but for one full
stop or comma at the end. Words for a password are known in thirteen languages. Environment variables, calls,
attributes, types (`password: str`), placeholders and plain words (`password: required`) are left; so is a password of
letters alone, which nothing tells from a word. Behind "is" in prose only letters with digits or signs count. API keys
and tokens under a name must look made by a machine.

Source: the rule "generic-api-key" of gitleaks and the keyword detector of detect-secrets, whose false alarms these
rules lessen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.password_value import FILE, bare_end, is_password
from loomwork.text.personal.shapes import entropy_bits

# English, German, French, Spanish, Italian, Dutch, Portuguese, Polish, Swedish, Russian, Chinese, Japanese, Korean;
# o and u may carry their marks apart.
WORDS = (
    "pass(?:words?|wd|phrase|code|wort)|pwd|kennwort|mots? de passe|mdp|contrase(?:ñ|n\u0303?)a|parola d['’]ordine|"
    "wachtwoord(?:en)?|senha|palavra[- ]passe|has(?:ł|l)o|l(?:ö|o\u0308?)senord|"
    "парол[ья]|密码|密碼|口令|パスワード|비밀번호"
)
SHORT = "pass|secret|clave|pw"
KEYS = "api[_-]?key|access[_-]?key|(?:access|auth|refresh|bearer)[_-]?token|private[_-]?key|encryption[_-]?key"
IS_CJK = "是|为|為|は|는|은"  # written without spaces
IS = "is now|is|ist|lautet|est|es|è|é|jest|to|är"
MARKS = r"[\"'`*_\\]{0,4}"
PREFILTER = (
    f"(?i:{WORDS}|{SHORT}|{KEYS})[A-Za-z0-9_-]{{0,40}}[ \\t\\xa0]{{0,4}}[\"'`*_\\\\]{{0,4}}[ \\t\\xa0]{{0,4}}"
    f"(?::|=|：|{IS_CJK}|(?i:{IS})[ \\t\\xa0])"
)
PRIORITY = 5
ASSIGNED = re.compile(
    rf"(?:(?P<word>(?i:{WORDS}))|(?P<short>(?<![A-Za-z])(?i:{SHORT})(?![a-z])|(?<=[a-z])(?:Pass|Secret)(?![a-z])|"
    rf"(?i:(?<=client)secret))|(?P<key>(?i:{KEYS})))"
    rf"(?P<suffix>(?:[_-]?[A-Za-z0-9]{{1,16}}){{0,2}}){MARKS}[ \t\xa0]{{0,4}}"
    r"(?:(?::[ \t]*(?:&?str|[sS]tring|bytes|SecretStr|Optional\[str\]|str[ \t]*\|[ \t]*None)[ \t]*)?"
    r"(?::=|=>|[:=：](?![:=~]))\*{0,2}[ \t\xa0]{0,4}|"
    rf"(?P<prose>(?i:{IS})(?=[ \t\xa0])|{IS_CJK})[ \t\xa0]{{0,4}}[:：]?[ \t]?)"
    r"(?:[bBrRuUfF]{0,2}(?:\\\"(?P<a>[^\"\n\\]{4,200})\\\"|\"(?P<b>(?:[^\"\n\\]|\\.){4,200}+)\"|"
    r"'(?P<c>(?:[^'\n\\]|\\.){4,200}+)'|`(?P<d>[^`\n]{4,200}+)`|"
    r"[“„](?P<e>[^“”\n]{4,200}+)[“”]|«[ \xa0]?(?P<f>[^«»\n]{4,200}?)[ \xa0]?»)"
    r"|(?P<bare>[^\s]{4,256}+))"
)
OTHER_THING = re.compile(
    r"length|len$|min|max|policy|field|reset|timeout|attempt|ur[li]|hint|strength|type|label|file|path|regex|expir|"
    r"chang|date|count|error|message|placeholder|hash|salt|rounds|name|ref$|required|valid|manager|store|protect|_id$|"
    r"_at$|provider|prompt|rule|format|enc|algo",
    re.IGNORECASE,
)
MACHINE_PLACEHOLDER = re.compile(
    r"here|none|null|undefined|true|false|secret|password|token|apikey|api[_-]key|test|foobar|environ|getenv|config|insert",
    re.IGNORECASE,
)
QUOTED_BITS, BARE_BITS = 2.0, 2.5
NAME = re.compile(
    r"[a-z]+(?:[._-][a-z]+)*[0-9]?|[A-Z][A-Z0-9_]*|[A-Z]?[a-z]+(?:[A-Z][a-z]+){0,4}[0-9]?|[a-z]+(?:_[A-Za-z]+)+"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the values that are assigned to passwords and secrets in a text."""
    place = 0
    while match := ASSIGNED.search(text, place):
        group = match.lastgroup or "bare"
        start, value = match.start(group), match[group]
        if group == "bare":
            since = max(0, start - 256)  # bounded, so that the time stays linear in the text
            line = max(text.rfind("\n", since, start) + 1, since)
            value = value[: bare_end(value, text[line:start])]
        if value and _counts(match, value, quoted=group != "bare"):
            yield start, start + len(value)
            place = start + len(value)
        else:
            place = start  # what is no value may hold another key


def _counts(match: re.Match[str], value: str, *, quoted: bool) -> bool:
    if OTHER_THING.search(match["suffix"] or ""):
        return False
    if match["prose"] and (match["key"] or match["short"]):
        return False
    sure = bool(match["word"]) and len(match["suffix"] or "") <= 2
    if not is_password(value, quoted=quoted, prose=bool(match["prose"]), sure=sure):
        return False
    return not match["key"] or _is_made(value, quoted=quoted)


def _is_made(value: str, *, quoted: bool) -> bool:
    """Whether a machine made it."""
    if MACHINE_PLACEHOLDER.search(value) or FILE.fullmatch(value) or NAME.fullmatch(value) or " " in value.strip():
        return False
    return entropy_bits(value) >= (QUOTED_BITS if quoted else BARE_BITS) and len(value) >= (4 if quoted else 8)
