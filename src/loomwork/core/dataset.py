"""Datasets: streams of rows in zstd Parquet shards, in named parts, each row with an id and its origins.

Columns are the data, plus two of ours: `row_id`, the 128-bit hash of the row's content, and `origin_ids`, the
rows of the input of the step that made the row. A row that a step carries over as it is keeps both, so a
shard that did not change keeps its bytes and is shared between versions.

A part named `PART+NAME` is a sidecar of PART: columns NAME aligned shard by shard and row by row with PART.
Rows that a step drops are kept in the part `dropped`, with a `reason`.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from loomwork.core.artifact import Artifact, digest
from loomwork.core.context import context
from loomwork.core.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

MAIN = "data"  # the part of a dataset that was never split
DROPPED = "dropped"
OURS = ("row_id", "origin_ids")
PLACE = ("source",)  # columns that say where a row stood, which moves when a line is added above it
SHARD_BYTES = 64 << 20  # of Arrow memory: what a step holds at once
SHARD_ROWS = 1 << 17
Rows = "pa.Table | pa.RecordBatch | Sequence[Mapping[str, Any]]"


def _bytes_of(value: Any) -> bytes:
    """One value in a spelling that no two different values share: a type letter, then its bytes."""
    if value is None:
        return b"n"
    if isinstance(value, str):
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        return b"i%d" % value
    if isinstance(value, float):
        return b"d" + struct.pack("<d", value)
    if isinstance(value, bytes):
        return b"b" + value
    if isinstance(value, Mapping):
        return b"m" + _joined([_bytes_of(x) for pair in sorted(value.items()) for x in pair])
    if isinstance(value, list | tuple):
        return b"l" + _joined([_bytes_of(x) for x in value])
    return b"o" + str(value).encode()  # dates, decimals


def _joined(pieces: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in pieces)


def row_ids(table: pa.Table) -> pa.Array:
    """The 128-bit content hash of each row: blake2b over its data columns, in order of their names.

    Returns: binary array, 16 bytes a row, equal exactly where all the data columns are equal.
    """
    import pyarrow as pa

    names = sorted(n for n in table.column_names if n not in OURS)
    header = _joined([n.encode() for n in names])
    columns = [table.column(n).to_pylist() for n in names]
    hashes = [
        hashlib.blake2b(header + _joined([_bytes_of(v) for v in row]), digest_size=16).digest()
        for row in zip(*columns, strict=True)
    ]
    return pa.array(hashes, pa.binary(16)) if names else pa.nulls(len(table), pa.binary(16))


def content_ids(table: pa.Table) -> pa.Array:
    """The same without the columns that say where a row stood: equal for the same content elsewhere."""
    return row_ids(table.drop_columns([n for n in (*OURS, *PLACE) if n in table.column_names]))


def to_table(rows: Any) -> pa.Table:
    """Arrow table of a table, a record batch, a polars frame or a list of dicts."""
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if hasattr(rows, "to_arrow"):
        table = rows.to_arrow()
        for name, kind in (("row_id", pa.binary(16)), ("origin_ids", pa.list_(pa.binary(16)))):
            if name in table.column_names:  # polars has no fixed-size binary
                table = table.set_column(table.column_names.index(name), name, table.column(name).cast(kind))
        return table
    return pa.Table.from_pylist(list(rows))


@dataclass(frozen=True)
class Dataset(Artifact):
    """A dataset, or one part of it. Reading is by shard or by batch; `table()` is for what fits in memory."""

    kind: ClassVar[str] = "dataset"

    @property
    def parts(self) -> list[str]:
        """The names of its parts, sidecars left out."""
        return sorted(p.name for p in self.path.iterdir() if p.is_dir() and "+" not in p.name)

    @property
    def main_part(self) -> str:
        """The part that reading reads: the chosen one, or the only one beside `dropped`.

        Raises:
            InputError: there are several and none was chosen.
        """
        if self.part:
            return self.part
        parts = [p for p in self.parts if p != DROPPED]
        if len(parts) != 1:
            raise InputError(
                f"dataset {self.path} has {len(parts)} parts: {', '.join(parts) or 'none'}",
                "say which, as in $split/train",
            )
        return parts[0]

    @property
    def digest(self) -> str:
        """Covers the part that is read and its sidecars, not its siblings: they may change without a miss."""
        entries = self.manifest["parts"]
        main = self.main_part
        read = {name: e["sha256"] for name, e in entries.items() if name == main or name.startswith(main + "+")}
        return read[main] if len(read) == 1 else digest(read)

    def select(self, part: str) -> Self:
        """The same dataset, reading another part."""
        if part not in self.parts:
            raise InputError(f"dataset {self.path} has no part {part!r}", did_you_mean(part, self.parts))
        return type(self)(self.path, part)

    def shards(self) -> list[Path]:
        """The Parquet files of the part that is read, in order."""
        return sorted((self.path / self.main_part).glob("*.parquet"))

    def __len__(self) -> int:
        import pyarrow.parquet as pq

        return sum(pq.ParquetFile(s).metadata.num_rows for s in self.shards())

    @property
    def schema(self) -> pa.Schema:
        """The columns of all shards: rows that were read from different files may have different ones."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schemas = [pq.read_schema(shard).remove_metadata() for shard in self.shards()]
        return pa.unify_schemas(schemas, promote_options="permissive")

    def require(self, *columns: str) -> None:
        """Refuse early when a column that a step needs is missing.

        Raises:
            InputError: names the missing column and the nearest one.
        """
        have = self.schema.names if self.shards() else []
        for column in columns:
            if column not in have:
                raise InputError(
                    f"dataset part {self.main_part!r} has no column {column!r}", did_you_mean(column, have)
                )

    def require_rows(self) -> None:
        """Refuse an empty dataset.

        Raises:
            InputError: the part that is read has no rows.
        """
        if len(self) == 0:
            raise InputError(
                f"dataset part {self.main_part!r} has no rows ({self.path})",
                "look at its `dropped` part, or at what was read",
            )

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """One Arrow table a shard, sidecar columns joined on."""
        import pyarrow.parquet as pq

        sidecars = sorted(p for p in self.path.iterdir() if p.name.startswith(self.main_part + "+"))
        known = self.schema if self.shards() else None
        for shard in self.shards():
            names = None if columns is None else [c for c in columns if c in pq.read_schema(shard).names]
            table = with_columns(pq.read_table(shard, columns=names, partitioning=None), known, columns)
            for folder in sidecars:
                extra = pq.read_table(folder / shard.name, partitioning=None)
                for name in extra.column_names:
                    if columns is None or name in columns:
                        table = table.append_column(name, extra.column(name))
            yield table

    def batches(self, columns: Sequence[str] | None = None, rows: int = 4096) -> Iterator[pa.RecordBatch]:
        """A stream of record batches of at most `rows` rows."""
        for table in self.tables(columns):
            yield from table.to_batches(max_chunksize=rows)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """A stream of rows as dicts."""
        for batch in self.batches(columns):
            yield from batch.to_pylist()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole part in memory."""
        import pyarrow as pa

        tables = list(self.tables(columns))
        return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})


def with_columns(table: pa.Table, known: pa.Schema | None, columns: Sequence[str] | None = None) -> pa.Table:
    """The table with those of the known columns that it lacks, full of nulls: all, or the named ones."""
    import pyarrow as pa

    for field in known or ():
        if field.name not in table.column_names and (columns is None or field.name in columns):
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


class DatasetWriter:
    """Writes a dataset into `out`, shard by shard. Use it as a context manager.

    Rows that `loom forget` removed are left out here, whichever step writes them.
    `counts` holds rows written by part, `reasons` rows dropped by reason.
    """

    def __init__(self, out: Path, *, shard_rows: int = SHARD_ROWS) -> None:
        self.out, self.shard_rows = out, shard_rows
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.forgotten = 0
        self._waiting: dict[str, list[pa.Table]] = {}
        self._shards: Counter[str] = Counter()
        self._schemas: dict[str, pa.Schema] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            for part in list(self._waiting):
                self._flush(part)

    def write(self, rows: Any, *, part: str = MAIN, origins: Any = None) -> None:
        """Write new or changed rows; their ids are computed here.

        Args:
            rows: table, batch, polars frame or list of dicts; `row_id` and `origin_ids` in it are replaced.
            part: the part to write to.
            origins: for each row the id, or list of ids, of the input rows it came from; None for rows from outside.
        """
        import pyarrow as pa

        table = to_table(rows)
        table = table.drop_columns([n for n in OURS if n in table.column_names])
        if origins is None:
            lists: list[list[bytes]] = [[] for _ in range(len(table))]
        else:
            values = origins.to_pylist() if hasattr(origins, "to_pylist") else list(origins)
            lists = [[v] if isinstance(v, bytes) else list(v) for v in values]
        table = table.append_column("row_id", row_ids(table))
        self.carry(table.append_column("origin_ids", pa.array(lists, pa.list_(pa.binary(16)))), part=part)

    def carry(self, rows: Any, *, part: str = MAIN) -> None:
        """Write rows of the input as they are: `row_id` and `origin_ids` are kept."""
        given = to_table(rows)
        table = self._remembered(given)
        self.forgotten += len(given) - len(table)
        if len(table) == 0 and part in self._schemas:
            return
        self._schemas.setdefault(part, table.schema)
        self.counts[part] += len(table)
        waiting = self._waiting.setdefault(part, [])
        waiting.append(table)
        if sum(map(len, waiting)) >= self.shard_rows or sum(t.nbytes for t in waiting) >= SHARD_BYTES:
            self._flush(part)

    def drop(self, rows: Any, reason: str | Sequence[str]) -> None:
        """Set rows of the input aside, with the reason, one for all or one each. Extra text may follow ': '."""
        import pyarrow as pa

        table = to_table(rows)
        reasons = [reason] * len(table) if isinstance(reason, str) else list(reason)
        self.reasons.update(r.split(":", 1)[0] for r in reasons)
        if len(table):
            table = table.drop_columns(["reason"]) if "reason" in table.column_names else table
            self.carry(table.append_column("reason", pa.array(reasons, pa.string())), part=DROPPED)

    def keep(self, shard: Path, mask: Any, reason: str | Sequence[str] = "filtered", *, part: str = MAIN) -> None:
        """Carry the rows of an input shard where `mask` is true and drop the others.

        A shard of which every row is kept is shared, not rewritten.

        Args:
            shard: one of `Dataset.shards()`.
            mask: booleans, one a row.
            reason: why the others are dropped: one for all, or one for each row of the shard.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        mask = pa.array(mask, pa.bool_()) if not isinstance(mask, pa.Array) else mask
        table = pq.read_table(shard, partitioning=None)
        if len(self._remembered(table)) == len(table) and mask.true_count == len(table):
            self.share(shard, part=part)
            return
        self.carry(table.filter(mask), part=part)
        out = [not m for m in mask.to_pylist()]
        reasons = reason if isinstance(reason, str) else [r for r, dropped in zip(reason, out, strict=True) if dropped]
        self.drop(table.filter(pa.array(out, pa.bool_())), reasons)

    def share(self, shard: Path, *, part: str = MAIN) -> None:
        """Take an input shard over as it is, without copying its bytes where the file system can link."""
        import pyarrow.parquet as pq

        self._flush(part)
        schema = pq.read_schema(shard)
        self._schemas.setdefault(part, schema)
        self.counts[part] += pq.ParquetFile(shard).metadata.num_rows
        link_or_copy(shard, self._next_shard(part))

    def _remembered(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa

        gone = context().forgotten
        if not gone or "row_id" not in table.column_names:
            return table
        both = zip(table.column("row_id").to_pylist(), content_ids(table).to_pylist(), strict=True)
        kept = [row not in gone and content not in gone for row, content in both]
        return table.filter(pa.array(kept, pa.bool_()))

    def _next_shard(self, part: str) -> Path:
        folder = self.out / part
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._shards[part]:05d}.parquet"
        self._shards[part] += 1
        return path

    def _flush(self, part: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        waiting = self._waiting.pop(part, [])
        table = pa.concat_tables(waiting, promote_options="permissive") if waiting else None
        if table is None or (len(table) == 0 and self._shards[part]):
            return
        pq.write_table(table, self._next_shard(part), compression="zstd")


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where linking is not possible (another file system)."""
    import shutil

    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
