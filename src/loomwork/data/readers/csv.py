"""CSV and TSV: the first line names the columns, unless the settings say otherwise."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections import deque
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
WHOLE = r"^(?:-?(?:0|[1-9][0-9]{0,14}))?$"  # 007 and +1 are texts; float64 holds each of these, and of the next
LONG = r"^(?:-?(?:0|[1-9][0-9]{0,18}))?$"  # only some
DECIMAL = r"^(?:-?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?)?$"
NAME_CHARS = 60  # a longer name of a column is rather a value
NAME_WORDS = 10
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
    fields, or bytes that do not decode, are set aside. So is the first line of what is not CSV (a quote that nothing
    closes, text after a closing quote), and reading goes on with the next line.
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
            kinds = ["text" if n in file.as_text else t for n, t in zip(piece.names, types, strict=False)]
            columns = [_typed(c, t) for c, t in zip(piece.columns, kinds, strict=False)]
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
    headless = not file.header if isinstance(file.header, bool) else bool(file.columns)
    header = file.header == "auto" and not headless  # that may be none
    with file.open_utf8() as stream:
        lines = Lines(stream, file.limits.row_bytes, faults, plain=file.extension == ".tsv")
        error, ended, done = None, False, 0
        while not ended:
            lines.place = place = lines.before + lines.reader.line_num + 1
            values: list[str] | None = None
            try:
                values = next(lines.reader, None)
                ended = values is None
            except csv.Error as found:
                faults.append(lines.broken(str(found)))
                ended = not names and not headless
            except (OSError, EOFError, ValueError) as found:
                error, ended = found, not lines.begun()
                if not ended:
                    faults.append(lines.broken("the file breaks off in it"))
            if values and not names:
                names, first = _named(values, file, headless)
                file.named = True
                if len(set(names)) < len(names) or any(map(_undecodable, names)):
                    reason = (
                        "bad header: a column's name is repeated or not UTF-8; give names (columns=[a, b] header=yes) "
                        "or say that there are none: header=no"
                    )
                    faults.append(Fault(place, reason, _joined(values)))
                    ended = True
                values = first
            if values and len(values) != len(names):
                if not lines.unquoted(len(names)):
                    faults.append(Fault(place, _miscounted(len(values), len(names), file), _joined(values)))
                else:
                    faults.append(lines.broken("a quote that runs over further records"))
            elif values:
                rows.append(values)
                places.append(place)
            if ended or len(rows) + len(faults) >= CHUNK_ROWS or lines.size - done >= CHUNK_BYTES:
                columns, good = _columns(rows, places, faults)
                if header and good:
                    file.doubt, header = _doubt(names, columns), False
                if good or faults:
                    yield Piece(names, columns, good, faults[:], lines.size - done)
                rows, places, done = [], [], lines.size
                faults.clear()
        if error:
            raise error


def _named(values: list[str], file: SourceFile, headless: bool) -> tuple[list[str], list[str] | None]:
    """The columns' names, of the first record and the settings, and that record if it is a row."""
    if file.columns:
        names = list(file.columns)
    else:
        names = [f"column_{i}" for i in range(1, len(values) + 1)] if headless else values
    fits = headless or len(values) == len(names)  # a header of another width is set aside like a record
    return names, values if headless or not fits else None


