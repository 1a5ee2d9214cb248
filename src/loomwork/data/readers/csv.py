"""CSV and TSV: the first line names the columns."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from itertools import chain, compress, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from loomwork.data.readers import CHUNK_BYTES, Chunk, Fault, SourceFile
from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers.text import too_large

if TYPE_CHECKING:
    import pyarrow as pa

EXTENSIONS = (".csv", ".tsv")
CHUNK_ROWS = 1 << 13
KEPT_BYTES = 64 << 20  # a file of less is parsed once
DELIMITERS = ",;\t|"
WHOLE = r"^(?:-?(?:0|[1-9][0-9]{0,17}))?$"  # 007 and +1 are texts
DECIMAL = r"^(?:-?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?)?$"
LEADING_ZERO = r"^-?0[0-9]"


class Piece(NamedTuple):
    """Some records: the columns' names, their fields by column, as texts, the lines where they begin, and faults."""

    names: list[str]
    columns: list[pa.Array]
    places: list[int]
    faults: list[Fault]
    size: int  # in bytes


def read(file: SourceFile) -> Iterator[Chunk]:
    """One row a record; a column in which every value is a number is numeric, an empty field in it is null.

    A large file is read twice: once for the columns' types. CSV has RFC 4180 quotes, and ";", tabs or "|" for commas
    if the header has them and no comma; TSV has no quotes, a tab is always a border. Records with too few or too many
    fields, or bytes that do not decode, are set aside.
    """
    import pyarrow as pa

    types: list[str] = []
    kept: list[Piece] | None = []
    size, error = 0, None
    try:
        for piece in _pieces(file):
            types = [_narrowed(t, c) for t, c in zip(types or repeat("whole"), piece.columns, strict=False)] or types
            size += piece.size
            kept = kept if size <= KEPT_BYTES else None
            if kept is not None:
                kept.append(piece)
    except (OSError, EOFError, ValueError) as found:
        error = found
    with contextlib.suppress(OSError, EOFError, ValueError):  # the same as before
        for piece in _pieces(file) if kept is None else kept:
            columns = [_typed(c, t) for c, t in zip(piece.columns, types, strict=False)]
            yield Chunk(pa.table(columns, names=piece.names) if columns else [], piece.places, piece.faults)
    if error:
        raise error


def _pieces(file: SourceFile) -> Iterator[Piece]:
    """The records, some at a time. An error of the stream comes after what was read before it."""
    csv.field_size_limit(min(file.limits.row_bytes, (1 << 31) - 1))
    faults: list[Fault] = []
    rows: list[list[str]] = []
    places: list[int] = []
    names: list[str] = []
    with file.open_utf8() as stream:
        lines = Lines(stream, file.limits.row_bytes, faults, universal=file.extension != ".tsv")
        reader = lines.tsv() if file.extension == ".tsv" else lines.csv()
        error, ended, done = None, False, 0
        while not ended:
            place = reader.line_num + 1
            values: list[str] | None = None
            try:
                values = next(reader, None)
                ended = values is None
            except csv.Error as found:
                faults.append(Fault(place, f"not CSV: {found}; what follows was not read"))
                ended = True
            except (OSError, EOFError, ValueError) as found:
                error, ended = found, True
            if values and not names:
                names = values
                if len(set(names)) < len(names) or any(map(_undecodable, names)):
                    faults.append(Fault(place, "bad header: a column's name is repeated or not UTF-8"))
                    ended = True
            elif values and len(values) != len(names):
                reason = f"wrong number of fields: {len(values)} where the header has {len(names)}"
                faults.append(Fault(place, reason, _joined(values)))
            elif values:
                rows.append(values)
                places.append(place)
            if ended or len(rows) + len(faults) >= CHUNK_ROWS or lines.size - done >= CHUNK_BYTES:
                columns, good = _columns(rows, places, faults)
                if good or faults:
                    yield Piece(names, columns, good, faults[:], lines.size - done)
                rows, places, done = [], [], lines.size
                faults.clear()
        if error:
            raise error


class Lines:
    """The lines of a text for the csv module, and how many bytes it has taken.

    Args:
        stream: the text.
        most: the longest line, in bytes; one that is longer is left out, and a fault.
        faults: where that goes.
        universal: whether "\r" alone ends a line, too.
    """

    def __init__(self, stream: Utf8Stream, most: int, faults: list[Fault], *, universal: bool) -> None:
        self._blocks, self._most, self._faults = stream.line_blocks(most), most, faults
        self._newline = "" if universal else "\n"
        self.size = 0

    def tsv(self) -> Any:
        return csv.reader(chain.from_iterable(self._texts()), delimiter="\t", quoting=csv.QUOTE_NONE)

    def csv(self) -> Any:
        texts = self._texts()
        first = next(texts, io.StringIO())
        header = first.getvalue().lstrip("\r\n").split("\n", 1)[0]
        delimiter = max(DELIMITERS, key=header.count) if "," not in header else ","
        return csv.reader(chain.from_iterable(chain([first], texts)), delimiter=delimiter, strict=True)

    def _texts(self) -> Iterator[io.StringIO]:
        for number, content, length in self._blocks:
            self.size += length
            if length > len(content):
                self._faults.append(too_large(number, content, self._most))
                yield io.StringIO("\n")
            else:  # what does not decode comes as lone surrogates, so that it does not end the file
                content = self._short(number, content) if length > self._most else content
                yield io.StringIO(content.decode("utf-8", "surrogateescape"), newline=self._newline)

    def _short(self, number: int, content: bytes) -> bytes:
        """Some lines, those that are too long left empty."""
        lines = content.split(b"\n")
        for i, line in enumerate(lines):
            if len(line) > self._most:
                self._faults.append(too_large(number + i, line, self._most))
                lines[i] = b""
        return b"\n".join(lines)


def _columns(rows: list[list[str]], places: list[int], faults: list[Fault]) -> tuple[list[pa.Array], list[int]]:
    """The columns of the records that decode, and where these begin; the others become faults."""
    import pyarrow as pa

    try:
        return [pa.array(column, pa.string()) for column in zip(*rows, strict=True)], places
    except UnicodeEncodeError:
        good = [not any(map(_undecodable, row)) for row in rows]
    for row, place, fine in zip(rows, places, good, strict=True):
        if not fine:
            faults.append(Fault(place, "not UTF-8: a field of the record, and no other encoding fits", _joined(row)))
    fine_rows = list(compress(rows, good))
    return [pa.array(c, pa.string()) for c in zip(*fine_rows, strict=True)], list(compress(places, good))


def _undecodable(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text)


def _joined(values: list[str]) -> str:
    return "\t".join(values).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _narrowed(kind: str, column: pa.Array) -> str:
    """The narrowest kind that fits this column and those before it: "whole", "decimal" or "text"."""
    import pyarrow.compute as pc

    def every(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(column, pattern), min_count=0).as_py())

    if kind == "text" or (kind == "whole" and every(WHOLE)):
        return kind
    zeros = pc.any(pc.match_substring_regex(column, LEADING_ZERO), min_count=0).as_py()
    return "decimal" if every(DECIMAL) and not zeros else "text"


def _typed(column: pa.Array, kind: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "text":
        return column
    filled = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return filled.cast(pa.int64() if kind == "whole" else pa.float64())
