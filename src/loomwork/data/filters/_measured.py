"""What rules share that measure texts with compiled kernels and hold them against limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from loomwork.core.context import context
from loomwork.core.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

BLOCK_BYTES = 4 << 20  # of text that a thread measures at once
Measures = TypeVar("Measures")


class Limit(NamedTuple):
    """One check of a rule.

    Args:
        reason: why a text is dropped that does not pass, as in "too few words".
        values: what was measured, one value a text.
        least, most: what passes lies between them, both included; None for no limit.
    """

    reason: str
    values: np.ndarray
    least: float | None = None
    most: float | None = None


def need_numba(rule: str) -> None:
    """Refuse a rule whose kernels cannot be compiled here.

    Raises:
        MissingDependency: numba is not installed.
    """
    try:
        import numba  # noqa: F401
    except ModuleNotFoundError:
        raise MissingDependency(f"the filter rule {rule}", "numba", "curate") from None


def broken(blocks: Sequence[Sequence[Limit]]) -> pl.Series:
    """The first limit that each text breaks, with the value: "too few words: 12"; "" where it breaks none.

    Args:
        blocks: the limits for the texts of each block, in the order of the texts.
    """
    import polars as pl

    return pl.concat([pl.Series([], dtype=pl.String), *map(_broken, blocks)])


def _broken(limits: Sequence[Limit]) -> pl.Series:
    import numpy as np
    import polars as pl

    texts = len(limits[0].values)
    found = pl.repeat("", texts, dtype=pl.String, eager=True)
    open_yet = np.ones(texts, bool)
    for limit in limits:
        out = open_yet.copy()
        out &= (limit.values < (-np.inf if limit.least is None else limit.least)) | (
            limit.values > (np.inf if limit.most is None else limit.most)
        )
        if out.any():
            told = pl.Series(np.round(limit.values[out].astype(float), 3)).cast(pl.String).str.strip_suffix(".0")
            found = found.scatter(np.flatnonzero(out), limit.reason + ": " + told)
            open_yet &= ~out
    return found


def in_blocks(texts: pl.Series, measure: Callable[[np.ndarray, np.ndarray], Measures]) -> list[Measures]:
    """Measure texts block by block, on the threads of the running step.

    Args:
        texts: a column of texts; null counts as empty.
        measure: is given the bytes of all texts, uint8, and where the block's texts begin and the last one ends.

    Returns: what it gives, in the order of the texts.
    """
    import numpy as np

    from loomwork.text.minhash import Texts

    found = Texts.of_column(texts)
    data, offsets = found.data, found.offsets
    wanted = np.arange(offsets[0] + BLOCK_BYTES, offsets[-1], BLOCK_BYTES)
    cuts = np.unique([0, *np.searchsorted(offsets, wanted), len(found)])
    blocks = [offsets[a : b + 1] for a, b in pairwise(cuts)]
    with ThreadPoolExecutor(max(1, min(context().threads, len(blocks)))) as pool:
        return list(pool.map(lambda block: measure(data, block), blocks))
