"""Whether what stands behind a password word is one: not a type, a name in code, a call, a placeholder, a word."""

from __future__ import annotations

import re

OPENS = {")": "(", "]": "[", "}": "{", '"': '"', "'": "'", "`": "`"}
# What follows a value without white space: the next field of a connection string or query, or a tag.
NEXT_FIELD = re.compile(r"[;&,](?=[A-Za-z_][\w -]{0,30}=)|</|<br|\\n|\\r|\|\|")
PLACEHOLDER = re.compile(
    r"^<.*>$|^[\[{].*[\]}]$|\*{3}|•{2}|●{2}|x{4}|…|\.{3}|^your|your[_ -]|example|placeholder|redacted|"
    r"change[_-]?me|dummy|"
    r"[_-]here$|^%\(?\w*\)?s?$|^%\w+%$|\{\{|://|^arn:",
    re.IGNORECASE,
)
VARIABLE = re.compile(r"\$\{.*|\$\(.*|\$[A-Za-z_]\w*|[$@&*]*[A-Za-z_]\w*(?:(?:\??\.|::|->)[A-Za-z_]\w*)+|\$_\w+\[.*")
CALL = re.compile(r"[$@&*!]*[A-Za-z_][\w.:>-]*(?:\(.*\)|\[.*|<[\w:., <>&']*>?).*|[$@&*!]*[A-Za-z_.:]+\(.*", re.DOTALL)
TYPE = re.compile(
    r"[&*]*(?:[ui](?:8|16|32|64|128|nt\d*)|u?int\d+|float\d+|f\d+|bytes\d+|varchar\d*|nvarchar\d*|(?:sha|md|base|utf|aes|"
    r"argon|bcrypt|pbkdf|scrypt|ripemd|blake|rot)[_-]?\d.*|oauth2?.*|string\d|str\d)\??",
    re.IGNORECASE,
)
NAMED = re.compile(
    r"(?:[a-z]+_)*(?:password|passwd|passwort|pass|pwd|pw|passphrase|secret|key|token|arg|param|value|val|var|input|"
    r"string|str|field|user|text|form|temp|tmp|hash|name|option|opt|data|result)s?_?[0-9]?",
    re.IGNORECASE,
)
WORDS_ONLY = re.compile(r"[A-Za-z_]+_[A-Za-z_]*[0-9]?")
FILE = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[\w.-]+[/\\])+[\w.-]*")
INNER_SIGN = re.compile(r"[^\W_][@#$^!&%+~=?*]+[^\W_]")
SIGNED = re.compile(
    r"[^\W\d_]+(?:[#$%]{1,3}|([!?@&*+_=^-])\1)"
)  # "Berlin##"; one sign of the others ends a type or sentence
PASSPHRASE = re.compile(r"[a-z]{2,12}(?: [a-z]{2,12}){3,9}")
SENTENCE = re.compile(
    r"\b(?:the|your|must|is|are|for|to|of|and|or|not|enter|please|with|from|here|das|der|die|ihr|bitte|le|la|votre|su)\b"
)


def bare_end(value: str, before: str) -> int:
    """How many characters of a run without white space are the value.

    Args:
        value: the run behind the sign.
        before: the line up to the value: a bracket or quote that it opens ends the value.
    """
    cut = NEXT_FIELD.search(value)
    if cut and cut.start():
        return cut.start()
    end = _without_closing(value, len(value), before)
    if value[end - 1] in ".," and (end < 2 or value[end - 2] != value[end - 1]):
        end -= 1
    return _without_closing(value, end, before)


def _without_closing(value: str, end: int, before: str) -> int:
    """The end without brackets and quotes that were opened before the value, and without one semicolon behind all."""
    while end:
        last = value[end - 1]
        opened = OPENS.get(last)
        closes = opened and _is_open(opened, last, before) and not _is_open(opened, last, value[: end - 1])
        if not closes and not (last == ";" and end == len(value)):
            break
        end -= 2 if opened == last and value[end - 2 : end - 1] == "\\" else 1
    return max(end, 0)


def _is_open(opening: str, closing: str, text: str) -> bool:
    if opening == closing:
        return text.count(opening) % 2 == 1
    return text.count(opening) > text.count(closing)


def is_password(value: str, *, quoted: bool, prose: bool, sure: bool) -> bool:
    """Whether a value is a password.

    Args:
        value: without its quotes.
        quoted: it stands in quotes.
        prose: it was told with a word ("is"), not with a sign: only what cannot be a word of the sentence counts.
        sure: the key is a whole word for password, so that digits alone are one.
    """
    core = value.strip() if quoted else value.rstrip(";,.)]}")
    if len(core) < 4 or PLACEHOLDER.search(core) or FILE.fullmatch(core) or (quoted and value[:1].isspace()):
        return False
    if VARIABLE.fullmatch(core) and not (any(c.isdigit() for c in core) if quoted else core[-2:].isdigit()):
        return False
    if TYPE.fullmatch(core) or NAMED.fullmatch(core) or (not quoted and (core[0] in "[{(<|" or CALL.fullmatch(core))):
        return False
    if " " in core:
        return quoted and _is_phrase(core)
    digits = sum(c.isdigit() for c in core)
    letters = sum(c.isalpha() for c in core)
    if not letters:
        whole = core.isdigit() or (digits >= 4 and len(core) >= 6)
        return sure and digits >= (6 if prose else 4) and whole
    if digits:
        if WORDS_ONLY.fullmatch(core) and not quoted:
            return False
        if core[:digits].isdigit() and (core[digits:].startswith("-") or core[digits:].isalpha()) and prose:
            return False  # "is 8-character", "is 30days"
        return len(core) >= 6 or (len(core) >= 5 and (quoted or sure))
    return len(core) >= 6 and bool(SIGNED.fullmatch(core) or (INNER_SIGN.search(core) and "==" not in core))


def _is_phrase(value: str) -> bool:
    """Whether words in quotes are a pass phrase: one of them mixes letters and digits, or four plain ones that make no
    sentence."""
    if PASSPHRASE.fullmatch(value):
        return not SENTENCE.search(value)
    pieces = value.split(" ")
    mixed = any(sum(c.isdigit() for c in p) and sum(c.isalpha() for c in p) > 1 for p in pieces)
    return mixed and len(pieces) <= 6 and not SENTENCE.search(value.lower())
