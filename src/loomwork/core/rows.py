"""Finding rows in datasets by id and by origin, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import Artifact
from loomwork.core.dataset import OURS, SET_ASIDE
from loomwork.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

ID_LETTERS = 32


def shards(artifact: Artifact, part: str = "") -> Iterator[tuple[str, Path]]:
    """(part, shard) of every data shard of a dataset, sidecars left out; of one part if it is given."""
    for folder in sorted(p for p in artifact.path.iterdir() if p.is_dir() and "+" not in p.name):
        if not part or folder.name == part:
            yield from ((folder.name, shard) for shard in sorted(folder.glob("*.parquet")))


def read_parts(artifact: Artifact, part: str) -> list[str]:
    """The parts that a step reads when given this artifact and part: all but what was set aside if none was chosen."""
    return [part] if part else sorted({p for p, _ in shards(artifact)} - SET_ASIDE)


def mask_of(table: pa.Table, ids: Set[bytes], *, origins: bool) -> Any:
    """Which rows have one of these ids, or (with `origins`) came from a row that has.

    Returns: a numpy boolean array, one value a row.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(ids), pa.binary())
    found = pc.is_in(table.column("row_id").cast(pa.binary()), wanted).to_numpy(zero_copy_only=False).copy()
    if origins:
        lists = table.column("origin_ids").combine_chunks()
        hits = pc.is_in(pc.list_flatten(lists).cast(pa.binary()), wanted).to_numpy(zero_copy_only=False)
        owners = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        found[np.unique(owners[hits])] = True
    return found


def find_rows(artifact: Artifact, part: str, ids: Set[bytes], *, origins: bool = False) -> dict[bytes, list[bytes]]:
    """The rows of a part with one of these ids, or that came from one: row id -> its origin ids."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[bytes, list[bytes]] = {}
    for _, shard in shards(artifact, part):
        table = pq.read_table(shard, columns=list(OURS), partitioning=None)
        mask = mask_of(table, ids, origins=origins)
        if mask.any():
            rows = table.filter(pa.array(mask)).to_pylist()
            found |= {r["row_id"]: r["origin_ids"] for r in rows}
    return found


def read_row(artifact: Artifact, part: str, row_id: bytes) -> dict[str, Any]:
    """All columns of one row.

    Raises:
        InputError: the part has no such row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for _, shard in shards(artifact, part):
        ids = pq.read_table(shard, columns=["row_id", "origin_ids"], partitioning=None)
        mask = mask_of(ids, {row_id}, origins=False)
        if mask.any():
            row: dict[str, Any] = pq.read_table(shard, partitioning=None).filter(pa.array(mask)).to_pylist()[0]
            return row
    raise InputError(f"part {part!r} of {artifact.path} has no row {row_id.hex()}")


def ids_like(artifact: Artifact, prefix: str) -> set[bytes]:
    """The ids of rows, in any part, whose hex spelling begins with a prefix."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: set[bytes] = set()
    whole = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    for _, shard in shards(artifact):
        if "row_id" not in pq.read_schema(shard).names:
            continue
        column = pq.read_table(shard, columns=["row_id"], partitioning=None).column("row_id").cast(pa.binary())
        near = column.filter(pc.starts_with(column, whole)).to_pylist()
        found |= {r for r in near if r.hex().startswith(prefix)}
    return found


def looks_like_row(text: str) -> bool:
    """Whether a person may mean a row id, or its beginning: 8 to 32 hex letters."""
    return 8 <= len(text) <= ID_LETTERS and set(text.lower()) <= set("0123456789abcdef")
