"""Rule: texts that surprise an n-gram model too much, or too little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level
from loomwork.core.step import Card, Files
from loomwork.data.filters import Learned
from loomwork.data.filters._examples import example_texts
from loomwork.data.filters._measured import in_blocks, need_numba

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from loomwork.text.perplexity import Surprise, Unit

USES = ("numba", "numpy")
QUANTILE_ROWS = 20_000  # that a quantile is taken over at most
SEED = 5


def perplexity(
    data: Dataset,
    *,
    column: str,
    max_perplexity: Annotated[float, Gt(0)] | None = None,
    min_perplexity: Annotated[float, Gt(0)] | None = None,
    max_quantile: Level | None = None,
    min_quantile: Level | None = None,
    unit: Literal["word", "character"] = "word",
    order: Annotated[int, Ge(1), Le(8)] = 3,
    reference: Annotated[Path | None, Files()] = None,
    reference_column: str = "text",
    ignore_case: bool = True,
    train_megabytes: Annotated[float, Gt(0)] = 32.0,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts whose perplexity is out of bounds: {perplexity: {max_quantile: 0.95}}.

    The model is an interpolated modified Kneser-Ney n-gram model, trained before the first row is judged: on a
    reference, or on the data itself. Then there are two models, each trained on a half of the texts, and a text is
    judged by the one that has not seen it; equal texts lie in the same half. A text without words is kept.

    Args:
        data: rows with a text column.
        column: the text column.
        max_perplexity, min_perplexity: bounds of the perplexity per unit: 2 to the bits that a text and its end cost,
            by the units and the end. Per word it goes into the hundreds or thousands, per character up to some tens.
        max_quantile, min_quantile: the same as shares of the texts, 0 to 1: 0.95 drops the most surprising twentieth.
            They are taken over a sample of at most 20,000 rows; the card tells the perplexity that they stand for.
        unit: words (between white space, punctuation apart), or characters, for languages without spaces.
        order: the length of the longest n-gram.
        reference: a file, folder or dataset of good texts to train on.
        reference_column: where its text is.
        ignore_case: the model reads lower case.
        train_megabytes: of text that a model is trained on at most: of the data a sample, of a reference the beginning.

    Raises:
        InputError: there is no bound, or there is too little text to train on.

    Source: Wenzek et al. (2020), CCNet, section 3.3, for the idea; text/ngram.py for the model.
    """
    import polars as pl

    bounds = (min_perplexity, max_perplexity, min_quantile, max_quantile)
    if all(bound is None for bound in bounds):
        raise InputError("rule perplexity has no bound", "for example {perplexity: {max_quantile: 0.95}}")
    need_numba("perplexity")
    judge = _Judge(column, unit, ignore_case)
    if reference:
        texts = _beginning(example_texts(reference, reference_column, "rule perplexity, reference"), train_megabytes)
        judge.train([pl.Series(list(texts), dtype=pl.String)], order)
    else:
        judge.train(_halves(data, column, train_megabytes), order)
    sample = pl.concat([judge.perplexities(rows) for rows in _sample(data, column)]).drop_nans()
    if not len(sample):
        raise InputError("rule perplexity: no text has a word")
    low = _bound(sample, min_perplexity, min_quantile, max)
    high = _bound(sample, max_perplexity, max_quantile, min)
    card = Card({"median perplexity": _value(sample, 0.5), f"{unit}s trained on": float(judge.trained_on)})
    card.metrics |= {name: v for name, v in (("lowest kept", low), ("highest kept", high)) if v is not None}

    def rule(rows: pl.DataFrame) -> pl.Series:
        found = pl.col("found")
        verdict = (
            pl.when(found.is_nan())
            .then(pl.lit(""))
            .when(found > (float("inf") if high is None else high))
            .then(pl.format("too surprising: {}", found.round(1)))
            .when(found < (0.0 if low is None else low))
            .then(pl.format("too predictable: {}", found.round(1)))
            .otherwise(pl.lit(""))
        )
        return pl.DataFrame({"found": judge.perplexities(rows)}).select(reason=verdict).to_series()

    return Learned(rule, card)


