"""The rows of a home that an SQL condition means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.tables import read_shard
from loomwork.core.trace import Tracer
from loomwork.data.filters.expression import parsed

if TYPE_CHECKING:
    import polars as pl

    from loomwork.core.home import Home


def rows_where(home: Home, condition: str, *, within: str = "") -> set[bytes]:
    """The ids of the rows for which a condition holds, `dropped` ones too.

    Args:
        home: where to look.
        condition: Polars SQL on the columns of a row: "source LIKE 'blog/%' AND author = 'A. Writer'".
        within: a dataset's name or id. "": every dataset that was read from outside and has the columns.

    Raises:
        InputError: it is no condition, or no dataset there has its columns.
    """
    import polars as pl

    try:
        wanted = parsed(condition)
    except ValueError as error:
        raise InputError(f"{condition!r}: {error}", "a row id is 8 to 32 hex letters; else write a condition") from None
    columns = wanted.meta.root_names()
    found: set[bytes] = set()
    fits, seen = False, set()
    for data in _datasets(home, within):
        for part in data.parts:
            for shard in data.select(part).shards():
                frame = pl.DataFrame(read_shard(shard))
                seen |= set(frame.columns)
                if set(columns) <= set(frame.columns):
                    fits = True
                    found |= set(_matching(frame, wanted, condition))
    if not fits:
        missing = sorted(set(columns) - seen) or columns
        where = within or "what was read from outside"
        raise InputError(f"no dataset in {where} has the column {missing[0]!r}", did_you_mean(missing[0], seen))
    return found


def _datasets(home: Home, within: str) -> Iterator[Dataset]:
    tracer = Tracer(home)
    if within:
        yield home.store.open(home.find(within), Dataset)
        return
    from_outside = {artifact for run, (artifact, kind) in tracer.made.items() if not tracer.reads.get(run)}
    for artifact_id in tracer.datasets():
        opened = tracer.open(artifact_id)
        if artifact_id in from_outside and opened:
            yield Dataset(opened.path)


def _matching(frame: pl.DataFrame, wanted: pl.Expr, condition: str) -> list[bytes]:
    import polars as pl

    try:
        mask = frame.select(wanted.alias("found"))["found"]
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{condition!r} cannot be worked out: {error}") from None
    if mask.dtype not in (pl.Boolean, pl.Null):
        raise InputError(f"{condition!r} gives {mask.dtype}, not true or false", "compare it: year < 2000")
    return list(frame["row_id"].filter(mask.cast(pl.Boolean).fill_null(value=False)))
