"""Datasets: streams of rows in zstd Parquet shards, in named parts, each row with an id and its origins.

Columns are the data, plus two of ours: `row_id`, the 128-bit hash of the row's content, and `origin_ids`, the
rows of the input of the step that made the row. A row that a step carries over as it is keeps both, so a
shard that did not change keeps its bytes and is shared between versions.

A part named `PART+NAME` is a sidecar of PART: further columns (scores, labels), in shards of the same file names and
with the same rows in the same order. Reading joins them on, marked (core/tables.py); `DatasetWriter.extend` writes
them, and its other verbs carry those of the input along: a shared shard shares its sidecars, of rows that are kept,
split or dropped the sidecars are kept, split or dropped alike. A new sidecar changes no row, no id and no data shard.

Rows that a step drops are kept in the part `dropped`, with a `reason`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from loomwork.core.artifact import Artifact, digest, link_or_copy
from loomwork.core.context import context
from loomwork.core.errors import InputError, LoomError, did_you_mean
from loomwork.core.row_ids import content_ids, origin_lists, row_ids
from loomwork.core.tables import OURS as OURS
from loomwork.core.tables import (
    as_array,
    beside_shard,
    given_names,
    marked,
    read_schema,
    read_shard,
    sidecar_of,
    sidecars,
    to_table,
    with_columns,
    write_shard,
    write_sidecars,
)

if TYPE_CHECKING:
    import pyarrow as pa

MAIN = "data"  # the part of a dataset that was never split
DROPPED = "dropped"  # the part of the rows that a step left out, as they were
CUT = "cut"  # the part of the texts that a step took out of rows
SET_ASIDE = frozenset({DROPPED, CUT})  # each with a column `reason`
SHARD_BYTES = 64 << 20  # of Arrow memory: what a step holds at once
SHARD_ROWS = 1 << 17
LONGEST_NAME = 40  # characters of a column's; a longer one is hardly a name
ID_ROWS = 1 << 12  # writes, or rows of one, that wait for their ids at most
SIDECAR_NAME = re.compile(r"[\w-]+")


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
        """The part that reading reads: the chosen one, or the only one beside what was set aside.

        Raises:
            InputError: there are several and none was chosen.
        """
        if self.part:
            return self.part
        parts = [p for p in self.parts if p not in SET_ASIDE]
        if not parts:
            raise InputError(f"dataset {self.path} has no rows", "its part `dropped` says why, if it had any")
        if len(parts) > 1:
            raise InputError(f"dataset {self.path} has the parts {', '.join(parts)}", "say which, as in $split/train")
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
        return type(self)(self.path, part).given_as(self.role)

    @property
    def _named(self) -> str:
        """What an error calls it: with the step's input, where that is not the usual one."""
        role = "" if self.role in ("", "data") else f"{self.role}: "
        return f"{role}dataset part {self.main_part!r}"

    def shards(self) -> list[Path]:
        """The Parquet files of the part that is read, in order."""
        return sorted((self.path / self.main_part).glob("*.parquet"))

    def __len__(self) -> int:
        import pyarrow.parquet as pq

        return sum(pq.ParquetFile(s).metadata.num_rows for s in self.shards())

    @property
    def schema(self) -> pa.Schema:
        """The columns of all shards and of their sidecars: what was read from different files may differ in them."""
        import pyarrow as pa

        return pa.unify_schemas([read_schema(shard) for shard in self.shards()], promote_options="permissive")

    def require(self, *columns: str) -> None:
        """Refuse early when a column that a step needs is missing.

        Raises:
            InputError: names the missing column and the nearest one.
        """
        have = self.schema.names if self.shards() else []
        for column in columns:
            if column not in have:
                hint = did_you_mean(column, have)
                if any(len(name) > LONGEST_NAME for name in have):
                    hint += "; if a file's first line was taken for names, read it with columns: [a name for each]"
                raise InputError(f"{self._named} has no column {column!r}", hint)

    def require_rows(self) -> None:
        """Refuse an empty dataset.

        Raises:
            InputError: the part that is read has no rows.
        """
        if len(self) == 0:
            hint = "look at its `dropped` part, or at what was read"
            raise InputError(f"{self._named} has no rows ({self.path})", hint)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """One Arrow table a shard, sidecar columns joined on and marked; where a shard lacks a column, it is null."""
        known = self.schema if self.shards() else None
        for shard in self.shards():
            yield with_columns(read_shard(shard, columns), known, columns)

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


