"""The rows that an SQL condition means: of a home, for `loom forget`, or of one dataset, to look at or write out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.tables import OURS, read_shard
from loomwork.core.trace import Tracer
from loomwork.data.filters.expression import parsed

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from loomwork.core.home import Home


def rows_where(home: Home, condition: str, *, within: str = "") -> set[bytes]:
    """The ids of the rows for which a condition holds, `dropped` ones too.

    Args:
        home: where to look.
        condition: Polars SQL on the columns of a row: "source LIKE 'blog/%' AND author = 'A. Writer'".
        within: a dataset's name or id. "": every dataset that was read from outside and has the columns.

    Raises:
        InputError: it is no condition, or no dataset there has its columns.
    """
    import polars as pl

    wanted = _read(condition, "a row id is 8 to 32 hex letters; else write a condition")
    columns = wanted.meta.root_names()
    found: set[bytes] = set()
    fits, seen = False, set()
    for data in _datasets(home, within):
        for part in data.parts:
            for shard in data.select(part).shards():
                frame = pl.DataFrame(read_shard(shard))
                seen |= set(frame.columns)
                if set(columns) <= set(frame.columns):
                    fits = True
                    found |= set(_matching(frame, wanted, condition))
    if not fits:
        missing = sorted(set(columns) - seen) or columns
        where = within or "what was read from outside"
        raise InputError(f"no dataset in {where} has the column {missing[0]!r}", did_you_mean(missing[0], seen))
    return found


def _datasets(home: Home, within: str) -> Iterator[Dataset]:
    tracer = Tracer(home)
    if within:
        yield home.store.open(home.find(within), Dataset)
        return
    from_outside = {artifact for run, (artifact, kind) in tracer.made.items() if not tracer.reads.get(run)}
    for artifact_id in tracer.datasets():
        opened = tracer.open(artifact_id)
        if artifact_id in from_outside and opened:
            yield Dataset(opened.path)


def _matching(frame: pl.DataFrame, wanted: pl.Expr, condition: str) -> list[bytes]:
    return list(frame["row_id"].filter(_mask(frame, wanted, condition)))


def _read(condition: str, hint: str) -> pl.Expr:
    try:
        return parsed(condition)
    except ValueError as error:
        raise InputError(f"{condition!r}: {error}", hint) from None


def _mask(frame: pl.DataFrame, wanted: pl.Expr, condition: str) -> pl.Series:
    """For which rows a condition holds; where it is null, it does not."""
    import polars as pl

    try:
        mask = frame.select(wanted.alias("found"))["found"]
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{condition!r} cannot be worked out: {error}") from None
    if mask.dtype not in (pl.Boolean, pl.Null):
        raise InputError(f"{condition!r} gives {mask.dtype}, not true or false", "compare it: year < 2000")
    mask = mask.cast(pl.Boolean).fill_null(value=False)
    return mask if len(mask) == len(frame) else pl.repeat(mask[0], len(frame), dtype=pl.Boolean, eager=True)


# ---- rows of one dataset


@dataclass(frozen=True)
class Selection:
    """Rows and columns of one part of a dataset; ids are hex text in them.

    Args:
        data: the part.
        condition: SQL on the columns of a row, also of its sidecars. "": all rows.
        columns: in their order. Empty: row_id and all that are no ids.

    Raises:
        InputError: there is no such column, or the condition is none.
    """

    data: Dataset
    condition: str = ""
    columns: Sequence[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        have = self._known.names
        used = self._wanted.meta.root_names() if self._wanted is not None else []
        for name in (*self.columns, *used):
            if name not in have:
                raise InputError(f"part {self.data.main_part!r} has no column {name!r}", did_you_mean(name, have))

    @cached_property
    def _known(self) -> pa.Schema:
        import pyarrow as pa

        return self.data.schema if self.data.shards() else pa.schema([])

    @cached_property
    def _wanted(self) -> pl.Expr | None:
        hint = "as in \"language = 'en' AND n > 3\": a text stands in single quotes"
        return _read(self.condition, hint) if self.condition else None

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that are given, as they lie in the dataset."""
        import pyarrow as pa

        known = self._known
        names = self.columns or ["row_id", *(n for n in known.names if n not in OURS)]
        return pa.schema([known.field(n) for n in names if n in known.names])

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows shard by shard, each with the columns and types of `schema`."""
        import polars as pl
        import pyarrow as pa

        used = self._wanted.meta.root_names() if self._wanted is not None else []
        names = list(dict.fromkeys([*self.schema.names, *used]))
        empty = pa.schema([self._known.field(n) for n in names]).empty_table()
        for table in self.data.tables(names):
            whole = pa.concat_tables([empty, table], promote_options="permissive").select(names)
            frame = _with_hex(pl.DataFrame(whole))
            if self._wanted is not None:
                frame = frame.filter(_mask(frame, self._wanted, self.condition))
            yield frame.select(self.schema.names)

    def first(self, rows: int) -> tuple[list[dict[str, Any]], int]:
        """The first rows as dicts, and how many there are in all."""
        found: list[dict[str, Any]] = []
        if self._wanted is None:
            for frame in self.frames():
                found += frame.head(rows - len(found)).to_dicts()
                if len(found) >= rows:
                    break
            return found, len(self.data)
        count = 0
        for frame in self.frames():
            found += frame.head(rows - len(found)).to_dicts()
            count += len(frame)
        return found, count


def _with_hex(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with bytes as hex text."""
    import polars as pl

    return frame.with_columns(
        pl.col(pl.Binary).bin.encode("hex"),
        pl.col(pl.List(pl.Binary)).list.eval(pl.element().bin.encode("hex")),
    )


