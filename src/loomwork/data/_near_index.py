"""What `data.near_dedup` keeps of rows: in a temporary file while it runs, and in its result for later runs.

The index of a result lies in the folder `+near_dedup` beside its parts: Arrow files without compression, which are
mapped, not read. Each row that was kept has its `row_id`, its `sketch` (512 bytes) and its `shingles` (4 bytes a
word): enough to find its near duplicates exactly, without its text.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from loomwork.core.artifact import link_or_copy
from loomwork.core.context import context
from loomwork.core.dataset import MAIN, Dataset, DatasetWriter
from loomwork.core.tables import read_shard
from loomwork.text.minhash import BINS, Sketches, Texts, bucket_mates, sketch

if TYPE_CHECKING:
    import pyarrow as pa

INDEX = "+near_dedup"
VERSION = b"1"  # of what a shingle and a sketch are
WRITE_ROWS = 1 << 13
MEMORY_BYTES = 1 << 28  # of sketches and shingles before they are written to files, and of rows that are held


class Spill:
    """Sketches of any number of rows: in memory, and past `MEMORY_BYTES` in temporary files that are mapped."""

    def __init__(self, folder: Path, words: int) -> None:
        self.words = words
        self.ids: list[np.ndarray] = []
        self.sizes: list[int] = []  # rows of each shard
        self.tables: list[pa.Table | None] = []  # of each shard while there is room: then it need not be read again
        self._folder = folder
        self._open = ExitStack()
        self._held: list[Sketches] = []
        self._held_bytes = 0
        self._files: list[IO[bytes]] = []  # of the sketches, and of the shingles
        self._columns: list[tuple[np.ndarray, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(self, data: Dataset, column: str) -> None:
        """Append the texts of a column, shard by shard."""
        running, total, done, room = context(), len(data), 0, MEMORY_BYTES
        for shard in data.shards():
            names = None if room > 0 else ["row_id", column]
            table = read_shard(shard, names)
            room -= table.nbytes if room > 0 else 0
            self.tables.append(table if names is None else None)
            self.sizes.append(len(table))
            self.ids.append(ids_of(table))
            for texts in texts_of(table.column(column)) if column in table.column_names else [_empty(len(table))]:
                self.append(sketch(texts, words=self.words, threads=running.threads))
            done += len(table)
            running.progress(done, total, "rows sketched")

    def append(self, found: Sketches, ids: np.ndarray | None = None) -> None:
        self._columns.append((found.counts, found.lengths, found.contents))
        self._held.append(found)
        self._held_bytes += found.sketches.nbytes + 4 * int(found.counts.sum())
        if self._held_bytes > MEMORY_BYTES:
            self._write()
        if ids is not None:
            self.ids.append(ids)

    def _write(self) -> None:
        if not self._files:
            self._files = [self._open.enter_context(_file_in(self._folder)) for _ in range(2)]
        for found in self._held:
            self._files[0].write(found.sketches.data)
            for run in found.runs():
                self._files[1].write(run.data)
        self._held, self._held_bytes = [], 0

    def all(self) -> Sketches:
        """All that was appended. Files go when the last map of them does."""
        columns = [np.concatenate(c) for c in zip(*self._columns, strict=True)]
        counts, lengths, contents = columns or [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64)]
        if self._files:
            self._write()
            sketches, shingles = (_map(file) for file in self._files)
        else:
            sketches = np.concatenate([np.empty((0, BINS), np.uint32), *(held.sketches for held in self._held)])
            shingles = np.concatenate([np.empty(0, np.uint32), *(run for held in self._held for run in held.runs())])
        return Sketches(sketches.reshape(-1, BINS), shingles, np.cumsum(counts) - counts, counts, lengths, contents)


def _file_in(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _map(file: IO[bytes]) -> np.ndarray:
    file.flush()
    size = file.seek(0, os.SEEK_END)
    if size == 0:  # cannot be mapped: no row has a word
        return np.empty(0, np.uint32)
    return np.memmap(file, np.uint32, "c", shape=(size // 4,)).view(np.ndarray)


def texts_of(column: pa.ChunkedArray) -> Iterator[Texts]:
    """The texts of a column, chunk by chunk."""
    yield from map(Texts.of_column, column.chunks)


def _empty(rows: int) -> Texts:
    return Texts(np.empty(0, np.uint8), np.zeros(rows + 1, np.int64))


def ids_of(table: pa.Table) -> np.ndarray:
    """The row ids of a table, uint8 (rows, 16)."""
    pieces = [np.empty((0, 16), np.uint8)]
    for chunk in table.column("row_id").chunks:
        _, content = chunk.buffers()
        pieces.append(np.frombuffer(content, np.uint8)[16 * chunk.offset :][: 16 * len(chunk)].reshape(-1, 16))
    return np.concatenate(pieces)


@dataclass(frozen=True)
class KnownRows:
    """Rows of one file of an index: what they are, and where they lie in it."""

    ids: np.ndarray  # uint8 (rows, 16)
    sketches: np.ndarray  # uint32 (rows, BINS)
    shingles: np.ndarray  # uint32
    ends: np.ndarray  # int64 (rows + 1,)

    def take(self, rows: np.ndarray) -> Sketches:
        """Some of the rows, in memory."""
        starts, counts = self.ends[:-1][rows], np.diff(self.ends)[rows]
        pieces = [self.shingles[s : s + n] for s, n in zip(starts.tolist(), counts.tolist(), strict=True)]
        shingles = np.concatenate([np.empty(0, np.uint32), *pieces])
        none = np.zeros(rows.size, np.int64)
        return Sketches(self.sketches[rows], shingles, np.cumsum(counts) - counts, counts, none, none.view(np.uint64))


def add_mates(spill: Spill, known: Iterator[KnownRows], new: np.ndarray, threshold: float) -> int:
    """Append to the spill the known rows that may be compared with a new one; returns their number."""
    added = 0
    for rows in known:
        mates = np.flatnonzero(bucket_mates(rows.sketches, new, threshold) & (np.diff(rows.ends) > 0))
        spill.append(rows.take(mates), rows.ids[mates])
        added += mates.size
    return added


def index_files(known: Dataset, column: str, words: int) -> list[Path]:
    """The files of a result's index; none where it has no index, or that of another part, column or shingle length."""
    import pyarrow as pa

    if known.main_part != MAIN:
        return []
    files = sorted((known.path / INDEX).glob("*.arrow"))
    for file in files:
        with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
            if reader.schema.metadata != _metadata(column, words):
                return []
    return files


