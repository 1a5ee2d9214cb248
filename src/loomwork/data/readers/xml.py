"""XML: records, as data files and feeds have them, or else the text of the document. MediaWiki dumps page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

from loomwork.data.readers import FAULT_CHARS, Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import Unsafe, as_text, known, need, refuse_entities, rows_of
from loomwork.data.readers._wiki import wiki_page

EXTENSIONS = (".xml", ".rss", ".atom")
USES = ("lxml",)
FEWEST_RECORDS = 2
DEEPEST = 3  # the level of records, where that of the root is 1
ELEMENT_BYTES = 64  # of memory that an element takes at least
Path: TypeAlias = tuple[str, ...]  # names of elements, from the root
FEEDS = ("rss", "feed", "RDF")  # RSS 2.0, Atom, RSS 1.0
FEED_COLUMNS = {"link": "url", "pubDate": "date", "published": "date", "updated": "date", "creator": "author"}
XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a record, if the file has any, else one row a file; of a MediaWiki dump one row an article.

    Records are the elements of the name that is most frequent one or two levels below the root, at least two, of which
    most have elements inside and fewer than half mix them with text. A record's attributes and elements become columns
    (of equal ones the values, a line each), `text` is all its text unless an element is called so; a feed's link,
    time and creator are `url`, `date` and `author`. The file is read twice. XML that declares entities is refused; DTD
    files and the network are never read.

    Source: Extensible Markup Language (XML) 1.0, fifth edition; MediaWiki export schema 0.11.
    """
    with file.open() as stream:
        if not stream.read(1):
            yield Chunk(faults=[Fault(0, "empty file")])
            return
    try:
        wanted, root = _records_paths(file)
        if root == "mediawiki":
            yield from in_chunks(_wiki(file))
        elif wanted:
            yield from in_chunks(_records(file, wanted, FEED_COLUMNS if root in FEEDS else {}))
        else:
            yield from _whole(file)
    except (BadXml, Unsafe) as error:
        yield Chunk(faults=[Fault(0, str(error))])


class BadXml(ValueError):
    """XML that is not well formed."""


