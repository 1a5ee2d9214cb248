"""CSV and TSV: the first line names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks

EXTENSIONS = (".csv", ".tsv")
FIELD_BYTES = 1 << 27
WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")  # 007 and +1 are texts
DECIMAL = re.compile(r"-?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")
LEADING_ZERO = re.compile(r"-?0\d")


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a record; a column in which every value is a number is numeric, an empty field in it is null.

    The file is read twice: once for the columns' types. CSV has RFC 4180 quotes; TSV has none, a tab is always a
    border. Records with too few or too many fields, or bytes that are not UTF-8, are set aside.
    """
    kinds: list[Callable[[str], Any]] | None = None
    for _, record in _records(file):
        if not isinstance(record, Fault):
            kinds = [_narrowed(k, v) for k, v in zip(kinds or [_whole] * len(record), record.values(), strict=True)]
    yield from in_chunks(_typed(file, kinds or []))


def _typed(file: SourceFile, kinds: list[Callable[[str], Any]]) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    for place, record in _records(file):
        if isinstance(record, Fault):
            yield place, record
        else:
            yield place, {name: kind(value) for (name, value), kind in zip(record.items(), kinds, strict=True)}


def _records(file: SourceFile) -> Iterator[tuple[int, dict[str, str] | Fault]]:
    csv.field_size_limit(FIELD_BYTES)
    tabs = file.extension == ".tsv"
    with file.open() as stream:
        # Bytes that are not UTF-8 come as lone surrogates, so that one of them does not end the file.
        lines = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="\n" if tabs else "")
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines, strict=True)
        names: list[str] | None = None
        while True:
            place = reader.line_num + 1
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield place, Fault(place, f"not CSV: {error}; what follows was not read")
                return
            if values is None:
                return
            if not values:
                continue
            if names is None:
                names = values
                if len(set(names)) < len(names) or any(_undecodable(n) for n in names):
                    yield place, Fault(place, "bad header: a column's name is repeated or not UTF-8")
                    return
            elif len(values) != len(names):
                reason = f"wrong number of fields: {len(values)} where the header has {len(names)}"
                yield place, Fault(place, reason, _shown(values))
            elif any(map(_undecodable, values)):
                yield place, Fault(place, "not UTF-8: a field of the record", _shown(values))
            else:
                yield place, dict(zip(names, values, strict=True))


def _undecodable(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text)


def _shown(values: list[str]) -> str:
    joined = "\t".join(values)
    return joined.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _decimal(text: str) -> float | None:
    return float(text) if text else None


def _narrowed(kind: Callable[[str], Any], text: str) -> Callable[[str], Any]:
    """The narrowest kind that fits this value and those before it."""
    if kind is str or not text:
        return kind
    if kind is _whole and WHOLE.fullmatch(text):
        return kind
    return _decimal if DECIMAL.fullmatch(text) and not LEADING_ZERO.match(text) else str
