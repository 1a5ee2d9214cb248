"""Rows as readers give them, written with where they stood; those that do not fit are set aside."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import MAIN, OURS, DatasetWriter
from loomwork.core.tables import given_names
from loomwork.data._messages import one_form
from loomwork.data._rows import set_aside
from loomwork.data.readers import FAULT_CHARS, Chunk, Fault, SourceFile

if TYPE_CHECKING:
    import pyarrow as pa

OWN_NAMES = ("source", *OURS)
HALF_PAIR = re.compile("[\ud800-\udfff]")
ANOTHER = "another type"  # the reason
MIXED_SHARE = 0.01  # of the rows; with more of them set aside for their types, a column is one of texts
LARGEST = 2**63 - 1
EXACT = 2**53  # float64 holds each whole number up to it
SHOWN_DIGITS = 40
TYPE_ERRORS = (TypeError, ValueError, OverflowError)  # Arrow's own errors are among them


class RowWriter:
    """Writes chunks of rows; every column keeps the type that its first values have, or a wider one.

    Args:
        writer: the step's writer.
        as_text: columns whose values become texts, whatever they are.
    """

    def __init__(self, writer: DatasetWriter, as_text: Sequence[str] = ()) -> None:
        import pyarrow as pa

        self._writer, self._schema = writer, pa.schema([])
        self.first: dict[str, str] = {}  # by reason, where it was met first, and what was wrong
        # by column, how many rows have a value of another type than its first ones
        self.clashing: Counter[str] = Counter()
        self._given: dict[str, str] = {}  # the name that a column has in the file, by the one that it gets
        self._nested: set[str] = set()  # of these columns, those with lists or objects
        self.missing = set(as_text)  # of `as_text`, what no row had
        self._as_text = frozenset(as_text)
        self._large: set[str] = set()  # columns of whole numbers that float64 does not hold

    def mixed(self) -> list[str]:
        """Columns, as files name them, for whose types too many rows were set aside, but for lists and objects."""
        few = MIXED_SHARE * (self._writer.reasons[ANOTHER] + self._writer.counts[MAIN])
        found = [self._given[name] for name, rows in self.clashing.items() if rows > few and name not in self._nested]
        return [name for name in dict.fromkeys(found) if name not in self._as_text]

    @property
    def names(self) -> list[str]:
        """The columns of the rows so far, but for those that reading adds."""
        return [name for name in self._schema.names if name not in OWN_NAMES]

    def write(self, chunk: Chunk, file: SourceFile) -> None:
        """Write the rows of a chunk and set its faults aside."""
        import pyarrow as pa

        given = self._with_texts(chunk.rows) if self._as_text else chunk.rows
        rows, places, mixed = one_form(given, chunk.places, self._schema)
        faults = chunk.faults + mixed
        if len(rows):
            try:
                table = self._renamed(rows if isinstance(rows, pa.Table) else as_table(rows))
            except TYPE_ERRORS:
                table, places, unfit = self._row_by_row(rows, places)
                faults += unfit
            table, places, unfit = self._held(table, places, self._schema)
            faults += unfit
            try:
                self._schema = _wider(self._schema, table.schema)
            except TYPE_ERRORS:
                table, places, unfit = self._fitting(table, places)
                faults += unfit
            if len(table):
                table = table.append_column("source", _sources(file.name, places))
                if file.found_encoding != "utf-8" and "encoding" not in table.column_names:
                    table = table.append_column("encoding", pa.repeat(file.found_encoding, len(table)))
                self._writer.write(table)
        for fault in faults:
            reason, _, detail = fault.reason.partition(":")
            self.first.setdefault(reason, f"{file.name}{f':{fault.place}' if fault.place else ''}: {detail.strip()}")
        set_aside(self._writer, [_dropped(file.name, fault) for fault in faults])

    def _renamed(self, table: pa.Table) -> pa.Table:
        """Columns with names of ours get a prefix; of two with one name the second gets a number."""
        new = given_names(_numbered(table.column_names), OWN_NAMES)
        self._given.update(zip(new, table.column_names, strict=True))
        return table.rename_columns(new)

    def _with_texts(self, rows: Any) -> Any:
        """The rows with the columns of `as_text` as texts; null stays null."""
        import pyarrow as pa

        if isinstance(rows, pa.Table):
            for at, field in enumerate(rows.schema):
                if field.name in self._as_text:
                    self.missing.discard(field.name)
                    rows = rows.set_column(at, field.name, _text_column(rows.column(at)))
            return rows
        self.missing -= {name for row in rows for name in row}
        return [row | {n: _as_text(row[n]) for n in self._as_text & row.keys()} for row in rows]

    def _row_by_row(
        self, rows: Sequence[dict[str, Any]], places: Sequence[int]
    ) -> tuple[pa.Table, list[int], list[Fault]]:
        """The rows whose values have the types of those before them, their places, and why the others have not."""
        import pyarrow as pa

        tables, kept, faults = [], [], []
        schema = self._schema
        for row, place in zip(rows, places, strict=True):
            try:
                table, fits, unfit = self._held(self._renamed(as_table([row])), [place], schema)
                if not fits:
                    faults += unfit
                    continue
                self._note_clashes(schema, table.schema)
                schema = _wider(schema, table.schema)
            except TYPE_ERRORS as error:
                why = next(_unstorable(row), f"another type: {error}")
                faults.append(Fault(place, why, json.dumps(row, default=str)))
            else:
                tables.append(table)
                kept.append(place)
        return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({}), kept, faults

    def _held(
        self, table: pa.Table, places: Sequence[int], schema: pa.Schema
    ) -> tuple[pa.Table, Sequence[int], list[Fault]]:
        """The rows whose numbers and times the types of their columns hold as they are, and why the others do not go.

        Unifying types asks what goes together in general: whole numbers and decimals do, but not those beyond 2^53.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.types as t

        original, unfit, why = table, pa.repeat(False, len(table)), ""
        for at, field in enumerate(table.schema):
            if not (t.is_integer(field.type) or t.is_floating(field.type) or t.is_timestamp(field.type)):
                continue
            known = schema.field(field.name).type if field.name in schema.names else None
            column = table.column(at).combine_chunks()
            fits, column, said = _as_held(column, known, large=field.name in self._large)
            if fits is not None:
                unfit, why = pc.or_(unfit, pc.invert(fits)), why or f"{said}: in {field.name!r}"
                self.clashing[field.name] += fits.false_count
                column = pc.if_else(fits, column, pa.scalar(None, column.type))
            if t.is_integer(column.type) and _has_large(column):
                self._large.add(field.name)
            if column.type != field.type or fits is not None:
                table = table.set_column(at, field.name, column)
        if not why:
            return table, places, []
        return self._apart(original, table, places, unfit, why)

    @staticmethod
    def _apart(
        original: pa.Table, table: pa.Table, places: Sequence[int], unfit: pa.Array, why: str
    ) -> tuple[pa.Table, list[int], list[Fault]]:
        """The rows that fit, their places, and the others as they were given, as faults."""
        import pyarrow.compute as pc

        gone = pc.indices_nonzero(unfit).to_pylist()
        faults = [
            Fault(places[i], f"another type: {why}", json.dumps(row, default=str))
            for i, row in zip(gone, original.take(gone).to_pylist(), strict=True)
        ]
        kept = [p for p, out in zip(places, unfit.to_pylist(), strict=True) if not out]
        return table.filter(pc.invert(unfit)), kept, faults

    def _note_clashes(self, schema: pa.Schema, other: pa.Schema) -> None:
        import pyarrow as pa

        for field in other:
            if field.name in schema.names:
                try:
                    _wider(pa.schema([schema.field(field.name)]), pa.schema([field]))
                except TYPE_ERRORS:
                    self._clash(schema.field(field.name), field, 1)

    def _clash(self, known: pa.Field, other: pa.Field, rows: int) -> None:
        import pyarrow as pa

        self.clashing[known.name] += rows
        if pa.types.is_nested(known.type) or pa.types.is_nested(other.type):
            self._nested.add(known.name)

    def _fitting(self, table: pa.Table, places: Sequence[int]) -> tuple[pa.Table, list[int], list[Fault]]:
        """The rows that are null in the columns whose type is another than before."""
        import pyarrow as pa
        import pyarrow.compute as pc

        original, unfit, why = table, pa.repeat(False, len(table)), ""
        for at, field in enumerate(table.schema):
            try:
                self._schema = _wider(self._schema, pa.schema([field]))
            except TYPE_ERRORS as error:
                self._clash(self._schema.field(field.name), field, len(table) - table.column(at).null_count)
                unfit = pc.or_(unfit, table.column(at).is_valid().combine_chunks())
                why = why or str(error)
                kind = self._schema.field(field.name)
                table = table.set_column(at, kind, pa.nulls(len(table), kind.type))
        return self._apart(original, table, places, unfit, why)