class _Judge:
    """One model, or one for each half of the texts."""

    def __init__(self, column: str, unit: Unit, ignore_case: bool) -> None:
        self.column, self.unit, self.ignore_case = column, unit, ignore_case
        self.models: list[Surprise] = []
        self.trained_on = 0

    def train(self, parts: list[pl.Series], order: int) -> None:
        """A model for each part, to judge the other: the first part's model is the last in the list."""
        import numpy as np

        from loomwork.text.perplexity import marked, train_surprise

        for texts in reversed(parts):
            blocks = in_blocks(self._folded(texts), lambda data, offsets: marked(data, offsets, self.unit))
            symbols = np.concatenate(blocks) if blocks else np.empty(0, np.int64)
            units = symbols.size - 2 * len(texts)
            if units < 1:
                raise InputError("rule perplexity: there are too few texts to learn from", "give a reference")
            self.trained_on += units
            self.models.append(train_surprise(symbols, self.unit, order))

    def perplexities(self, rows: pl.DataFrame) -> pl.Series:
        """Of each row's text, NaN where it has no units."""
        import numpy as np
        import polars as pl

        texts = rows[self.column].cast(pl.String).fill_null("")
        half = _half(texts) if len(self.models) > 1 else np.zeros(len(texts), np.int64)
        folded, found = self._folded(texts), np.full(len(texts), np.nan)
        for number, model in enumerate(self.models):
            places = np.flatnonzero(half == number)
            if places.size:
                found[places] = _perplexities(folded.gather(places), model)
        return pl.Series(found)

    def _folded(self, texts: pl.Series) -> pl.Series:
        return texts.str.to_lowercase() if self.ignore_case else texts


def _perplexities(texts: pl.Series, model: Surprise) -> np.ndarray:
    import numpy as np

    blocks = in_blocks(texts, model.bits)
    bits, units = (np.concatenate([block[i] for block in blocks]) for i in (0, 1))
    found: np.ndarray = np.where(units > 0, np.exp2(bits / (units + 1)), np.nan)
    return found


def _half(texts: pl.Series) -> np.ndarray:
    """0 or 1 for each text, the same for equal texts."""
    found: np.ndarray = (texts.hash(seed=SEED) % 2).to_numpy()
    return found


def _halves(data: Dataset, column: str, megabytes: float) -> list[pl.Series]:
    """A sample of the texts, cut in two."""
    import polars as pl

    total = sum(int(_texts(table, column).str.len_bytes().sum()) for table in data.tables([column]))
    share = min(1.0, megabytes * 1e6 / max(1, total))
    pieces: list[list[pl.Series]] = [[], []]
    for table in data.tables([column]):
        texts = _texts(table, column)
        texts = _some(texts, share, SEED + 1)
        half = pl.Series(_half(texts))
        for number in (0, 1):
            pieces[number].append(texts.filter(half == number))
    return [pl.concat(piece) for piece in pieces]


def _some(texts: pl.Series, share: float, seed: int) -> pl.Series:
    """A sample of the texts; equal texts are in it or not in it together."""
    parts = 1 << 30
    return texts.filter(texts.hash(seed=seed) % parts < share * parts)


def _sample(data: Dataset, column: str) -> Iterator[pl.DataFrame]:
    """At most about 20,000 rows, shard by shard."""
    share = min(1.0, QUANTILE_ROWS / max(1, len(data)))
    for table in data.tables([column]):
        texts = _texts(table, column)
        yield _some(texts, share, SEED + 2).alias(column).to_frame()


def _texts(table: pa.Table, column: str) -> pl.Series:
    import polars as pl

    return pl.DataFrame(table)[column].cast(pl.String).fill_null("")


def _beginning(texts: Iterator[str], megabytes: float) -> Iterator[str]:
    left = megabytes * 1e6
    for text in texts:
        yield text
        left -= len(text.encode("utf-8", "surrogatepass"))
        if left <= 0:
            return


def _bound(
    sample: pl.Series, value: float | None, quantile: float | None, stricter: Callable[[float, float], float]
) -> float | None:
    if quantile is None:
        return value
    found = _value(sample, quantile)
    return found if value is None else stricter(found, value)


def _value(sample: pl.Series, quantile: float) -> float:
    return float(sample.quantile(quantile, "linear") or 0.0)
