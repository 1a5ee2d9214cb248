"""Pages of HTML: their main content, and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Fault
from loomwork.data.readers._documents import as_text, known, need, quiet
from loomwork.text.encoding import SUPERSETS, decodes, detect, looks_utf8, marked, wide

NO_TEXT = "HTML without text"
LAST_DATE = "2099-12-31"  # a page may not be dated later; fixed, so that the clock does not decide
MOST_CHILDREN = 50_000  # of one element: trafilatura's work grows with their square, 2 s for so many
BEGIN_BYTES = 1 << 12  # where a page may say its encoding
SAMPLE_BYTES = 1 << 18
TAG = re.compile(r"<\s*[!?/]?[a-zA-Z]")
SKIPPED = {"script", "style", "head", "noscript", "template", "svg", "iframe", "object", "title"}
BEFORE = {"li": "\n- ", "tr": "\n", "br": "\n"}
AFTER = {"li": "", "tr": "", "td": " | ", "th": " | "}
HIDDEN = {1: None, 2: None}
PRESERVED = {32: "\1", 9: "\2"}  # spaces that count, while the others are tidied
SHOWN = {1: " ", 2: "\t"}
_BLOCKS = (
    "address article aside blockquote body caption dd details div dl dt fieldset figcaption figure footer form h1 h2 "
    "h3 h4 h5 h6 header hr html main nav ol p pre section summary table tbody tfoot thead ul"
)
BLOCKS = frozenset(_BLOCKS.split())


def decode_page(content: bytes, said: str = "") -> str:
    """The text of a page's bytes: byte-order mark, UTF-8 where it fits, what HTTP says, what the page says, a guess.

    Args:
        content: the bytes.
        said: the encoding in the HTTP header or from the user; "" if unknown.

    Source: HTML Living Standard 13.2.3.2, but for UTF-8, which counts before wrong declarations.
    """
    name, mark = marked(content)
    if name:
        return content[mark:].decode(name, "replace")
    if name := wide(content):
        return content.decode(name, "replace")
    escaped = b"\x1b" in content
    if not escaped and looks_utf8(content):
        return content.decode("utf-8", "replace")
    start = next((i for i, byte in enumerate(content) if byte > 127 or byte == 27), 0)
    sample = content[max(0, start - 200) : start + SAMPLE_BYTES]
    said = SUPERSETS.get(said.lower(), said)
    if not (said and not said.lower().startswith("utf") and decodes(sample, said)):
        said = detect(sample, content[:BEGIN_BYTES]) or "utf-8"
    return content.decode(said, "replace")


def page(content: bytes, said: str = "", url: str = "") -> dict[str, Any] | str:
    """The main content of a page and its metadata, or why there is none.

    Args:
        content: the page's bytes.
        said: its encoding, where HTTP or the user says it.
        url: where it came from, if that is known.

    Returns: a row with `text` and those of title, author, date, licence, language and url that are known; a text that
        says why, if the page gives none.
    """
    if b"\0" in content[:BEGIN_BYTES] and not (marked(content)[0] or wide(content)):
        return "not HTML: the file holds binary data"
    markup = as_text(decode_page(content, said))
    if not TAG.search(markup):
        return "not HTML: there is no tag in it"
    return page_of(markup, url)


def page_of(markup: str, url: str = "") -> dict[str, Any] | str:
    """The same for a page that is decoded already."""
    trafilatura = need("trafilatura", "trafilatura", "HTML")
    with quiet("trafilatura", "htmldate"):
        try:
            tree = _tree(trafilatura, markup)
            if tree is None:
                return NO_TEXT
            if (most := max(map(len, tree.iter()))) > MOST_CHILDREN:
                return f"too many elements in one: {most:,}, of which at most {MOST_CHILDREN:,} are read"
            language = _language(tree)
            found = trafilatura.bare_extraction(
                tree,
                url=url or None,
                include_comments=False,  # what readers wrote below an article is not the article
                with_metadata=True,
                date_extraction_params={"original_date": True, "extensive_search": False, "max_date": LAST_DATE},
            )
        except (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError) as error:
            return f"damaged HTML: {type(error).__name__}: {error}"
    if found is None or not (found.text or "").strip():
        return NO_TEXT
    metadata = {
        "title": found.title,
        "author": found.author,
        "date": found.date,
        "licence": found.license,
        "language": language,
        "url": url or found.url,
    }
    return {"text": as_text(found.text), **known({n: v and as_text(v) for n, v in metadata.items()})}


def page_or_fault(content: bytes, place: int, said: str = "", url: str = "") -> dict[str, Any] | Fault:
    """A page's row, or a fault at this place."""
    row = page(content, said, url)
    return Fault(place, f"{row}: {url}" if url else row) if isinstance(row, str) else row


def _tree(trafilatura: Any, markup: str) -> Any:
    """The page as a tree. Trafilatura takes only whole pages; parts of one get what they lack."""
    tree = trafilatura.load_html(markup)
    if tree is None:
        tree = trafilatura.load_html(f"<html><body>{markup}</body></html>")
    return tree


def _language(tree: Any) -> str | None:
    """The language that a page declares: that of its root or body, of a meta element, of Open Graph."""
    root = tree.getroottree().getroot()
    for element in [root, *root.findall("body")]:
        for name in ("lang", "xml:lang", "{http://www.w3.org/XML/1998/namespace}lang"):
            if value := element.get(name):
                return _primary(str(value))
    for element in root.iter("meta"):
        kind = (element.get("http-equiv") or element.get("name") or element.get("property") or "").lower()
        if kind in ("content-language", "language", "dc.language", "og:locale") and (value := element.get("content")):
            return _primary(str(value))
    return None


def _primary(tag: str) -> str | None:
    """ "de" of "de-DE", "de_AT" and "de, en": regions would make several languages of one."""
    return re.split("[-_,;]", tag.strip())[0].strip().lower() or None


def whole_text(tree: Any) -> str:
    """All visible text of a tree of HTML, a blank line between blocks: for books and letters, where all is content."""
    text = "".join(_visible(tree))
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r"[ \t\xa0]+", " ", text))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return text.translate(SHOWN).strip("\n")


def _visible(element: Any) -> Iterator[str]:
    """The pieces of text, depth first. Recursion would end at pages that are nested deeper than Python's stack."""
    todo: list[Any] = [element]
    preserved = 0
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            plain = item.translate(HIDDEN)
            yield plain.translate(PRESERVED) if preserved else re.sub(r"\s+", " ", plain)
        elif isinstance(item, tuple):  # an element ends
            preserved -= item[1]
            yield item[0]
        else:
            tag = item.tag.rsplit("}", 1)[-1].lower() if isinstance(item.tag, str) else ""
            todo += [item.tail] if item.tail and item is not element else []
            if not tag or tag in SKIPPED:
                continue
            yield BEFORE.get(tag, "\n\n" if tag in BLOCKS else "")
            last_cell = tag in ("td", "th") and item.getnext() is None
            todo.append(("" if last_cell else AFTER.get(tag, "\n\n" if tag in BLOCKS else ""), tag == "pre"))
            preserved += tag == "pre"
            todo += reversed(item)
            todo += [item.text] if item.text else []
