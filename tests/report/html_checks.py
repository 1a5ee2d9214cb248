"""What every page must be: well nested, self-contained, with pictures that are valid SVG and have names."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

_VOID = {"meta", "link", "br", "img", "input", "hr"}
_LOADS = {"src", "srcset", "data", "poster", "action", "background", "xlink:href"}


class Parsed(HTMLParser):
    """Tags, texts and faults of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.scopes: list[str] = []
        self.faults: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key in _LOADS or (key == "href" and not (value or "").startswith("#")):
                self.faults.append(f"<{tag} {key}={value}>")
            if key.startswith("on"):
                self.faults.append(f"handler {key} in <{tag}>")
            if key == "scope":
                self.scopes.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "


def check_page(html: str) -> Parsed:
    page = Parsed(html)
    assert page.faults == []
    assert page.open == []
    assert html.startswith("<!doctype html>")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        root = ElementTree.fromstring(svg)
        assert root.attrib["role"] == "img"
        assert root[0].text
    assert page.text.count("Traceback") == 0
    return page
