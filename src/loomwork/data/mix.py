"""A mixture of datasets: sources, domains or languages in wanted shares, in one random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt

from loomwork.core.context import context
from loomwork.core.dataset import OURS, Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.ranges import Seed
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, refuse_idle, require_one_schema, require_text
from loomwork.stats.mixture import apportion, mixture_shares

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BLOCK_ROWS = 8192
NOT_DRAWN = "not drawn: its source has more rows than its share"


@step(makes="dataset", uses=["numpy"])
def mix(
    data: dict[str, Dataset],
    *,
    weights: dict[str, Annotated[float, Gt(0)]] | None = None,
    temperature: Annotated[float, Gt(0)] | None = None,
    unit: Literal["rows", "characters"] = "rows",
    column: str = "text",
    size: Annotated[int, Ge(1)] | None = None,
    most_repeats: Annotated[int, Ge(1)] = 4,
    name_column: str = "mixture",
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Mix datasets in wanted shares, in one random order, with a column that names each row's source.

    Rows are taken at random; those that are not drawn are dropped. A source that is too small for its share is read
    several times over. Rows of one source keep their order.

    Args:
        data: the sources by name.
        weights: the share of each, up to a factor. None: they follow from the sizes and `temperature`.
        temperature: shares proportional to size ** (1 / temperature): 1 keeps the natural ones, more raises small ones.
            None without weights for 1.
        unit: what shares and size count; characters are those of `column`.
        column: the text column, for characters.
        size: how large the mixture is, in `unit`. None: as large as it can be with no row twice.
        most_repeats: the most often that a row may be read.
        name_column: the column for the source's name; no source may have it.
        seed: of the choice and the order.

    Raises:
        InputError: weights do not fit the sources, or are given beside a temperature; the size needs more repeats than
            `most_repeats`.

    Source: temperature, Arivazhagan et al. (2019); repeats, Muennighoff et al. (2023).
    """
    import numpy as np

    if not data:
        raise InputError("mix has no source", "name at least one, as in data: {web: $web, code: $code}")
    if weights is not None:
        refuse_idle("weights are the shares", "leave one of the two out", temperature=temperature)
    for name, source in data.items():
        if source.shards() and name_column in source.schema.names:
            raise InputError(f"source {name!r} has a column {name_column!r} already", "set name_column to another name")
    require_one_schema(data)
    rows = {name: _size(name, source, unit, column)[0] for name, source in data.items()}
    sizes = {name: _size(name, source, unit, column)[1] for name, source in data.items()}
    try:
        shares = mixture_shares(sizes, weights=weights, temperature=temperature or 1.0)
    except ValueError as error:
        raise InputError(f"no mixture: {error}") from None
    wanted = _row_counts(rows, sizes, shares, size, most_repeats)
    order = np.random.default_rng(seed)
    with DatasetWriter(out) as writer:
        streams = {name: _Stream(_picked(data[name], wanted[name], rows[name], order, writer)) for name in sorted(data)}
        turns = order.permutation(np.repeat(np.arange(len(streams)), [wanted[name] for name in sorted(data)]))
        for start in range(0, turns.size, BLOCK_ROWS):
            block = turns[start : start + BLOCK_ROWS]
            table, ids = _block(block, streams, name_column)
            writer.write(table, origins=ids)
            context().progress(min(start + BLOCK_ROWS, turns.size), turns.size, "rows")
        for stream in streams.values():
            stream.drain()
    repeated = {f"repeats: {n}": wanted[n] / rows[n] for n in sorted(rows)}
    return counted(writer, **{f"share: {n}": shares[n] for n in sorted(shares)}, **repeated)


def _size(name: str, source: Dataset, unit: str, column: str) -> tuple[int, float]:
    """(rows, size in the unit)."""
    import pyarrow.compute as pc

    try:
        if unit == "rows":
            source.require_rows()
            return len(source), float(len(source))
        require_text(source, column)
    except InputError as error:
        raise InputError(f"source {name!r}: {error.what}", error.hint) from None
    characters = sum(
        pc.sum(pc.utf8_length(t.column(column).cast("string"))).as_py() or 0 for t in source.tables([column])
    )
    if not characters:
        raise InputError(f"source {name!r}: column {column!r} holds no text")
    return len(source), float(characters)


def _row_counts(
    rows: Mapping[str, int],
    sizes: Mapping[str, float],
    shares: Mapping[str, float],
    size: int | None,
    most_repeats: int,
) -> dict[str, int]:
    """How many rows of each source the mixture has."""
    total = min(sizes[n] / shares[n] for n in rows) if size is None else float(size)
    per_row = {n: sizes[n] / rows[n] for n in rows}  # 1 where rows are counted
    exact = {n: shares[n] * total / per_row[n] for n in rows}
    whole = sum(exact.values())
    counts = apportion({n: x / whole for n, x in exact.items()}, round(whole))
    for name, count in counts.items():
        if size is None:
            counts[name] = min(count, rows[name])
        elif count > most_repeats * rows[name]:
            raise InputError(
                f"source {name!r} has {rows[name]} rows, and its share of {shares[name]:.3f} needs {count}: "
                f"each would be read {count / rows[name]:.1f} times",
                "take a smaller size or weight, or raise most_repeats",
            )
    return counts


def _picked(
    source: Dataset, count: int, rows: int, order: np.random.Generator, writer: DatasetWriter
) -> Iterator[pa.Table]:
    """The rows of a source that were picked, pass by pass, in their order; those that are never picked are dropped."""
    import numpy as np

    passes, rest = divmod(count, rows)
    chosen = np.zeros(rows, dtype=bool)
    chosen[order.permutation(rows)[:rest]] = True

    def tables() -> Iterator[pa.Table]:
        for turn in range(passes + (rest > 0)):
            start = 0
            for table in source.tables():
                mine = chosen[start : start + len(table)]
                start += len(table)
                if not passes:
                    writer.drop(table.filter(~mine), NOT_DRAWN)
                yield table if turn < passes else table.filter(mine)
        if not count:
            for table in source.tables():
                writer.drop(table, NOT_DRAWN)

    return tables()


class _Stream:
    """Tables one after the other, taken by numbers of rows."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self.tables = tables
        self.rest: pa.Table | None = None

    def take(self, count: int) -> pa.Table:
        """The next `count` rows."""
        import pyarrow as pa

        taken = []
        while count:
            table = next(self.tables) if self.rest is None else self.rest
            taken.append(table[:count])
            self.rest = table[count:] if len(table) > count else None
            count -= len(taken[-1])
        return pa.concat_tables(taken, promote_options="permissive")

    def drain(self) -> None:
        """Go through what was not taken."""
        for _ in self.tables:
            pass


def _block(block: np.ndarray, streams: dict[str, _Stream], name_column: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """The next rows of the mixture, with their names, and their ids in the sources."""
    import numpy as np
    import pyarrow as pa

    pieces, places = [], []
    for i, (name, stream) in enumerate(streams.items()):
        at = np.flatnonzero(block == i)
        if at.size:
            table = stream.take(at.size)
            pieces.append(table.append_column(name_column, pa.array([name] * len(table))))
            places.append(at)
    table = pa.concat_tables(pieces, promote_options="permissive").take(np.argsort(np.concatenate(places)))
    return table.drop_columns([n for n in OURS if n in table.column_names]), table.column("row_id")
