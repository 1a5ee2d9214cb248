"""The 128-bit ids of rows: a hash of their content that does not depend on library versions or the platform."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loomwork.core.tables import OURS, PLACE, sidecar_of

if TYPE_CHECKING:
    import pyarrow as pa


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

    Columns that were read from sidecars do not count: a score of a row is not its content.

    Returns: binary array, 16 bytes a row, equal exactly where all the data columns are equal.
    """
    import pyarrow as pa

    names = sorted(f.name for f in table.schema if f.name not in OURS and not sidecar_of(f))
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


def origin_lists(origins: Any, rows: int) -> pa.Array:
    """For each row the ids that it came from, as an Arrow array of lists.

    Args:
        origins: one id or one list of ids a row, or None for no origins.
        rows: how many rows there are.
    """
    import numpy as np
    import pyarrow as pa

    kind = pa.list_(pa.binary(16))
    if origins is None:
        return pa.ListArray.from_arrays(np.zeros(rows + 1, np.int32), pa.array([], pa.binary(16))).cast(kind)
    values = origins.combine_chunks() if isinstance(origins, pa.ChunkedArray) else origins
    if isinstance(values, pa.Array) and not pa.types.is_list(values.type):
        ids = values.cast(pa.binary(16))
        return pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), ids).cast(kind)
    if isinstance(values, pa.Array):
        return values.cast(kind)
    return pa.array([[v] if isinstance(v, bytes) else list(v) for v in values], kind)
