"""Plain text of MediaWiki's markup: templates, tables, references, files and categories go, links leave their words.

Source: mediawiki.org, Help:Formatting, Help:Links, Help:Templates, Help:Tables; Preprocessor ABNF.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable

KEPT = frozenset(
    ("lang", "nowrap", "nobr", "transl", "translit", "abbr", "small", "big", "em", "strong", "visible anchor")
)
FIRST = frozenset(("abbr",))  # the words are the first of their values; in the others the last
_UNWANTED = (  # namespaces of files and categories, in the languages of the larger wikis
    "file image media category datei bild kategorie fichier catégorie archivo categoría imagen immagine categoria "
    "ficheiro bestand categorie plik kategoria файл категория изображение ファイル 画像 カテゴリ 文件 分类 fil "
    "kategori soubor tiedosto luokka"
)
UNWANTED = frozenset(_UNWANTED.split())
NOWIKI = re.compile(r"<(nowiki)(?:\s*(/))?>", re.I)
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
HIDDEN = re.compile(
    r"<(ref|math|chem|gallery|timeline|graph|score|hiero|imagemap|templatestyles|mapframe|maplink|references|style|script)"
    r"\b(?:[^<>/]|/(?!>))*(/)?>",
    re.I,
)
PARAMETER = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")  # of a template, seen on its own page
BRACES = re.compile(r"\{\{|\}\}|\{\||\|\}(?!\})")
BRACKETS = re.compile(r"\[\[|\]\]")
EXTERNAL = re.compile(r"\[(?:https?:|ftp:|mailto:|//)[^\s\[\]<>]*+\s*+([^\[\]\n]*)\]", re.I)
PREFIX = re.compile(r"^:?\s*([^:|\[\]\n]{1,40}):")
TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*\b[^<>]*>")
BREAK = re.compile(r"<(?:br|hr|/?p|/?div|/?blockquote|/?li|/?ul|/?ol|/?pre|/?center)\b[^<>]*>", re.I)
QUOTES = re.compile(r"'{2,5}")
HEADING = re.compile(r"^(={1,6})[ \t]*(.+?)[ \t]*\1[ \t]*$", re.M)
ITEM = re.compile(r"^([*#;:]+)[ \t]*", re.M)
SWITCH = re.compile(r"__[A-Z]{3,}__")
EMPTY = re.compile(r"\(\s*+(?:[,;]\s*+)?\)|\[\s*\]")
HELD = re.compile("\x01(\\d+)\x02")


def plain_text(markup: str) -> str:
    """The text that a reader of a wiki page sees in its prose, headings and lists.

    Templates go with what they would show (but for a few that only dress words), as do tables, references, formulas,
    files and categories. Markup that is never closed stays, so that nothing after it is lost.
    """
    held: list[str] = []

    def hold(inner: str) -> str:
        held.append(inner)
        return f"\x01{len(held) - 1}\x02"

    text = re.sub("[\x01\x02]", "", markup)
    text = _without(text, NOWIKI, hold)
    text = _without(COMMENT.sub("", text), HIDDEN, lambda inner: "")
    text = _without_braces(PARAMETER.sub(lambda m: m[1] or "", text))
    text = EXTERNAL.sub(r"\1", _without_brackets(text))
    text = TAG.sub("", BREAK.sub("\n", text))
    text = SWITCH.sub("", QUOTES.sub("", text))
    text = re.sub(r"[ \t]+", " ", text)  # headings and items are searched for with blanks before and after
    text = HEADING.sub(r"\n\2\n", text)
    text = ITEM.sub(lambda m: "- " if m[1][-1] in "*#" else "", text)
    text = html.unescape(HELD.sub(lambda m: held[int(m[1])], text))
    text = EMPTY.sub("", text.replace("\xa0", " "))
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r"(?<=\w) (?=[,.;:](?:\s|$))", "", text)
    text = re.sub(r" *\n *", "\n", text)
    text = re.sub(r"^-?$\n?", "\n", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without(text: str, opening: re.Pattern[str], shown: Callable[[str], str]) -> str:
    """Elements replaced by what is shown of what they hold; one that is never closed stays.

    Args:
        opening: the tag, with the name and "/" as its groups.
    """
    pieces, end = [], 0
    never: set[str] = set()  # so that a thousand open tags do not make a thousand searches
    for match in opening.finditer(text):
        name, inner, stop = match[1].lower(), "", match.end()
        if match.start() < end or (name in never and not match[2]):
            continue
        if not match[2]:
            closing = re.compile(rf"</{name}\s*>", re.I).search(text, stop)
            if closing is None:
                never.add(name)
                continue
            inner, stop = text[stop : closing.start()], closing.end()
        pieces += [text[end : match.start()], shown(inner)]
        end = stop
    return "".join([*pieces, text[end:]])


def _without_braces(text: str) -> str:
    """Templates and tables, however they are nested, replaced by what is left of them."""
    open_at: list[tuple[str, int]] = []  # the kind, and the number of pieces before it
    waiting = Counter[str]()  # of each kind in `open_at`
    pieces: list[str] = []
    at = 0
    for match in BRACES.finditer(text):
        pieces.append(text[at : match.start()])
        at, mark = match.end(), match[0]
        opener = {"}}": "{{", "|}": "{|"}.get(mark)
        if mark == "{|" and text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip(" \t:*"):
            pieces.append(mark)  # no table: one begins on a line of its own
        elif opener is None:
            open_at.append((mark, len(pieces)))
            waiting[mark] += 1
            pieces.append(mark)
        elif waiting[opener]:
            while True:
                kind, start = open_at.pop()
                waiting[kind] -= 1
                if kind == opener:
                    break
            inner = "".join(pieces[start + 1 :])
            del pieces[start:]
            pieces.append(_template(inner) if mark == "}}" else "")
        else:
            pieces.append(mark)
    return "".join([*pieces, text[at:]])


def _template(inner: str) -> str:
    name, *values = inner.split("|")
    kind = name.strip().lower().replace("_", " ")
    if kind not in KEPT and not kind.startswith("lang-"):
        return ""
    words = [value for value in values if not re.match(r"\s*\w+\s*=", value)]
    return (words[0] if kind in FIRST else words[-1]).strip() if words else ""


def _without_brackets(text: str) -> str:
    """Links inside the wiki, however they are nested (captions of files hold links), replaced by their words."""
    open_at: list[int] = []
    pieces: list[str] = []
    at = 0
    for match in BRACKETS.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        if match[0] == "[[":
            open_at.append(len(pieces))
            pieces.append("[[")
        elif open_at:
            start = open_at.pop()
            inner = "".join(pieces[start + 1 :])
            del pieces[start:]
            pieces.append(_link(inner))
        else:
            pieces.append("]]")
    return "".join([*pieces, text[at:]])


def _link(inner: str) -> str:
    target, bar, words = inner.partition("|")
    prefix = PREFIX.match(target)
    if prefix and not target.lstrip().startswith(":") and prefix[1].strip().lower() in UNWANTED:
        return ""
    if bar:
        return words.rsplit("|", 1)[-1] if words.strip() else _short(target)
    return target.strip().lstrip(":")


def _short(target: str) -> str:
    """What the pipe trick shows: the target without its namespace and what it has in brackets."""
    return re.sub(r"\s*\([^()]*\)$", "", re.sub(r"^:?[^:]*:", "", target)).strip()
