"""Word documents (.docx): paragraphs, headings, lists and tables in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import Unsafe, as_text, known, need, open_zip, rows_of

EXTENSIONS = (".docx", ".docm")
USES = ("python-docx", "lxml")
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
CORE = "/docProps/core.xml"
OLE = b"\xd0\xcf\x11\xe0"  # an encrypted document is wrapped in this older format
LEFT_OUT = {FALLBACK, *(WORD + n for n in ("del", "moveFrom", "pPr", "rPr", "tblPr", "trPr", "tcPr", "sectPr"))}
SIGNS = {WORD + "tab": "\t", WORD + "br": "\n", WORD + "cr": "\n", WORD + "noBreakHyphen": "-"}


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a document, with title, author, date and language; "- " before items of lists, a line a row of a table.

    Insertions that are not accepted yet count, deletions do not. Headers, footers, footnotes and comments are left out.

    Source: ECMA-376 part 1 (WordprocessingML).
    """
    docx = need("docx", "python-docx", "Word documents")
    with file.open_seekable() as stream:
        begin = stream.read(4)
        stream.seek(0)
        if begin == OLE:
            yield Chunk(faults=[Fault(0, "encrypted Word document, or one of Word 97 to 2003: save it as .docx")])
            return
        if not begin:
            yield Chunk(faults=[Fault(0, "empty file")])
            return
        try:
            open_zip(stream, file)
        except Unsafe as error:
            yield Chunk(faults=[Fault(0, str(error))])  # it says "refused"
            return
        except ValueError as error:
            yield Chunk(faults=[Fault(0, f"not a Word document: {error}")])
            return
        stream.seek(0)
        try:
            document = docx.Document(stream)
            blocks = list(_blocks(document.element.body, _list_styles(document)))
            told = any(part.partname == CORE for part in document.part.package.iter_parts())
            metadata = _metadata(document.core_properties) if told else {}  # python-docx makes some up
        except Exception as error:  # zip, XML and the library fail in many ways
            yield Chunk(faults=[Fault(0, f"not a Word document: {type(error).__name__}: {error}")])
            return
    text = re.sub(r"\n{3,}", "\n\n", as_text("".join(blocks))).strip()
    if not text:
        yield Chunk(faults=[Fault(0, "Word document without text")])
        return
    yield from in_chunks(rows_of(text, metadata, file.unit))


def _blocks(body: Any, lists: set[str]) -> Iterator[str]:
    """The blocks below an element, each with the space after it."""
    for element in body:
        if element.tag == WORD + "p":
            text = _text(element).strip()
            item = _is_item(element, lists)
            if text:
                yield ("- " if item else "") + text + ("\n" if item else "\n\n")
            for box in element.iter(WORD + "txbxContent"):
                if not any(above.tag == FALLBACK for above in box.iterancestors()):
                    yield from _blocks(box, lists)
        elif element.tag == WORD + "tbl":
            rows = [_cells(row, lists) for row in element.iter(WORD + "tr") if _table_of(row) is element]
            yield "".join(f"| {' | '.join(cells)} |\n" for cells in rows if any(cells)) + "\n"
        elif element.tag not in LEFT_OUT:
            yield from _blocks(element, lists)  # content controls, insertions, and whatever else wraps blocks


def _cells(row: Any, lists: set[str]) -> list[str]:
    cells = (cell for cell in row.iter(WORD + "tc") if next(cell.iterancestors(WORD + "tr")) is row)
    return [" ".join("".join(_blocks(cell, lists)).split()) for cell in cells]


def _table_of(row: Any) -> Any:
    return next(row.iterancestors(WORD + "tbl"))


def _text(paragraph: Any) -> str:
    """The text of a paragraph as it stands after all insertions and deletions."""
    parts: list[str] = []
    todo = list(reversed(paragraph))
    while todo:
        element = todo.pop()
        if element.tag in LEFT_OUT or element.tag == WORD + "txbxContent":
            continue
        if element.tag == WORD + "t":
            parts.append(element.text or "")
        elif element.tag in SIGNS:
            parts.append(SIGNS[element.tag])
        else:
            todo += reversed(element)
    return "".join(parts)


def _list_styles(document: Any) -> set[str]:
    """The ids of the styles of list items."""
    return {style.style_id for style in document.styles if (style.name or "").startswith("List ")}


def _is_item(paragraph: Any, lists: set[str]) -> bool:
    style = paragraph.find(f"{WORD}pPr/{WORD}pStyle")
    if style is not None and style.get(WORD + "val") in lists:
        return True
    numbered = paragraph.find(f"{WORD}pPr/{WORD}numPr")
    return numbered is not None and not (style is not None and style.get(WORD + "val", "").startswith("Heading"))


def _metadata(properties: Any) -> dict[str, Any]:
    date = properties.created or properties.modified
    return known(
        {
            "title": as_text(properties.title or ""),
            "author": as_text(properties.author or ""),
            "date": date.isoformat() if date else None,
            "language": as_text(properties.language or ""),
        }
    )