def _as_held(column: pa.Array, known: pa.DataType | None, *, large: bool) -> tuple[pa.Array | None, pa.Array, str]:
    """Which values a column's type holds as they are, the column in that type, and what is wrong with the others.

    Args:
        column: new values.
        known: the type of those before; None where there are none.
        large: those before are whole numbers beyond 2^53.

    Returns: booleans, None where all values fit.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if kind == pa.uint64():
        fits = pc.fill_null(pc.less_equal(column, pa.scalar(LARGEST, kind)), True)
        if not pc.all(fits, min_count=0).as_py():
            held = pc.if_else(fits, column, pa.scalar(None, kind)).cast(pa.int64())
            return fits, held, "an integer beyond 64 bits"
        column, kind = column.cast(pa.int64()), pa.int64()
    if known is None:
        return None, column, ""
    if pa.types.is_integer(kind) and pa.types.is_floating(known) and _has_large(column):
        fits = pc.fill_null(pc.less_equal(pc.abs_checked(pc.max_element_wise(column, -LARGEST)), EXACT), True)
        return fits, column, f"a whole number beyond {EXACT}, where others are decimals"
    if pa.types.is_floating(kind) and pa.types.is_integer(known) and large:
        return column.is_null(), column, f"a decimal, where others are whole numbers beyond {EXACT}"
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(known) and kind != known and kind.tz == known.tz:
        try:
            return None, column.cast(known), ""
        except pa.ArrowInvalid:
            there = [_time_fits(value, known) for value in column]
            fits = pa.array(there)
            return (
                fits,
                pc.if_else(fits, column, pa.scalar(None, kind)).cast(known),
                f"a time that {known} does not hold",
            )
    return None, column, ""


def _time_fits(value: pa.Scalar, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _has_large(column: pa.Array) -> bool:
    """Whether a whole number of a column is one that float64 may not hold."""
    import pyarrow.compute as pc

    ends = pc.min_max(column).as_py()
    return any(end is not None and abs(end) > EXACT for end in ends.values())


def _as_text(value: Any) -> str | None:
    """A value as a text: texts as they are, bytes as UTF-8, all else as JSON writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return json.dumps(value, ensure_ascii=False, default=str)