def _doubt(names: list[str], columns: list[pa.Array]) -> str:
    """Why the columns' names look like a row's values, or ""."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(names, columns, strict=False):
        if re.fullmatch(r"[-+]?[0-9][0-9.,]*", name):
            return f"{name!r} is a number"
        if len(name) > NAME_CHARS or len(name.split()) > NAME_WORDS:
            return f"{name[:NAME_CHARS]!r} is a sentence"
        if name and pc.any(pc.equal(column, pa.scalar(name, pa.string()))).as_py():
            return f"{name!r} stands again in the column below it"
    return ""


def _miscounted(found: int, names: int, file: SourceFile) -> str:
    where = f"columns names {names}" if file.columns else f"the header has {names}"
    return f"wrong number of fields: {found} where {where}"


class Block(NamedTuple):
    """Some lines of the text, and the number of the first."""

    first: int
    text: io.StringIO


class Lines:
    """The lines of a text for the csv module, and how many bytes it has taken.

    The lines since the current record's first are kept: after one that is no CSV, reading begins again at its second
    line. What a lone quote has swallowed up to the next one has itself none, so no line is read more than a few times.

    Args:
        stream: the text.
        most: the longest line, in bytes; one that is longer is left out, and a fault.
        faults: where that goes.
        plain: whether there are no quotes, tabs between the fields, and "\r" alone ends no line.
    """

    def __init__(self, stream: Utf8Stream, most: int, faults: list[Fault], *, plain: bool) -> None:
        self._blocks, self._most, self._faults = stream.line_blocks(most), most, faults
        self._newline = "\n" if plain else ""
        self._kept: deque[Block] = deque()
        self._split: tuple[int, list[str]] = (0, [])  # the block looked into last, as lines
        self._again: Iterator[str] = iter(())
        self.size = self.before = 0
        self.place = 1
        self.reader: Any = csv.reader([])
        texts = self._texts()
        first = next(texts, io.StringIO())
        header = first.getvalue().lstrip("\r\n").split("\n", 1)[0]
        delimiter = max(DELIMITERS, key=header.count) if "," not in header else ","
        self._settings: dict[str, Any] = {"delimiter": delimiter, "strict": True}
        if plain:
            self._settings = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
        self._rest = chain.from_iterable(chain([first], texts))
        self.reader = csv.reader(self._rest, **self._settings)

    def begun(self) -> bool:
        """Whether lines of a record have been taken."""
        return bool(self.before + self.reader.line_num >= self.place)

    def broken(self, why: str) -> Fault:
        """The current record as a fault: its first line. Its other lines are read again."""
        first, *others = self._taken()
        if others:
            self._again = chain(others, list(self._again))
            self.before = self.place
            self.reader = csv.reader(chain(self._again, self._rest), **self._settings)
            why += f"; of its {len(others) + 1} lines the first is set aside, the others are read anew"
        return Fault(
            self.place,
            f"not CSV: {why}",
            first.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        )

    def unquoted(self, width: int) -> bool:
        """Whether most lines of the current record after its first are records of that many fields themselves."""
        if self.before + self.reader.line_num == self.place:
            return False
        others = self._taken()[1:]
        good = 0
        for line in others:
            with contextlib.suppress(csv.Error):
                good += len(next(csv.reader([line], **self._settings), ())) == width
        return good * 2 > len(others)

    def _forget(self) -> None:
        """Let the blocks go that end before the current record."""
        while len(self._kept) > 1 and self._kept[1].first <= self.place:
            self._kept.popleft()

    def _taken(self) -> list[str]:
        """The lines of the current record."""
        last = self.before + self.reader.line_num
        found: list[str] = []
        self._forget()
        for block in self._kept:
            if block.first <= last:
                if self._split[0] != block.first:
                    self._split = block.first, list(io.StringIO(block.text.getvalue(), newline=self._newline))
                found += self._split[1][max(self.place - block.first, 0) : last + 1 - block.first]
        return found

    def _texts(self) -> Iterator[io.StringIO]:
        for number, content, length in self._blocks:
            self.size += length
            if length > len(content):
                self._faults.append(too_large(number, content, self._most))
                yield self._keep("\n")
            else:  # what does not decode comes as lone surrogates, so that it does not end the file
                content = self._short(number, content) if length > self._most else content
                yield self._keep(content.decode("utf-8", "surrogateescape"))

    def _keep(self, text: str) -> io.StringIO:
        self._forget()
        # all before it has been taken: the csv module asks for it
        self._kept.append(Block(self.before + self.reader.line_num + 1, io.StringIO(text, newline=self._newline)))
        return self._kept[-1].text

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
    """The narrowest kind that fits this column and those before it: "whole", "long", "decimal" or "text".

    What is no number to count with but a name stays as it is written: one with leading zeros, or of more digits than
    its type holds.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def every(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(column, pattern), min_count=0).as_py())

    if kind == "text" or (kind == "whole" and every(WHOLE)):
        return kind
    if kind in ("whole", "long") and every(LONG):
        try:
            _typed(column, "long")
        except pa.ArrowInvalid:
            return "text"
        return "long"
    names = pc.any(pc.match_substring_regex(column, rf"{LEADING_ZERO}|^-?[0-9]{{16}}"), min_count=0).as_py()
    return "decimal" if kind != "long" and every(DECIMAL) and not names else "text"


def _typed(column: pa.Array, kind: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "text":
        return column
    filled = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return filled.cast(pa.float64() if kind == "decimal" else pa.int64())
