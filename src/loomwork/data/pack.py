"""Token rows of any length, packed into rows of one length."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import counted

BLOCK_ROWS = 16_384  # that are packed together: in memory at once


@step(makes="dataset", uses=["numpy"])
def pack(data: Dataset, *, length: Annotated[int, Ge(1)] = 2048, out: Path) -> Card:
    """Pack rows of token ids into rows of at most `length` tokens, so that little of a batch is padding.

    Each packed row has `input_ids`, `lengths` (of the rows in it, in their order: a trainer resets positions and
    attention there) and, where the input has it, `loss_mask`. No row is cut; one that is longer than `length` is
    dropped. `origin_ids` names the rows that were packed.

    Args:
        data: what data.tokenize makes.
        length: of a packed row, in tokens.

    Raises:
        InputError: the data has no `input_ids`, or nothing fits.

    Source: best-fit decreasing, Krell et al. (2021), arXiv:2107.02027.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.stats.bins import best_fit

    data.require_rows()
    data.require("input_ids")
    names = [n for n in ("input_ids", "loss_mask") if n in data.schema.names]
    kinds = [("input_ids", pa.list_(pa.int32())), ("loss_mask", pa.list_(pa.bool_()))][: len(names)]
    schema = pa.schema([*kinds, ("lengths", pa.list_(pa.int32()))])
    tokens = done = 0
    with DatasetWriter(out) as writer:
        for batch in data.batches(rows=BLOCK_ROWS):
            table = pa.Table.from_batches([batch])
            rows = table.select([*names, "row_id"]).to_pylist()
            sizes = np.array([len(r["input_ids"]) for r in rows])
            fits = np.flatnonzero(sizes <= length)
            made: list[dict[str, Any]] = []
            origins = []
            for members in best_fit(sizes[fits], length):
                taken = [rows[fits[m]] for m in sorted(members)]
                joined = {n: [x for row in taken for x in row[n]] for n in names}
                made.append(joined | {"lengths": [len(row["input_ids"]) for row in taken]})
                origins.append([row["row_id"] for row in taken])
                tokens += len(joined["input_ids"])
            if made:
                writer.write(pa.Table.from_pylist(made, schema=schema), origins=origins)
            long = np.flatnonzero(sizes > length)
            writer.drop(table.take(pa.array(long)), [f"too long: {sizes[i]} tokens" for i in long])
            done += len(rows)
            context().progress(done, len(data), "rows")
    if not tokens:
        raise InputError(f"no row is at most {length} tokens long", "take a larger length, or data.tokenize max_tokens")
    return counted(writer, tokens=tokens, filled_share=tokens / (writer.counts["data"] * length))
