"""PDF: the text of a file or of each page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import as_text, known, need, quiet, rows_of

EXTENSIONS = (".pdf",)
USES = ("pypdf",)
LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
BROKEN_WORD = re.compile(r"(?<!\w)([^\W\d_]+)[-\xad\u2010] ?\n([^\W\d_]+)")
NO_TEXT = "PDF without text: it may be scanned images"


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a file, or with unit "page" one a page, with its number in `page`; title, author, date and language.

    An encrypted file that needs a password, and pages that are damaged, are set aside.

    Source: ISO 32000-2:2020 (PDF 2.0).
    """
    pypdf = need("pypdf", "pypdf", "PDF")
    with file.open_seekable() as stream, quiet("pypdf"):
        if not stream.read(1 << 10).strip(b"\0 \t\r\n"):
            yield Chunk(faults=[Fault(0, "empty file")])
            return
        stream.seek(0)
        document = _opened(pypdf, stream)
        pages, metadata, faults = ([], {}, [document]) if isinstance(document, Fault) else _pages(document)
    found = list(rows_of(pages, metadata, file.unit)) if any(p.strip() for p in pages) else []
    if not found and not faults:
        faults = [Fault(0, NO_TEXT)]
    elif found and file.unit == "page":
        damaged = {fault.place for fault in faults}
        empty = (n for n, text in enumerate(pages, 1) if not text.strip() and n not in damaged)
        faults += [Fault(n, f"page without text: {n}") for n in empty]
    yield Chunk(faults=faults)
    yield from in_chunks(iter(found))


def _opened(pypdf: Any, stream: Any) -> Any:
    """The document, or why it cannot be read."""
    try:
        document = pypdf.PdfReader(stream)
        if document.is_encrypted and not document.decrypt(""):
            return Fault(0, "encrypted PDF: it needs a password")
        if not len(document.pages):
            return Fault(0, "not PDF: it has no pages")
    except pypdf.errors.DependencyError as error:
        return Fault(0, f"encrypted PDF: to read it without a password takes more: {error}")
    except Exception as error:  # a damaged file makes the library fail in any way
        return Fault(0, f"not PDF: {type(error).__name__}: {error}")
    return document


def _pages(document: Any) -> tuple[list[str], dict[str, Any], list[Fault]]:
    """The text of each page, what the file says of itself, and the pages that are damaged."""
    pages, faults = [], []
    for number in range(1, len(document.pages) + 1):
        try:
            pages.append(mended(as_text(document.pages[number - 1].extract_text())).strip())
        except Exception as error:  # as above; the other pages may be whole
            faults.append(Fault(number, f"damaged page of a PDF: {type(error).__name__}: {error}"))
            pages.append("")
    try:
        said = document.metadata or {}
        language = document.trailer["/Root"].get("/Lang")
        metadata = known(
            {
                "title": said.get("/Title") and as_text(said["/Title"]),
                "author": said.get("/Author") and as_text(said["/Author"]),
                "date": _date(document),
                "language": language and as_text(language),
            }
        )
    except Exception:  # a damaged description; the text is there
        metadata = {}
    return pages, metadata, faults


def mended(text: str) -> str:
    """A page's text without what typesetting did to words: ligatures, and hyphens at the ends of lines.

    A broken word keeps its hyphen where the page has it with one elsewhere, or where its second half is a name.
    """
    text = text.translate(LIGATURES)
    words = set(re.findall(r"(?<!\w)\w++(?:-\w++)++", text))

    def joined(match: re.Match[str]) -> str:
        first, second = match[1], match[2]
        keeps = f"{first}-{second}" in words or not second[0].islower()
        return f"{first}{'-' if keeps else ''}{second}"

    return BROKEN_WORD.sub(joined, text)


def _date(document: Any) -> str | None:
    try:
        made = document.metadata.creation_date
    except ValueError:
        return None
    return made.isoformat() if isinstance(made, datetime) else None
