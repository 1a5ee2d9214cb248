"""EPUB books: their chapters in reading order."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import Unsafe, as_text, known, need, open_zip, parse_xml, rows_of
from loomwork.data.readers._page import decode_page, whole_text

EXTENSIONS = (".epub",)
USES = ("lxml",)
PAGE_TYPES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
DUBLIN_CORE = {"title": "title", "creator": "author", "date": "date", "language": "language", "rights": "licence"}


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a book, or with unit "page" one for each document of its spine, numbered in `page`.

    Title, author, date, language and licence (its rights) are those of its package document. Chapters that are
    encrypted, missing or damaged are set aside.

    Source: EPUB 3.3 (W3C), sections 4 and 5; Open Container Format.
    """
    chapters, faults = list[str](), list[Fault]()
    with file.open_seekable() as stream:
        if not stream.read(1):
            yield Chunk(faults=[Fault(0, "empty file")])
            return
        stream.seek(0)
        try:
            archive = open_zip(stream, file)
            package, members = _package(archive)
            locked = _encrypted(archive)
        except Unsafe as error:
            yield Chunk(faults=[Fault(0, str(error))])  # it says "refused"
            return
        except (KeyError, ValueError) as error:
            yield Chunk(faults=[Fault(0, f"not EPUB: {error.args[0]}")])
            return
        for number, name in enumerate(members, 1):
            text = "encrypted" if name in locked else _chapter(archive, name)
            chapters.append(text[0] if isinstance(text, tuple) else "")
            if isinstance(text, str):
                faults.append(Fault(number, f"{text} chapter of an EPUB: {name}"))
    if not any(chapters) and not faults:
        faults = [Fault(0, "EPUB without text")]
    yield Chunk(faults=faults)
    if any(chapters):
        yield from in_chunks(rows_of(chapters, _metadata(package), file.unit))


def _package(archive: zipfile.ZipFile) -> tuple[Any, list[str]]:
    """The package document, and the names of the members that make the book, in order."""
    container = parse_xml(_read(archive, "META-INF/container.xml"))
    paths = [e.get("full-path") for e in container.iter() if _name(e) == "rootfile" and e.get("full-path")]
    if not paths:
        raise ValueError("its container names no package document")
    package = parse_xml(_read(archive, paths[0]))
    base = posixpath.dirname(paths[0])
    items = {e.get("id"): e for e in package.iter() if _name(e) == "item"}
    wanted = [items[r] for e in package.iter() if _name(e) == "itemref" and (r := e.get("idref")) in items]
    pages = [e for e in wanted if (e.get("media-type") or "").lower() in PAGE_TYPES and e.get("href")]
    if not pages:
        raise ValueError("its spine lists no chapter")
    return package, [posixpath.normpath(posixpath.join(base, unquote(e.get("href")))) for e in pages]


def _chapter(archive: zipfile.ZipFile, name: str) -> tuple[str] | str:
    """The text of a chapter in a tuple, or what is wrong with it."""
    lxml_html, etree = need("lxml.html", "lxml", "EPUB"), need("lxml.etree", "lxml", "EPUB")
    try:
        markup = decode_page(_read(archive, name))
    except KeyError:
        return "missing"
    except ValueError:
        return "damaged"
    # As HTML: it knows the named characters (&nbsp;), mends what is broken and expands no entities.
    try:
        tree = lxml_html.document_fromstring(
            as_text(markup).encode(), parser=lxml_html.HTMLParser(encoding="utf-8", huge_tree=False)
        )
    except (etree.ParserError, etree.XMLSyntaxError):
        return ("",)
    return (whole_text(tree),)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise KeyError(f"it has no member {name}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # RuntimeError is zipfile's for a locked member, NotImplementedError for a compression that it does not know
        raise ValueError(f"{name} is damaged: {error}") from None


def _encrypted(archive: zipfile.ZipFile) -> set[str]:
    """The members that are encrypted (fonts may be, in books that can be read)."""
    name = "META-INF/encryption.xml"
    if name not in archive.namelist():
        return set()
    root = parse_xml(_read(archive, name))
    return {unquote(e.get("URI", "")) for e in root.iter() if _name(e) == "CipherReference"}


def _metadata(package: Any) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for element in package.iter():
        column = DUBLIN_CORE.get(_name(element) or "")
        if column and "purl.org/dc/" in str(element.tag) and (element.text or "").strip():
            found.setdefault(column, []).append(as_text(element.text))
    return known({name: "; ".join(v) if name == "author" else v[0] for name, v in found.items()})


def _name(element: Any) -> str | None:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else None
