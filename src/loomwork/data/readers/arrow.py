"""Arrow: IPC files and streams, and Feather."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from loomwork.data.readers import Chunk, SourceFile, require_shallow

if TYPE_CHECKING:
    import pyarrow as pa

EXTENSIONS = (".arrow", ".feather", ".ipc", ".arrows")
FILE_MAGIC, FEATHER_1_MAGIC = b"ARROW1", b"FEA1"


def read(file: SourceFile) -> Iterator[Chunk]:
    """All columns, batch by batch. Each batch is checked: damaged offsets must not be followed."""
    import pyarrow as pa

    place = 1
    with file.open_seekable() as stream:
        for batch in _batches(stream):
            batch.validate(full=True)
            require_shallow(batch.schema)
            yield Chunk(pa.Table.from_batches([batch]), range(place, place + len(batch)))
            place += len(batch)


def _batches(stream: BinaryIO) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    begin = stream.read(len(FILE_MAGIC))
    stream.seek(0)
    if begin.startswith(FEATHER_1_MAGIC):
        from pyarrow import feather

        yield from feather.read_table(stream).to_batches()
    elif begin == FILE_MAGIC:
        with pa.ipc.open_file(stream) as found:
            for i in range(found.num_record_batches):
                yield found.get_batch(i)
    else:
        with pa.ipc.open_stream(stream) as found:
            yield from found