def indexed(files: list[Path]) -> Iterator[KnownRows]:
    """The rows of an index, mapped."""
    import pyarrow as pa

    for file in files:
        with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                ids, sketches, shingles = (batch.column(name) for name in ("row_id", "sketch", "shingles"))
                ends = np.frombuffer(shingles.buffers()[1], np.int64)[: len(batch) + 1]
                yield KnownRows(
                    np.frombuffer(ids.buffers()[1], np.uint8)[: 16 * len(batch)].reshape(-1, 16),
                    np.frombuffer(sketches.buffers()[1], np.uint32)[: BINS * len(batch)].reshape(-1, BINS),
                    np.frombuffer(shingles.buffers()[3] or b"", np.uint32),
                    ends,
                )


def unindexed(known: Dataset, column: str, words: int) -> Iterator[KnownRows]:
    """The rows of a dataset without an index, sketched from their texts."""
    for table in known.tables(["row_id", column]):
        ids, start = ids_of(table), 0
        for texts in texts_of(table.column(column)):
            found = sketch(texts, words=words, threads=context().threads)
            shingles = np.concatenate([np.empty(0, np.uint32), *found.runs()])
            ends = np.concatenate(([0], np.cumsum(found.counts)))
            yield KnownRows(ids[start : start + len(texts)], found.sketches, shingles, ends)
            start += len(texts)


def write_index(
    out: Path,
    new: Iterator[KnownRows],
    known: Iterator[KnownRows],
    shared: list[Path],
    column: str,
    words: int,
    writer: DatasetWriter,
) -> None:
    """Write an index beside the written rows: of the known ones, by files to share if there are, then of the new.

    Rows that were forgotten are left out.
    """
    import pyarrow as pa

    folder = out / INDEX
    folder.mkdir()
    remain = None
    if writer.forgotten:
        ids = np.concatenate([ids_of(table) for table in Dataset(out, "data").tables(["row_id"])])
        remain = ids.view("V16").ravel()
        shared = []
    for number, file in enumerate(shared):
        link_or_copy(file, folder / f"{number:05d}.arrow")
    fields = [("row_id", pa.binary(16)), ("sketch", pa.binary(4 * BINS)), ("shingles", pa.large_list(pa.uint32()))]
    schema = pa.schema(fields, metadata=_metadata(column, words))
    with pa.OSFile(str(folder / f"{len(shared):05d}.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as target:
        for piece in new if shared else chain(known, new):
            if remain is not None:
                staying = np.flatnonzero(np.isin(np.ascontiguousarray(piece.ids).view("V16").ravel(), remain))
                found = piece.take(staying)
                ends = np.concatenate(([0], np.cumsum(found.counts)))
                piece = KnownRows(piece.ids[staying], found.sketches, found.shingles, ends)
            target.write(_batch(piece, schema))


def kept_rows(texts: Sketches, ids: np.ndarray, kept: np.ndarray) -> Iterator[KnownRows]:
    """The chosen rows of all, in pieces. Their shingles lie together in `texts`, one row after the other."""
    for start in range(0, kept.size, WRITE_ROWS):
        rows = kept[start : start + WRITE_ROWS]
        everything = KnownRows(ids, texts.sketches, texts.shingles, np.append(texts.starts, texts.shingles.size))
        found = everything.take(rows)
        yield KnownRows(ids[rows], found.sketches, found.shingles, np.concatenate(([0], np.cumsum(found.counts))))


def _batch(rows: KnownRows, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    size = len(rows.ids)
    ids = pa.Array.from_buffers(schema.types[0], size, [None, pa.py_buffer(np.ascontiguousarray(rows.ids))])
    sketches = pa.Array.from_buffers(schema.types[1], size, [None, pa.py_buffer(np.ascontiguousarray(rows.sketches))])
    shingles = pa.LargeListArray.from_arrays(pa.array(rows.ends), pa.array(rows.shingles))
    return pa.record_batch([ids, sketches, shingles], schema=schema)


def _metadata(column: str, words: int) -> dict[bytes, bytes]:
    return {b"version": VERSION, b"column": column.encode(), b"shingle_words": str(words).encode()}
