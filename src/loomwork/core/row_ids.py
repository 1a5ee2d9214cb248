"""The 128-bit ids of rows: a hash of their content that does not depend on library versions or the platform.

Each value becomes two words of 64 bits: a number and a type letter, or, for a text, the hash of its bytes, for a list
the hash of those of its elements. The id is the hash of a row's words under a key made from the column names. So 1
and "1" differ, and 1 in a column of 32 bits is 1 in one of 64 bits. Words and short texts are hashed by
SipHash-1-3-128, many at once; texts of 256 bytes or more by BLAKE2b, which costs less from there on. The keys are
public: ids tell rows apart, they are no seal against someone who makes two short rows to have one id.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from loomwork.core.siphash import hash_slices, hash_words
from loomwork.core.tables import OURS, PLACE, sidecar_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Words = tuple[np.ndarray, np.ndarray]  # both uint64, (rows,)

LONG_BYTES = 256  # from here on BLAKE2b costs less
BATCH_ROWS = 1 << 16
TEXT, BYTES, LIST, OTHER = b"loomwork text   ", b"loomwork bytes  ", b"loomwork list   ", b"loomwork other  "


def row_ids(table: pa.Table) -> pa.Array:
    """The 128-bit content hash of each row: over its data columns, in order of their names.

    Columns that were read from sidecars do not count: a score of a row is not its content.

    Returns: binary array, 16 bytes a row, equal exactly where all the data columns are equal.
    """
    import numpy as np
    import pyarrow as pa

    names = sorted(f.name for f in table.schema if f.name not in OURS and not sidecar_of(f))
    if not names:
        return pa.nulls(len(table), pa.binary(16))
    table = table.select(names)
    if len(table) < BATCH_ROWS or any(column.num_chunks > 1 + len(table) // BATCH_ROWS for column in table.columns):
        table = table.combine_chunks()
    key = _key(names)
    found = [_row_hashes(batch.columns, key) for batch in table.to_batches(max_chunksize=BATCH_ROWS)]
    content = np.concatenate(found) if found else np.empty((0, 2), "<u8")
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(content), [None, pa.py_buffer(content)])


def content_ids(table: pa.Table) -> pa.Array:
    """The same without the columns that say where a row stood: equal for the same content elsewhere."""
    return row_ids(table.drop_columns([n for n in (*OURS, *PLACE) if n in table.column_names]))


def _key(names: list[str]) -> bytes:
    lengths = b"".join(len(name.encode()).to_bytes(8, "little") for name in names)
    return hashlib.blake2b(lengths + "".join(names).encode(), digest_size=16).digest()


def _row_hashes(columns: list[pa.Array], key: bytes) -> np.ndarray:
    """The hash of each row of some columns: uint64, (rows, 2)."""
    return hash_words([word for column in columns for word in _words(column)], key)


def _words(array: pa.Array) -> Words:
    """Two words for each value: a number and its type letter, or a hash under the key of its type."""
    import numpy as np
    import pyarrow as pa

    while isinstance(array, pa.ExtensionArray | pa.DictionaryArray | pa.RunEndEncodedArray):
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        else:
            array = array.cast(array.type.value_type)
    if pa.types.is_null(array.type):
        return np.zeros(len(array), "<u8"), np.full(len(array), ord("n"), "<u8")
    first, second = _hashed(array) if _has_bytes(array.type) else _plain(array)
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        first, second = np.where(valid, first, np.uint64(0)), np.where(valid, second, np.uint64(ord("n")))
    return first, second


def _has_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    plain = (types.is_boolean, types.is_integer, types.is_floating, types.is_temporal)
    return types.is_interval(kind) or not any(is_plain(kind) for is_plain in plain)


def _plain(array: pa.Array) -> Words:
    """The words of numbers and times; what stands for a null does not matter."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = array.type, pa.types

    def numpy(values: pa.Array) -> np.ndarray:
        numbers: np.ndarray = pc.fill_null(values, pa.scalar(0).cast(values.type)).to_numpy(zero_copy_only=False)
        return numbers

    def letter(name: str) -> np.ndarray:
        return np.full(len(array), ord(name), "<u8")

    if types.is_boolean(kind):
        return numpy(array).astype("<u8"), letter("?")
    if types.is_floating(kind):
        floats = numpy(array.cast(pa.float64()))
        return np.where(np.isnan(floats), np.nan, floats).view("<u8"), letter("d")  # there is more than one NaN
    if types.is_integer(kind):
        numbers = numpy(array)
        huge = numbers > np.iinfo(np.int64).max
        return numbers.astype(numbers.dtype.kind + "8").view("<u8"), np.where(huge, ord("u"), letter("i"))
    if types.is_date(kind):
        return numpy(array.cast(pa.date32()).cast(pa.int32())).astype("i8").view("<u8"), letter("D")
    ticks = numpy(array.view(pa.int32() if types.is_time32(kind) else pa.int64())).astype("i8")
    a_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]  # the unit of a column does not matter
    nanoseconds = (ticks % a_second * (10**9 // a_second)).view("<u8") << np.uint64(8)
    name = "Z" if types.is_timestamp(kind) and kind.tz else "T" if types.is_timestamp(kind) else "h"
    name = "e" if types.is_duration(kind) else name
    return (ticks // a_second).view("<u8"), nanoseconds | letter(name)


def _hashed(array: pa.Array) -> Words:
    """The words of texts, bytes, lists, structs and what else there is; what stands for a null does not matter."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = array.type, pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _byte_hashes(array.cast(pa.large_string()), TEXT)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return _byte_hashes(array.cast(pa.large_binary()), BYTES)
    if types.is_fixed_size_binary(kind) and not types.is_decimal(kind):
        return _byte_hashes(array.cast(pa.large_binary()), BYTES)
    if types.is_map(kind):
        return _list_hashes(_row_hashes([array.keys, array.items], _key(["key", "value"])), array.offsets)
    if types.is_fixed_size_list(kind):
        array = array.cast(pa.large_list(kind.value_type))
    if types.is_list_view(kind) or types.is_large_list_view(kind):  # their casts lose the last offset
        array = pa.array(array.to_pylist(), pa.large_list(kind.value_type))
    if types.is_list(array.type) or types.is_large_list(array.type):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        elements = _row_hashes([array.values.slice(first, last - first)], LIST)
        return _list_hashes(elements, pc.subtract(array.offsets, first))
    if types.is_struct(kind) and kind.num_fields:
        fields = sorted(range(kind.num_fields), key=lambda i: str(kind.field(i).name))
        hashes = _row_hashes([array.field(i) for i in fields], _key([kind.field(i).name for i in fields]))
        return hashes[:, 0], hashes[:, 1]
    spelled = [str(value).encode() for value in array.to_pylist()]  # decimals, intervals
    return _byte_hashes(pa.array(spelled, pa.large_binary()), OTHER)


def _byte_hashes(array: pa.Array, key: bytes) -> Words:
    """The hash of each value's bytes, of a large_string or large_binary array."""
    import numpy as np

    _, offsets, content = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    lengths = np.diff(ends)
    view = memoryview(content if content is not None else b"")
    long = np.flatnonzero(lengths >= LONG_BYTES)
    if len(long) == 0:
        found = hash_slices(view, ends[:-1], lengths, key)
        return found[:, 0], found[:, 1]
    found = np.empty((len(lengths), 2), "<u8")
    short = np.flatnonzero(lengths < LONG_BYTES)
    found[short] = hash_slices(view, ends[short], lengths[short], key)
    spans = zip(ends[long].tolist(), ends[long + 1].tolist(), strict=True)
    new = hashlib.blake2b
    hashes = b"".join([new(view[a:b], digest_size=16, person=key).digest() for a, b in spans])
    found[long] = np.frombuffer(hashes, "<u8").reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _list_hashes(elements: np.ndarray, offsets: pa.Array) -> Words:
    """The hash of each list from those of its elements, which lie one after the other."""
    import numpy as np

    ends = offsets.to_numpy(zero_copy_only=False).astype(np.int64) * 16
    found = hash_slices(elements.tobytes(), ends[:-1], np.diff(ends), LIST)
    return found[:, 0], found[:, 1]


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