@contextmanager
def _events(file: SourceFile, *kinds: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The parsing events of a file, its entities refused.

    Raises, on entering or while iterating:
        BadXml: it is not XML, from here on.
        Unsafe: it declares entities.
    """
    etree = need("lxml.etree", "lxml", "XML")
    with file.open() as stream:
        parser = etree.iterparse(
            stream,
            kinds,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
            encoding=file.encoding,
        )

        def checked() -> Iterator[tuple[str, Any]]:
            first = True
            try:
                for event, element in parser:
                    if first:
                        refuse_entities(element)
                        first = False
                    yield event, element
            except etree.XMLSyntaxError as error:
                raise BadXml(f"not XML: {error.msg}; what follows was not read") from None

        yield checked()


def _records_paths(file: SourceFile) -> tuple[set[Path], str]:
    """The paths of the records, if there are any, and the name of the root. All elements are freed on the way."""
    found, nested, mixed = Counter[Path](), Counter[Path](), Counter[Path]()
    path: Path = ()
    root = ""
    with _events(file, "start", "end") as events, suppress(BadXml):  # the second reading gives the rows before it
        for event, element in events:
            if event == "start":
                path = (*path, _name(element))
                root = root or path[0]
                if root == "mediawiki":
                    break
                continue
            if 2 <= len(path) <= DEEPEST:
                found[path] += 1
                nested[path] += len(element) > 0 or len(element.attrib) > 0
            parent = element.getparent()
            between = (_filled(element.text) and len(element)) or (len(element) and _filled(element[-1].tail))
            if between or _filled(parent.text if parent is not None else "") or _forget(element):
                inner = path if between else path[:-1]
                mixed.update(inner[:depth] for depth in range(2, min(len(inner), DEEPEST) + 1))
            path = path[:-1]
    good = [p for p, n in found.items() if n >= FEWEST_RECORDS and nested[p] * 2 > n and mixed[p] * 2 < n]
    best = min(good, key=lambda p: (-found[p], len(p), p), default=())
    return {p for p in good if p[:-1] == best[:-1]}, root


def _records(
    file: SourceFile, wanted: set[Path], names: dict[str, str]
) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    number, path = 0, Path()
    parent = next(iter(wanted))[:-1]
    outside: list[str] = []
    with _events(file, "start", "end") as events:
        for event, element in events:
            if event == "start":
                path = (*path, _name(element))
                continue
            at, path = path, path[:-1]
            if at in wanted:
                number += 1
                yield number, _renamed(_record(element), names) or Fault(number, f"empty record: {at[-1]}")
            elif path == parent[: len(path)] and at != parent[: len(at)] and len(at) <= len(parent) + 1:
                outside += _lines(element)
            else:
                continue
            _forget(element)
    if outside:
        yield 0, Fault(0, "text outside of the records", as_text("\n".join(outside))[:FAULT_CHARS])


def _record(element: Any) -> dict[str, Any]:
    """The columns of a record: attributes, elements by name, all its text."""
    columns: dict[str, list[str]] = {}
    for name, value in element.attrib.items():
        columns.setdefault("language" if name == XML_LANGUAGE else name.rsplit("}", 1)[-1], []).append(value)
    for child in element:
        value = "\n".join(_lines(child)) or next((v for n, v in child.attrib.items() if n in ("href", "url")), "")
        columns.setdefault(_name(child), []).append(value)
    row: dict[str, Any] = {as_text(n): as_text("\n".join(v)) for n, v in columns.items() if any(v)}
    if not row.get("text"):
        row |= {"text": as_text("\n".join(_lines(element)))}
    return row if any(row.values()) else {}


def _renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The row with some columns under the names that other formats give them, where the row has no such column."""
    for old, new in names.items():
        if old in row and new not in row:
            row = {new if name == old else name: value for name, value in row.items()}
    return row


def _whole(file: SourceFile) -> Iterator[Chunk]:
    most, size, language, lines = file.limits.row_bytes, 0, None, list[str]()
    with _events(file, "start", "end") as events:
        for event, element in events:
            if event == "start":
                language = language or element.get(XML_LANGUAGE)
                size += ELEMENT_BYTES
                continue
            size += len(element.text or "")
            if size > most:
                yield Chunk(faults=[Fault(0, f"too large for one row: over {most >> 20} MB, and no records")])
                return
            if element.getparent() is None:
                lines = [as_text(line) for line in _lines(element)]
    if not lines:
        yield Chunk(faults=[Fault(0, "XML without text")])
        return
    yield from in_chunks(rows_of("\n".join(lines), known({"language": language}), file.unit, between="\n"))


def _wiki(file: SourceFile) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    number, base, language = 0, "", None
    with _events(file, "start", "end") as events:
        for event, element in events:
            name = _name(element)
            if event == "start":
                language = language or (element.get(XML_LANGUAGE) if name == "mediawiki" else None)
            elif name == "base":
                base = element.text or ""
            elif name == "page":
                number += 1
                row = wiki_page(element, number, base, language)
                if isinstance(row, Fault):
                    yield number, row
                else:
                    yield from rows_of(row.pop("text"), row, file.unit, number)
                _forget(element)


def _lines(element: Any) -> Iterator[str]:
    """The text below an element, a line for each that holds text; elements amid text do not break its line."""
    if len(element) and not _filled(element.text) and not any(_filled(child.tail) for child in element):
        for child in element:
            yield from _lines(child)
    elif text := " ".join("".join(element.itertext()).split()):
        yield text


def _name(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _filled(text: str | None) -> bool:
    return bool(text and text.strip())


def _forget(element: Any) -> bool:
    """Free an element that was read, and those before it; returns whether text followed one of those."""
    element.clear(keep_tail=True)
    text = False
    while (before := element.getprevious()) is not None:
        text = text or _filled(before.tail)
        del element.getparent()[0]
    return text