def _text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return pa.chunked_array([pa.array([_as_text(v) for v in column.to_pylist()], pa.string())])
    return column.cast(pa.string())


def as_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Arrow columns of dicts whose keys may differ.

    Raises:
        TypeError, ValueError, OverflowError: values of one column are of different types.
    """
    import pyarrow as pa

    names = dict.fromkeys(key for row in rows for key in row)
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    if any(_has_empty_object(field.type) for field in table.schema):  # Parquet cannot store an object without fields
        table = pa.table({name: [_without_empty(row.get(name)) for row in rows] for name in names})
    return table


def _unstorable(value: Any, within: str = "") -> Iterator[str]:
    """Why values of a row, of any type that their column has, cannot be stored, and in which column they are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unstorable(key, within or key)
            yield from _unstorable(inner, within or key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _unstorable(inner, within)
    elif isinstance(value, str) and HALF_PAIR.search(value):
        yield f"a text with half a surrogate pair: in {within!r}, where half of a \\u pair is no character; write both"
    elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
        shown = str(value) if abs(value) < 10**SHOWN_DIGITS else f"one of over {SHOWN_DIGITS} digits"
        yield f"an integer beyond 64 bits: {shown} in {within!r}, more than {LARGEST}; as_text=[{within}] reads it"


def _sources(name: str, places: Sequence[int]) -> pa.Array:
    """ "name:place" of each row, or the name alone where the place is 0."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pa.array(np.asarray(places, np.int64))
    if pc.all(pc.equal(numbers, 0)).as_py():
        return pa.repeat(name, len(numbers))
    joined = pc.binary_join_element_wise(name, numbers.cast(pa.string()), ":")
    return pc.if_else(pc.equal(numbers, 0), name, joined)


def _wider(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.unify_schemas([schema, other.remove_metadata()], promote_options="permissive")


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, those that come again with a number."""
    taken, seen = set(names), set[str]()
    found = []
    for name in names:
        new = name
        if name in seen:
            new = next(f"{name}_{n}" for n in itertools.count(2) if f"{name}_{n}" not in taken)
        seen.add(name)
        taken.add(new)
        found.append(new)
    return found


def _has_empty_object(kind: pa.DataType) -> bool:
    import pyarrow as pa

    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return (pa.types.is_struct(kind) and not inner) or any(map(_has_empty_object, inner))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items()} or None
    return [_without_empty(v) for v in value] if isinstance(value, list) else value


def _dropped(name: str, fault: Fault) -> dict[str, str]:
    source = f"{name}:{fault.place}" if fault.place else name
    text = fault.text[:FAULT_CHARS].encode("utf-8", "backslashreplace").decode()
    return {"source": source, "text": text, "reason": fault.reason.encode("utf-8", "backslashreplace").decode()}