def export(chosen: Selection, file: Path, rows: int | None = None) -> int:
    """Write rows to a new file, shard by shard; it appears when it is whole.

    Args:
        chosen: which rows and columns.
        file: its ending says how: .jsonl, .parquet or .csv. In .csv lists and mappings are JSON, durations ISO 8601.
        rows: so many at most. None: all.

    Returns: how many rows were written.

    Raises:
        InputError: the file is there already, or its ending is another.
    """
    writers = {".jsonl": _write_json_lines, ".csv": _write_csv, ".parquet": _write_parquet}
    write = writers.get(file.suffix.lower())
    if write is None:
        raise InputError(f"rows cannot be written to {file}", f"its name must end in one of {' '.join(writers)}")
    if file.exists():
        raise InputError(f"{file} is there already", "take another name, or remove it")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}")
    begun = file.with_name(f".{file.name}.{os.getpid()}.part")
    written = 0

    def pieces() -> Iterator[pl.DataFrame]:
        nonlocal written
        for frame in chosen.frames():
            piece = frame if rows is None else frame.head(rows - written)
            written += len(piece)
            yield piece
            if rows is not None and written >= rows:
                break

    try:
        write(begun, pieces)
        begun.replace(file)
    finally:
        begun.unlink(missing_ok=True)
    return written


Pieces = Callable[[], Iterator["pl.DataFrame"]]


def _write_json_lines(file: Path, pieces: Pieces) -> None:
    with file.open("wb") as stream:
        for frame in pieces():
            frame.write_ndjson(stream)


def _write_csv(file: Path, pieces: Pieces) -> None:
    with file.open("wb") as stream:
        for number, frame in enumerate(pieces()):
            _flat(frame).write_csv(stream, include_header=number == 0)


def _write_parquet(file: Path, pieces: Pieces) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for frame in pieces():
            table = frame.to_arrow()
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is None:
            pq.write_table(pa.table({}), file)
    finally:
        if writer is not None:
            writer.close()


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with what a cell cannot hold as text: lists and mappings as JSON, durations as ISO 8601 ("P1DT2H")."""
    import polars as pl

    nested = [n for n, kind in frame.schema.items() if kind.is_nested()]
    written = [
        pl.when(pl.col(n).is_not_null())
        .then(pl.struct(pl.col(n).alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.head(-1))
        .alias(n)
        for n in nested
    ]
    return frame.with_columns(*written, pl.col(pl.Duration).dt.to_string("iso"))
