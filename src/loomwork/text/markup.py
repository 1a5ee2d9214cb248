"""What HTML and Markdown leave in texts, taken out again. Code stays as it is: fenced, indented, and in backticks.

Only the names of HTML elements count as tags, and without attributes only where the text closes them, so that "a < b",
"List<String>", "x<a and y>b", "Map<a>" and "<your name>" stay. Each pass makes a text shorter, and passes are repeated
until none does: entities that were escaped twice come out, and stripping a second time changes nothing. Scripts and
comments go with what stands in them; where their marks were escaped a text tells of them, and only the marks go.

Source: HTML Living Standard, sections 4 (elements) and 13.5 (named character references); CommonMark 0.31.2.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

VOID = frozenset(
    ["img", "input", "wbr", "base", "col", "embed", "link", "meta", "param", "source"]
)  # they have no end tag
PASSES = 20  # tags within tags within tags are an attack, not a page
Markup = Literal["html", "markdown"]

_BLOCK = (
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main menu nav ol optgroup option p pre section "
    "select summary table tbody td tfoot th thead title tr ul"
)
_INLINE = (
    "a abbr acronym audio b base bdi bdo big button canvas cite code col colgroup data datalist del dfn em embed font "
    "i iframe img input ins kbd label link map mark meta meter nobr noscript object output param picture progress q rp "
    "rt ruby s samp slot small source span strike strong sub sup svg template textarea time tt u var video wbr"
)
_ALONE = (  # attributes without a value; another bare word is none: "if a <b and c> d"
    "allowfullscreen async autofocus autoplay checked compact controls default defer disabled formnovalidate hidden "
    "inert ismap itemscope loop multiple muted nomodule noshade novalidate nowrap open playsinline readonly required "
    "reversed selected"
)
_ATTRIBUTES = (
    r"""(?:\s+(?:[^<>"'=/\s]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>`]+)|"""
    rf"""(?:{_ALONE.replace(" ", "|")})(?=[\s/>])))*\s*/?"""
)
_HIDDEN_NAMES = "script|style|noscript|template"
_HIDDEN = re.compile(rf"<(?:(!--)|({_HIDDEN_NAMES})\b[^<>]*>|!doctype[^<>]*>)", re.I)
_UNHIDDEN = re.compile(rf"</?(?:{_HIDDEN_NAMES}){_ATTRIBUTES}>|<!--|-->|<!doctype[^<>]*>", re.I)
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCK.replace(' ', '|')}){_ATTRIBUTES}>[ \t]*", re.I)
_INLINE_TAG = re.compile(rf"<(/?)({_INLINE.replace(' ', '|')})({_ATTRIBUTES})>", re.I)
_END_TAG = re.compile(r"</([a-zA-Z][a-zA-Z0-9]*)")
_ENTITY = re.compile(r"&(?:amp;)*((?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});)")

CODE = re.compile(
    r"(^(?P<fence>`{3,20}|~{3,20})[^\n]*\n.*?(?:^(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|^(?: {4}|\t)[^\n]*$"
    r"|(?<!`)(?P<tick>`{1,3})(?!`)[^`\n]+(?P=tick)(?!`))",
    re.M | re.S,
)
_MAY_BE_CODE = re.compile("[`\t]|~~~|    ")
_IMAGE = re.compile(r"!\[([^\[\]\n]*)\]\([^()\s]*(?:\s+\"[^\"\n]*\")?\)")
_LINK = re.compile(r"(?<!!)\[([^\[\]\n]+)\]\((?:<[^<>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)?)(?:\s+\"[^\"\n]*\")?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\[\]\n]+\]:\s*\S+(?:[ \t]+\"[^\"\n]*\")?[ \t]*$\n?", re.M)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S[^\n]*)$", re.M)
_QUOTE = re.compile(r"^ {0,3}(?:>[ \t]?)+", re.M)
_RULE = re.compile(r"^ {0,3}(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$\n?", re.M)
_STRONG = re.compile(r"(?<![\w*\\])(\*{1,3}|~~)(?=[^\s*~])([^*~\n]*[^\s*~\\])\1(?![\w*])")


