"""Arrow: IPC files and streams, and Feather."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from loomwork.data.readers import Chunk, SourceFile, require_shallow
from loomwork.data.readers._plain import plain, plain_schema

if TYPE_CHECKING:
    import pyarrow as pa

EXTENSIONS = (".arrow", ".feather", ".ipc", ".arrows")
BATCH_ROWS = 1 << 14  # whose categories are made plain at once: they may take far less room than what they stand for
FILE_MAGIC, FEATHER_1_MAGIC = b"ARROW1", b"FEA1"


def read(file: SourceFile) -> Iterator[Chunk]:
    """All columns, batch by batch, categories as what they stand for. Each batch is checked: damaged offsets must not
    be followed.
    """
    import pyarrow as pa

    place = 1
    with file.open_seekable() as stream:
        for batch in _batches(stream):
            batch.validate(full=True)
            require_shallow(batch.schema)
            require_shallow(plain_schema(batch.schema))
            for part in _parts(batch):
                yield Chunk(pa.Table.from_batches([plain(part)]), range(place, place + len(part)))
                place += len(part)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch, or a part of it after the other if it has categories."""
    size = max(len(batch), 1) if plain_schema(batch.schema).equals(batch.schema) else BATCH_ROWS
    yield from (batch.slice(at, size) for at in range(0, max(len(batch), 1), size))


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
