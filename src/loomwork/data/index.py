"""The search index of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, Stopped
from loomwork.core.step import Card, step
from loomwork.data._rows import require_text, uniform_tables
from loomwork.models.engines import library_versions

if TYPE_CHECKING:
    import pyarrow as pa


@step(makes="index", uses=["numpy", "pyarrow"], heavy=True, version=library_versions())
def index(
    data: Dataset,
    model: Model | None = None,
    *,
    text: str = "passage",
    vectors: Literal["float32", "float16"] = "float32",
    max_tokens: Annotated[int, Ge(1)] | None = None,
    out: Path,
) -> Card:
    """Build a search index: BM25 always, vectors too when a model is given.

    Args:
        data: the rows to search; all their columns come back with an answer.
        model: embeds the texts, and later the queries.
        text: the column that is searched.
        vectors: how vectors are stored.
        max_tokens: how much of each text is embedded; by default as much as the model says.

    Raises:
        InputError: there are no rows, or no such column.
    """
    from loomwork.index.search import write_index

    require_text(data, text)
    running = context()
    embed = None
    if model:
        from loomwork.models.encoder import load_encoder

        embed = partial(load_encoder(model, threads=running.threads).embed, max_tokens=max_tokens)

    def progress(done: int, total: int) -> None:
        running.progress(done, total, "rows embedded")
        if running.stop_requested:
            raise Stopped(f"stopped after embedding {done} of {total} rows")

    about = write_index(
        _remembered(data),
        out,
        text=text,
        embed=embed,
        model=model.id if model else "",
        precision=vectors,
        progress=progress,
    )
    return Card(metrics={"rows": about["rows"], "words": about["words"], "postings": about["postings"]})


def _remembered(data: Dataset) -> Iterator[pa.Table]:
    """The rows that are not forgotten."""
    import pyarrow as pa

    gone = context().forgotten
    left = 0
    for table in uniform_tables(data):
        kept = table.filter(pa.array([i not in gone for i in table.column("row_id").to_pylist()])) if gone else table
        left += len(kept)
        yield kept
    if left == 0:
        raise InputError("every row of the dataset was forgotten; there is nothing to index")
