"""Pages of a MediaWiki dump."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from loomwork.data.readers import Fault
from loomwork.data.readers._documents import as_text, known
from loomwork.text.wikitext import plain_text

WIKITEXT = ("wikitext", "")  # other models are programs, styles and data


def wiki_page(page: Any, number: int, base: str, language: str | None) -> dict[str, Any] | Fault:
    """The row of an article, or why a page is none: a redirect, another namespace, no text.

    Args:
        page: the element `page` of the dump, its last revision the one that counts.
        number: the page's place in the dump.
        base: the address of the main page that the dump states.
        language: that of the dump.

    Source: MediaWiki export schema 0.11.
    """
    title = as_text(_text(page, "title"))
    namespace = _text(page, "ns") or "0"
    if namespace != "0":
        return Fault(number, f"wiki page of namespace {namespace}: {title}")
    if _child(page, "redirect") is not None:
        return Fault(number, f"wiki redirect: {title}")
    revisions = [e for e in page if _name(e) == "revision"]
    if not revisions:
        return Fault(number, f"wiki page without text: {title}")
    revision = revisions[-1]
    model = _text(revision, "model")
    if model not in WIKITEXT:
        return Fault(number, f"wiki page that is not wikitext but {model}: {title}")
    text = plain_text(as_text(_text(revision, "text")))
    if not text:
        return Fault(number, f"wiki page without text: {title}")
    author = _child(revision, "contributor")
    metadata = {
        "title": title,
        "author": as_text((_text(author, "username") or _text(author, "ip")) if author is not None else ""),
        "date": as_text(_text(revision, "timestamp")),
        "language": language,
        "url": base.rsplit("/", 1)[0] + "/" + quote(title.replace(" ", "_"), safe="/:(),!*'@") if "/" in base else None,
    }
    return {"text": text, **known(metadata)}


def _child(element: Any, name: str) -> Any:
    return next((e for e in element if _name(e) == name), None)


def _text(element: Any, name: str) -> str:
    found = _child(element, name)
    return (found.text or "") if found is not None else ""


def _name(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]
