"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator

from loomwork.data.readers import Chunk, SourceFile, require_shallow
from loomwork.data.readers._plain import plain

EXTENSIONS = (".parquet", ".pq")
BATCH_ROWS = 1 << 14


def read(file: SourceFile) -> Iterator[Chunk]:
    """All columns, batch by batch, categories as what they stand for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = 1
    with file.open_seekable() as stream, pq.ParquetFile(stream) as parquet:
        require_shallow(parquet.schema_arrow)
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
            yield Chunk(pa.Table.from_batches([plain(batch)]), range(place, place + len(batch)))
            place += len(batch)
