"""HTML: the main content of a page, without navigation, advertisements and readers' comments."""

from __future__ import annotations

from collections.abc import Iterator

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import content, rows_of
from loomwork.data.readers._page import page_or_fault

EXTENSIONS = (".html", ".htm", ".xhtml")
USES = ("trafilatura", "htmldate", "lxml")


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a page, with those of title, author, date, licence, language and url that the page says.

    The encoding is that of the byte-order mark, UTF-8 where it fits, what the page declares, or a guess. A page in
    which no text is found is set aside.
    """
    whole = content(file)
    row = whole if isinstance(whole, Fault) else page_or_fault(whole, 0, file.encoding or "")
    if isinstance(row, Fault):
        yield Chunk(faults=[row])
    else:
        text = row.pop("text")
        yield from in_chunks(rows_of(text, row, file.unit, between="\n"))
