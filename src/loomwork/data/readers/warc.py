"""WARC web archives: the main content of each page of HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import DOCUMENT_BYTES, as_text, need, rows_of
from loomwork.data.readers._page import page_or_fault

EXTENSIONS = (".warc",)
USES = ("fastwarc", "trafilatura", "htmldate", "lxml")
PAGE_TYPES = ("text/html", "application/xhtml+xml")
NOT_PAGES = ("warcinfo", "request", "metadata")  # they describe pages, and hold none


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row for each response or resource that is HTML, with `url`, `crawl_date` and what the page says of itself.

    `date` is that of the page, `crawl_date` that of the record. What describes other records (warcinfo, requests,
    metadata) gives no row; records of other types, statuses other than 200 and pages without text are set aside.

    Source: ISO 28500:2017 (WARC 1.1).
    """
    yield from in_chunks(_records(file))


def _records(file: SourceFile) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    warc = need("fastwarc.warc", "fastwarc", "WARC")
    number = given = 0
    with file.open() as opened:
        stream = _Guarded(opened)
        if not stream.begin.lstrip(b"\r\n").startswith(b"WARC/"):
            yield 0, Fault(0, "not WARC: it does not begin with WARC/" if stream.begin else "empty file")
            return
        try:
            for record in warc.ArchiveIterator(stream, parse_http=False, stream_detect=False):
                number += 1
                found = _row(record, number)
                if stream.error:
                    break
                given += found is not None
                if isinstance(found, Fault):
                    yield number, found
                elif found is not None:
                    yield from rows_of(found.pop("text"), found, file.unit, number, between="\n")
        except OSError as error:
            number, given = number + 1, given + 1
            yield number, Fault(number, f"damaged WARC: {error}; what follows was not read")
        if stream.error:
            raise stream.error
    if number and not given:
        yield 0, Fault(0, "WARC without pages: it has only requests and descriptions")


class _Guarded:
    """A stream whose first bytes were looked at, and whose errors wait: fastwarc ends the process on some of them."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._place = stream, 0
        self.begin = self._left = stream.read(64)
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        given, self._left = self._left, b""
        if not given and not self.error:
            try:
                given = self._stream.read(size)
            except (OSError, EOFError, ValueError) as error:
                self.error = error
        self._place += len(given)
        return bytes(given)

    def tell(self) -> int:
        return self._place


def _row(record: Any, number: int) -> dict[str, Any] | Fault | None:
    """A record's page, why it is none, or None for a record that is about others."""
    kind = record.headers.get("WARC-Type") or "unknown"
    url = as_text(record.headers.get("WARC-Target-URI") or "").strip("<>")
    if kind in NOT_PAGES:
        return None
    if kind not in ("response", "resource", "conversion"):
        return Fault(number, f"WARC record of type {kind}: {url}")
    if record.content_length > DOCUMENT_BYTES:
        return Fault(number, f"too large for one document: over {DOCUMENT_BYTES >> 20} MB: {url}")
    stated = record.content_length
    record.freeze()  # reads the record, of which there may be less than its header says
    if record.content_length < stated:
        return Fault(number, f"cut off: {record.content_length} of {stated} bytes of a record: {url}")
    said, media = "", (record.headers.get("Content-Type") or "").split(";")[0].strip().lower()
    if kind == "response":
        if not record.is_http:
            return Fault(number, f"WARC response that is not HTTP: {url}")
        try:
            record.parse_http(auto_decode="all")
        except (OSError, ValueError) as error:
            return Fault(number, f"damaged HTTP response: {error}: {url}")
        status = record.http_headers.status_code if record.http_headers is not None else None
        if status != 200:
            return Fault(number, f"HTTP status {status}: {url}")
        media = (record.http_content_type or "").lower()
        said = record.http_charset or ""
    if media not in PAGE_TYPES:
        return Fault(number, f"not HTML: {media or 'no stated type'}: {url}")
    try:
        content = record.reader.read(DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:
        return Fault(number, f"damaged HTTP body: {error}: {url}")
    if len(content) > DOCUMENT_BYTES:
        return Fault(number, f"too large for one document: over {DOCUMENT_BYTES >> 20} MB: {url}")
    row = page_or_fault(content, number, said, url)
    if isinstance(row, Fault):
        return row
    crawled = record.headers.get("WARC-Date")
    return row | ({"crawl_date": as_text(crawled)} if crawled else {})
