"""E-mail: mailboxes (mbox) and single messages (eml)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any, BinaryIO

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._documents import DOCUMENT_BYTES, as_text, content, known, need, rows_of
from loomwork.data.readers._page import decode_page, page, whole_text

EXTENSIONS = (".mbox", ".eml")
USES = ("trafilatura", "htmldate", "lxml")
HEADER = re.compile(rb"\A\s*[!-9;-~]+:[ \t]")  # a name of printable characters, a colon
QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
SOURCES = {"title": "Subject", "author": "From", "language": "Content-Language"}
LINE_BYTES = 1 << 16


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a message: its text, `title` (the subject), `author`, `date`, and how many `attachments` it has.

    Where there is no plain text, that of the HTML is taken. Attachments themselves are left out. A message without
    text is set aside.

    Source: RFC 5322, RFC 2045 to 2047, RFC 4155 (mbox; lines quoted as in mboxrd).
    """
    if file.extension == ".eml":
        whole = content(file)
        yield from in_chunks(iter([(0, whole)]) if isinstance(whole, Fault) else _rows(whole, 0, file.unit))
    else:
        yield from in_chunks(_mailbox(file))


def _mailbox(file: SourceFile) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    number = 0
    with file.open() as stream:
        for number, message in enumerate(_messages(stream), 1):
            if isinstance(message, Fault):
                yield number, message._replace(place=number)
            else:
                yield from _rows(message, number, file.unit)
    if not number:
        yield 0, Fault(0, "empty file")


def _messages(stream: BinaryIO) -> Iterator[bytes | Fault]:
    """The messages of a mailbox. Each begins with a line "From ..." at the start of the file or after a blank line.

    An error of the stream comes after the messages before it, and ends the one that it is in.
    """
    lines: list[bytes] = []
    size, blank, begun, whole_line = 0, True, False, True
    try:
        while line := stream.readline(LINE_BYTES):
            starts_line, whole_line = whole_line, line.endswith(b"\n")
            if starts_line and blank and line.startswith(b"From "):
                if begun:
                    yield _joined(lines, size)
                lines, size, begun = [], 0, True
            elif begun:
                size += len(line)
                if size <= DOCUMENT_BYTES:
                    lines.append(line)
            elif line.strip(b"\0 \t\r\n"):
                yield Fault(0, 'not a mailbox: it does not begin with a line "From "')
                return
            blank = starts_line and not line.strip(b"\r\n")
    except (OSError, EOFError, ValueError):
        if begun:
            yield Fault(0, "cut off: a message at the end of a damaged mailbox")
        raise
    if begun:
        yield _joined(lines, size)


def _joined(lines: list[bytes], size: int) -> bytes | Fault:
    if size > DOCUMENT_BYTES:
        return Fault(0, f"too large for one document: a message over {DOCUMENT_BYTES >> 20} MB")
    return QUOTED_FROM.sub(rb"\1", b"".join(lines))


def _rows(raw: bytes, place: int, unit: str) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    if not HEADER.match(raw):
        yield place, Fault(place, "not an e-mail: it does not begin with a header")
        return
    try:
        message = BytesParser(policy=policy.default).parsebytes(raw)
        text, attachments = _text(message)
        metadata = {name: _header(message, header) for name, header in SOURCES.items()}
        date = _date(message)
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        yield place, Fault(place, f"damaged e-mail: {type(error).__name__}: {error}")  # the library has such faults
        return
    row = {**known({**metadata, "date": date}), "attachments": attachments}
    if text:
        yield from rows_of(text, row, unit, place)
    else:
        yield place, Fault(place, f"e-mail without text: {row.get('title', 'no subject')}")


def _text(message: EmailMessage) -> tuple[str, int]:
    """The text of a message, and how many attachments it has. Of alternatives the plain one counts."""
    texts, attachments = list[str](), 0
    todo: list[Any] = [message]
    while todo:
        part = todo.pop()
        kind = part.get_content_type()
        if part.is_attachment() or (kind not in ("text/plain", "text/html") and not part.is_multipart()):
            attachments += 1
        elif kind == "multipart/alternative":
            parts = list(part.iter_parts())
            plain = [p for p in parts if p.get_content_type() == "text/plain" and _plain(p).strip()]
            todo += plain[:1] or parts[-1:]
        elif part.is_multipart():
            todo += reversed(list(part.iter_parts()))
        elif found := (_plain(part) if kind == "text/plain" else _html(part)):
            texts.append(found)
    return "\n\n".join(t.strip() for t in texts if t.strip()), attachments


def _plain(part: Any) -> str:
    """The text of a part; of what is not in the encoding that it states, decoded as a page would be."""
    raw = part.get_payload(decode=True) or b""
    return as_text(decode_page(raw, part.get_content_charset() or "")).replace("\r\n", "\n").rstrip()


def _html(part: Any) -> str:
    raw = part.get_payload(decode=True) or b""
    found = page(raw, part.get_content_charset() or "")
    if not isinstance(found, str):
        return str(found["text"])
    lxml_html = need("lxml.html", "lxml", "e-mail")
    markup = as_text(decode_page(raw, part.get_content_charset() or ""))
    return whole_text(lxml_html.fromstring(f"<div>{markup}</div>")) if markup.strip() else ""


def _header(message: EmailMessage, name: str) -> str:
    value = message.get(name)
    return as_text(value).strip() if value is not None else ""


def _date(message: EmailMessage) -> str | None:
    found = getattr(message.get("Date"), "datetime", None)
    return found.isoformat() if isinstance(found, datetime) else None