class DatasetWriter:
    """Writes a dataset into `out`, shard by shard. Use it as a context manager.

    Rows that `loom forget` removed are left out here, whichever step writes them. Columns of sidecars, which reading
    marks, are written to sidecars again, by every verb and in every part.
    `counts` holds rows written by part, `reasons` rows dropped by reason.
    """

    def __init__(self, out: Path, *, shard_rows: int = SHARD_ROWS) -> None:
        self.out, self.shard_rows = out, shard_rows
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.forgotten = 0
        self._fresh: dict[str, list[pa.Table]] = {}  # rows of one schema that have no ids yet
        self._waiting: dict[str, list[pa.Table]] = {}
        self._filled: dict[str, tuple[int, float]] = {}  # rows and bytes that wait
        self._shards: Counter[str] = Counter()
        self._begun: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            for part in list(dict.fromkeys([*self._waiting, *self._fresh])):
                self._flush(part)
            for part, shards in self._shards.items():
                if len(list((self.out / part).glob("*.parquet"))) < shards:
                    raise LoomError(f"{self.out / part} was deleted while it was written", "run it again")

    def write(self, rows: Any, *, part: str = MAIN, origins: Any = None) -> None:
        """Write new or changed rows; their ids are computed here, those of many small writes at once.

        Args:
            rows: table, batch, polars frame or list of dicts; `row_id` and `origin_ids` in it are replaced.
            part: the part to write to.
            origins: for each row the id, or list of ids, of the input rows it came from; None for rows from outside.
                An Arrow array of ids or of lists of ids costs least.
        """
        table = to_table(rows)
        table = table.drop_columns([n for n in OURS if n in table.column_names])
        table = table.append_column("origin_ids", origin_lists(origins, len(table)))
        fresh = self._fresh.setdefault(part, [])
        if fresh and not fresh[0].schema.equals(table.schema, check_metadata=True):
            self._settle(part)
        fresh.append(table)
        self.counts[part] += len(table)
        if len(table) > ID_ROWS or len(fresh) > ID_ROWS:
            self._settle(part)

    def carry(self, rows: Any, *, part: str = MAIN) -> None:
        """Write rows of the input as they are: `row_id` and `origin_ids` are kept."""
        self._settle(part)
        given = to_table(rows)
        table = self._remembered(given)
        self.forgotten += len(given) - len(table)
        if len(table) == 0 and part in self._begun:
            return
        self._begun.add(part)
        self.counts[part] += len(table)
        row_bytes, start = table.nbytes / max(1, len(table)), 0
        while start < max(1, len(table)):
            rows, size = self._filled.get(part, (0, 0.0))
            room = self.shard_rows - rows
            if row_bytes:
                room = min(room, math.ceil((SHARD_BYTES - size) / row_bytes))
            piece = table.slice(start, room)
            start += room
            self._waiting.setdefault(part, []).append(piece)
            rows, size = rows + len(piece), size + len(piece) * row_bytes
            self._filled[part] = rows, size
            if rows >= self.shard_rows or size >= SHARD_BYTES:
                self._flush(part)

    def drop(self, rows: Any, reason: Any) -> None:
        """Set rows of the input aside, with the reason, one for all or one each. Extra text may follow ': '.

        A column `reason` that the rows have is kept as `given_reason`.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        table = to_table(rows)
        reasons = pa.repeat(reason, len(table)) if isinstance(reason, str) else as_array(reason, pa.string())
        for count in pc.value_counts(pc.replace_substring_regex(reasons, "(?s):.*", "")).to_pylist():
            self.reasons[count["values"]] += count["counts"]
        if len(table):
            table = table.rename_columns(given_names(table.column_names, ("reason",)))
            self.carry(table.append_column("reason", reasons), part=DROPPED)

    def keep(
        self, shard: Path, mask: Any, reason: Any = "filtered", *, part: str = MAIN, table: pa.Table | None = None
    ) -> None:
        """Carry the rows of an input shard where `mask` is true and drop the others, their sidecars alike.

        A shard of which every row is kept is shared: it is neither rewritten nor read.

        Args:
            shard: one of `Dataset.shards()`.
            mask: booleans, one a row; null counts as false.
            reason: why the others are dropped: one for all, one for each row of the shard, or one for each dropped row.
                An Arrow array costs least.
            table: the rows of the shard, where they have been read already (`read_shard`).

        Raises:
            ValueError: the mask or the reasons are not as many as the rows.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        kept = pc.fill_null(as_array(mask, pa.bool_()), False)
        rows = pq.read_metadata(shard).num_rows
        if len(kept) != rows:
            raise ValueError(f"{len(kept)} values in the mask of {shard}, which has {rows} rows")
        if kept.false_count == 0:
            self.share(shard, part=part)
            return
        table = read_shard(shard) if table is None else table
        out = pc.invert(kept)
        self.carry(table.filter(kept), part=part)
        reasons = pa.repeat(reason, len(table)) if isinstance(reason, str) else as_array(reason, pa.string())
        self.drop(table.filter(out), reasons.filter(out) if len(reasons) == len(table) else reasons)

    def share(self, shard: Path, *, part: str = MAIN) -> None:
        """Take an input shard and its sidecars over as they are, without copying bytes where the file system can link.

        A shard that holds rows which `loom forget` removed is written again without them.
        """
        self._take(shard, sidecars(shard), part)

    def extend(self, shard: Path, columns: Any, name: str, *, part: str = MAIN) -> None:
        """Share an input shard and give its rows further columns: scores, labels. No data is rewritten, no id changes.

        The columns are written to the sidecar `PART+NAME`. The shard's other sidecars are shared; one of the same name
        is replaced.

        Args:
            shard: one of `Dataset.shards()`.
            columns: table, batch, polars frame or list of dicts, with one row for each row of the shard, in order.
            name: of the sidecar: letters, digits, "_" and "-".
            part: the part to write to.

        Raises:
            InputError: the rows are not as many, the name cannot be a folder's, or a column is there already.
        """
        import pyarrow.parquet as pq

        table = marked(to_table(columns), name)
        rows, others = pq.read_metadata(shard).num_rows, sidecars(shard)
        others.pop(name, None)
        if not SIDECAR_NAME.fullmatch(name):
            raise InputError(f"a sidecar cannot be called {name!r}", "use letters, digits, _ and -")
        if len(table) != rows or not table.num_columns:
            size = f"{len(table)} rows and {table.num_columns} columns"
            raise InputError(f"sidecar {name!r} has {size}; {shard} has {rows} rows", "give each row its values")
        have = {c for file in (shard, *others.values()) for c in pq.read_schema(file).names}
        for column in sorted(set(table.column_names) & have):
            raise InputError(
                f"sidecar {name!r} has a column {column!r}, and so has the data ({shard})", "give it another name"
            )
        self._take(shard, others, part, table)

    def _take(self, shard: Path, beside: Mapping[str, Path], part: str, extra: pa.Table | None = None) -> None:
        """Link a shard and the given sidecars, and write further columns, which are marked, beside them."""
        import pyarrow.parquet as pq

        if context().forgotten:
            table = read_shard(shard)
            table = table.select([f.name for f in table.schema if sidecar_of(f) in {"", *beside}])
            if extra is not None:
                for field in extra.schema:
                    table = table.append_column(field, extra.column(field.name))
            if len(self._remembered(table)) < len(table):
                self.carry(table, part=part)
                return
        self._flush(part)
        self._begun.add(part)
        self.counts[part] += pq.read_metadata(shard).num_rows
        target = self._next_shard(part)
        link_or_copy(shard, target)
        for name, file in beside.items():
            link_or_copy(file, beside_shard(target, name))
        if extra is not None:
            write_sidecars(extra, target)

    def _remembered(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        gone = context().forgotten
        if not gone or "row_id" not in table.column_names:
            return table
        ids = pa.array(sorted(gone), pa.binary(16))
        found = pc.or_(pc.is_in(table.column("row_id"), ids), pc.is_in(pa.chunked_array([content_ids(table)]), ids))
        return table.filter(pc.invert(found))

    def _settle(self, part: str) -> None:
        """Give the rows that have none their ids. It costs little more for many than for one."""
        import pyarrow as pa

        fresh = self._fresh.get(part)
        if fresh:
            table = pa.concat_tables(fresh)
            fresh.clear()
            self.counts[part] -= len(table)
            ids = row_ids(table)
            self.carry(table.add_column(table.column_names.index("origin_ids"), "row_id", ids), part=part)

    def _next_shard(self, part: str) -> Path:
        folder = self.out / part
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._shards[part]:05d}.parquet"
        self._shards[part] += 1
        return path

    def _flush(self, part: str) -> None:
        import pyarrow as pa

        self._settle(part)
        waiting = self._waiting.pop(part, [])
        self._filled.pop(part, None)
        table = pa.concat_tables(waiting, promote_options="permissive") if waiting else None
        if table is None or (len(table) == 0 and self._shards[part]):
            return
        write_shard(table, self._next_shard(part))
