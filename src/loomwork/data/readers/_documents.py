"""What the readers of documents share: bytes up to a limit, rows of a document's text, XML that cannot attack."""

from __future__ import annotations

import importlib
import logging
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from loomwork.core.errors import MissingDependency
from loomwork.data.readers import Fault, SourceFile
from loomwork.data.readers._unpacked import SMALL_BYTES

DOCUMENT_BYTES = 64 << 20  # of one page of HTML or one mail: parsers hold many times as much in memory
BLANK = re.compile(r"\n[ \t]*\n\s*")
ENTITIES = "refused: the XML declares entities, which can make a small file huge or read other files"


class Unsafe(ValueError):
    """A document that could be an attack."""


def need(package: str, name: str, format_name: str) -> Any:
    """Import an optional library.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name and package.startswith(error.name):
            raise MissingDependency(f"reading {format_name}", name, "readers") from None
        raise


def content(file: SourceFile, most: int = DOCUMENT_BYTES) -> bytes | Fault:
    """All bytes of a file, or why there are none: it is empty, or larger than `most` and the file's own limit."""
    most = min(most, file.limits.row_bytes)
    parts, size = [], 0
    with file.open() as stream:
        while size <= most and (part := stream.read(min(1 << 20, most + 1 - size))):
            parts.append(part)
            size += len(part)
    if size > most:
        return Fault(0, f"too large for one document: over {most >> 20} MB")
    whole = b"".join(parts)
    return whole if whole.strip(b"\0 \t\r\n") else Fault(0, "empty file")


def known(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that is there: texts without surrounding space, nothing empty."""
    tidy = {name: " ".join(v.split()) if isinstance(v, str) else v for name, v in metadata.items()}
    return {name: value for name, value in tidy.items() if value not in (None, "")}


def rows_of(
    text: str | Sequence[str], metadata: Mapping[str, Any], unit: str, first: int = 0, *, between: str = "\n\n"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of one document.

    Args:
        text: of the document, or of each of its pages.
        metadata: further columns, the same for each row.
        unit: "file": one row; "page": a row a page that has text, with its number in `page`, or one row where there
            are no pages; "paragraph"; "line".
        first: the document's place in the file; if it is the whole file, a row's place is its number in the document.
        between: what stands between paragraphs: a blank line, or only a line's end.
    """
    if unit == "page" and not isinstance(text, str):
        for number, page in enumerate(text, 1):
            if page.strip():
                yield first or number, {"text": page, "page": number, **metadata}
        return
    whole = text if isinstance(text, str) else "\n\n".join(page for page in text if page.strip())
    if unit in ("file", "page"):
        yield first, {"text": whole, **metadata}
        return
    pieces = BLANK.split(whole) if unit == "paragraph" and between == "\n\n" else whole.split("\n")
    for number, piece in enumerate((p for p in pieces if p.strip()), 1):
        yield first or number, {"text": piece.strip("\n"), **metadata}


def as_text(value: object) -> str:
    """A text that can be stored: characters that are no text (NUL, lone surrogates) are left out."""
    return re.sub("[\0\ud800-\udfff]", "", str(value))


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep libraries from printing warnings: what they could not read is counted instead."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def open_zip(stream: BinaryIO, file: SourceFile) -> zipfile.ZipFile:
    """A document that is a zip of XML, refused where it unpacks to too much.

    Raises:
        ValueError: it is no zip, or damaged.
        Unsafe: the members that it lists are too large.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError) as error:  # zipfile's for a version that it does not know
        raise ValueError(f"not a zip archive, which such documents are: {error}") from None
    packed = sum(member.compress_size for member in archive.infolist())
    total = sum(member.file_size for member in archive.infolist())  # zipfile reads no more of a member than this
    most = min(file.limits.unpacked_bytes, max(SMALL_BYTES, int(packed * file.limits.ratio)))
    if total > most:
        raise Unsafe(
            f"refused: an archive bomb, or as good as one: {packed} bytes unpack to {total}; max_ratio= allows more"
        )
    return archive


def parse_xml(content: bytes) -> Any:
    """The root of a small XML document, read without entities, DTD files and network.

    Raises:
        ValueError: it is not XML.
        Unsafe: it declares entities.
    """
    etree = need("lxml.etree", "lxml", "XML")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not XML: {error}") from None
    refuse_entities(root)
    return root


def refuse_entities(element: Any) -> None:
    """Refuse the document of an element if it declares entities.

    Raises:
        Unsafe: it does.
    """
    info = element.getroottree().docinfo
    for dtd in (info.internalDTD, info.externalDTD):
        if dtd is not None and any(True for _ in dtd.iterentities()):
            raise Unsafe(ENTITIES)
