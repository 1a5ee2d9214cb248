"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator

from loomwork.data.readers import CHUNK_ROWS, Chunk, SourceFile

EXTENSIONS = (".parquet",)


def read(file: SourceFile) -> Iterator[Chunk]:
    """All columns, batch by batch; a file inside .gz is not read (Parquet is compressed already)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = 1
    with pq.ParquetFile(file.path) as parquet:
        for batch in parquet.iter_batches(batch_size=CHUNK_ROWS):
            yield Chunk(pa.Table.from_batches([batch]), range(place, place + len(batch)))
            place += len(batch)