def strip_markup(texts: pl.Series, kinds: tuple[Markup, ...]) -> pl.Series:
    """The texts without the remains of HTML (tags, comments, scripts, entities) or Markdown (emphasis, headings,
    links and images, quotes, rules), or both.

    Args:
        texts: a column of texts without nulls.
        kinds: which remains are taken out.
    """
    import polars as pl

    rows = pl.repeat(False, len(texts), eager=True)
    if "html" in kinds:
        rows |= texts.str.contains(r"<[a-zA-Z/!]|&[#a-zA-Z]")
    if "markdown" in kinds:
        rows |= texts.str.contains(r"[*#>~_]|\]\(|\]:|-[ \t]*-[ \t]*-")
    if not rows.any():
        return texts
    stripped = [strip_text(text, kinds) for text in texts.filter(rows).to_list()]
    return texts.clone().scatter(rows.arg_true(), pl.Series(stripped, dtype=pl.String))  # scatter works in place


def strip_text(text: str, kinds: tuple[Markup, ...]) -> str:
    """`strip_markup` of one text."""
    for number in range(PASSES):
        pieces = code_pieces(text)
        closed = {name.lower() for name in _END_TAG.findall(text)} if "html" in kinds else set()
        for i, (is_code, piece) in enumerate(pieces):
            if not is_code:
                pieces[i] = (False, _strip(piece, kinds, closed, escaped=number > 0))
        stripped = "".join(piece for _, piece in pieces)
        if stripped == text:
            break
        text = stripped
    return text


def code_pieces(text: str) -> list[tuple[bool, str]]:
    """A text cut at its code: (is code, piece); joined, the pieces are the text."""
    found: list[tuple[bool, str]] = []
    end = 0
    if not _MAY_BE_CODE.search(text):
        return [(False, text)]
    for match in CODE.finditer(text):
        found += [(False, text[end : match.start()]), (True, match.group())]
        end = match.end()
    return [*found, (False, text[end:])]


def _strip(text: str, kinds: tuple[Markup, ...], closed: set[str], *, escaped: bool) -> str:
    if "html" in kinds:
        if "<" in text:
            text = _UNHIDDEN.sub("", text) if escaped else _without_hidden(text)
            text = _without_inline(_BLOCK_TAG.sub("\n", text), closed)
        if "&" in text:
            text = _ENTITY.sub(_unescaped, text)
    if "markdown" in kinds:
        text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", _REFERENCE.sub("", text)))
        text = _HEADING.sub(_heading, _QUOTE.sub("", _RULE.sub("", text)))
        text = _STRONG.sub(r"\2", text)
    return text


def _without_inline(text: str, closed: set[str]) -> str:
    """Without inline tags. One with neither attributes nor an end tag anywhere may be a name in angle brackets."""

    def is_tag(match: re.Match[str]) -> bool:
        return bool(match[1] or match[3].strip()) or match[2].lower() in VOID | closed

    return _INLINE_TAG.sub(lambda match: "" if is_tag(match) else match.group(), text)


def _without_hidden(text: str) -> str:
    """Without comments, scripts and styles and what stands in them; one that is never closed stays."""
    pieces, end, lower = [], 0, text.lower()
    never: set[str] = set()  # so that a thousand open comments do not make a thousand searches
    for match in _HIDDEN.finditer(text):
        if match.start() < end:
            continue
        closing = "-->" if match[1] else f"</{match[2].lower()}" if match[2] else ""
        stop = -1 if closing in never else lower.find(closing, match.end())
        if closing not in ("", "-->") and stop >= 0:
            stop = lower.find(">", stop)
        if stop < 0:
            never.add(closing)
            continue
        pieces.append(text[end : match.start()])
        end = stop + (3 if closing == "-->" else 1 if closing else 0)
    return "".join([*pieces, text[end:]])


def _heading(match: re.Match[str]) -> str:
    """The words of a heading, without the number signs that may close it."""
    words = match[1].rstrip()
    bare = words.rstrip("#")
    return bare.rstrip() if bare[-1:].isspace() else words


def _unescaped(match: re.Match[str]) -> str:
    """The character of an entity, however often it was escaped; what is none, or a control character, stays."""
    character = html.unescape("&" + match[1]) if match[1] != "amp;" else "&"
    control = any(unicodedata.category(c) == "Cc" and not c.isspace() for c in character)
    return match.group() if control else character
