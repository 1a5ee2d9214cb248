"""The tests of data.expect for drift between two versions of a dataset."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.tables import OURS, PLACE
from loomwork.data._checks import Check
from loomwork.data._rows import column_types

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from loomwork.stats.divergence import Measure

BINS = 128  # of numbers: quantiles of both versions together
WORD_BINS = 2048  # that words are hashed into
WORD_ROWS = 4000  # texts of each version whose words are compared: their deals are sums of sparse rows
FEW_VALUES = 64  # texts with no more different values than this are taken as categories
LEAST_DRAWS = 999
SHARPNESS = 20  # deals: so many that the smallest p-value is this far below alpha after Holm


@dataclass(frozen=True)
class DriftTest:
    """One column, one distance.

    Args:
        what: the column, or "length of text", "words of text".
        measure: the distance.
        distance: as measured.
        psi: the population stability index beside it.
        p_value: of the permutation test.
        adjusted: after Holm's correction for all tests.
        rows: compared, in the baseline and in the data.
        changed: "int64 -> string" where the types cannot be one column: a certainty, of which nothing is tested.
    """

    what: str
    measure: Measure
    distance: float
    psi: float
    p_value: float
    rows: tuple[int, int]
    adjusted: float = 1.0
    changed: str = ""

    def as_check(self, tolerance: float, alpha: float) -> Check:
        """Drift is what is both sure and larger than the tolerance; another type is drift at any tolerance."""
        if self.changed:
            sentence = f"{self.what}: {self.changed}, so that no value is as it was"
            return Check(f"drift of {self.what}", self.distance, tolerance, False, sentence)
        drifted = self.adjusted <= alpha and self.distance > tolerance
        sentence = (
            f"{self.what} {'has drifted' if drifted else 'has not drifted'}: {self.measure} {self.distance:.4f} "
            f"(tolerance {tolerance:g}), PSI {self.psi:.3f}, p = {self.adjusted:.2g} after Holm, "
            f"{self.rows[0]} and {self.rows[1]} rows"
        )
        return Check(f"drift of {self.what}", self.distance, tolerance, not drifted, sentence)


def find_drift(
    data: Dataset,
    baseline: Dataset,
    columns: list[str],
    *,
    measure: Literal["auto", "ks", "psi", "jensen-shannon"],
    group: str | None,
    sample_rows: int,
    alpha: float,
    seed: int,
) -> list[DriftTest]:
    """Test each column; see `data.expect`."""
    import dataclasses

    import numpy as np

    from loomwork.stats.multiple import holm

    wanted = [*columns, *([group] if group and group not in columns else [])]
    for version in (baseline, data):
        version.require_rows()
        version.require(*wanted)
    types = _changed_types(columns, baseline.schema, data.schema)
    sizes = (len(baseline), len(data))
    certain = [
        DriftTest(f"type of {column}", _chosen(measure, "jensen-shannon"), 1.0, float("inf"), 0.0, sizes, 0.0, kinds)
        for column, kinds in types.items()
    ]
    columns = [column for column in columns if column not in types]
    if not columns:
        return certain
    wanted = [column for column in wanted if column not in types or column == group]
    order = np.random.default_rng(seed)
    old, new = (_sample(version, wanted, sample_rows, order) for version in (baseline, data))
    views = [view for column in columns for view in _views(column, old, new, measure)]
    draws = max(LEAST_DRAWS, round(SHARPNESS * len(views) / alpha))
    groups = None if group is None else [old.column(group).to_pylist(), new.column(group).to_pylist()]
    tests = [view.test(groups, draws, order) for view in views]
    adjusted = holm([t.p_value for t in tests])
    return certain + [dataclasses.replace(t, adjusted=p) for t, p in zip(tests, adjusted, strict=True)]


def testable(kind: pa.DataType) -> bool:
    """Whether a column of this type can be tested for drift: numbers, times, texts and booleans."""
    import pyarrow.types as t

    texts = t.is_string(kind) or t.is_large_string(kind) or t.is_boolean(kind) or t.is_null(kind)
    return bool(texts or t.is_temporal(kind) or t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind))


def comparable_columns(old: Dataset, new: Dataset) -> list[str]:
    """The columns of both versions that can be tested or have another type, but for where a row stood."""
    before, after = old.schema, new.schema
    both = [name for name in after.names if name in before.names and name not in (*OURS, *PLACE)]
    changed = _changed_types(both, before, after)
    return [c for c in both if c in changed or (testable(before.field(c).type) and testable(after.field(c).type))]


def _changed_types(columns: list[str], before: pa.Schema, after: pa.Schema) -> dict[str, str]:
    """Both types of each column whose values in the two versions cannot be one column."""
    import pyarrow as pa

    found = {}
    for column in columns:
        pair = [pa.schema([pa.field(column, schema.field(column).type)]) for schema in (before, after)]
        try:
            pa.unify_schemas(pair, promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            found[column] = f"{before.field(column).type} -> {after.field(column).type}"
    return found


def _sample(version: Dataset, columns: list[str], rows: int, order: np.random.Generator) -> pa.Table:
    """At most so many rows of a version, at random and in random order: the first of them are a random sample too."""
    import numpy as np
    import pyarrow as pa

    total = len(version)
    chosen = np.zeros(total, dtype=bool)
    chosen[order.permutation(total)[:rows]] = True
    kinds, pieces, start = column_types(version, columns), [], 0
    for table in version.tables(columns):
        pieces.append(table.select(columns).cast(kinds).filter(chosen[start : start + len(table)]))
        start += len(table)
    found = pa.concat_tables(pieces)
    return found.take(pa.array(order.permutation(len(found))))


@dataclass(frozen=True)
class _View:
    """A column of both versions as bins: `bins` (rows,) for one bin a row, or a sparse matrix (rows, bins)."""

    what: str
    measure: Measure
    bins: Any
    old_rows: int
    number_of_bins: int

    def test(self, groups: list[list[Any]] | None, draws: int, order: np.random.Generator) -> DriftTest:
        import numpy as np
        from scipy.sparse import csr_array

        from loomwork.stats.divergence import MEASURES, grouped_permutation_p, permutation_p, psi

        one_a_row = isinstance(self.bins, np.ndarray)
        rows = self.bins.shape[0]
        is_new = np.arange(rows) >= self.old_rows
        matrix = self.bins
        if one_a_row:
            there = np.flatnonzero(self.bins >= 0)
            matrix = csr_array((np.ones(there.size), (there, self.bins[there])), shape=(rows, self.number_of_bins))
        before, after = (np.asarray(matrix[side].sum(axis=0)).ravel() for side in (~is_new, is_new))
        sizes = (self.old_rows, rows - self.old_rows)
        if not before.sum() or not after.sum():
            empty = float(before.sum() != after.sum())  # all values missing on one side only: as far as can be
            return DriftTest(self.what, self.measure, empty, empty, 1.0 - empty, sizes)
        if groups is None and one_a_row:
            p = permutation_p(before, after, self.measure, draws=draws, order=order)
        else:
            dealt, is_after = (matrix, is_new) if groups is None else _by_group(matrix, groups, self.old_rows)
            p = grouped_permutation_p(dealt, is_after, self.measure, draws=draws, order=order)
        distance = float(MEASURES[self.measure](before, after))
        return DriftTest(self.what, self.measure, distance, float(psi(before, after)), p, sizes)


def _by_group(matrix: Any, groups: list[list[Any]], old_rows: int) -> tuple[Any, np.ndarray]:
    """Counts (groups, bins) and which groups are new. A group that both versions have is two: its rows were dealt."""
    import numpy as np
    from scipy.sparse import csr_array

    names = [("old", repr(v)) for v in groups[0]][:old_rows] + [("new", repr(v)) for v in groups[1]]
    names = names[: matrix.shape[0]]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    member = csr_array((np.ones(len(names)), ([number[n] for n in names], np.arange(len(names)))))
    return member @ matrix, np.array([side == "new" for side, _ in number])


def _views(column: str, old: pa.Table, new: pa.Table, measure: str) -> list[_View]:
    """What of a column is compared, and by which distance."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    both = pa.concat_tables([old.select([column]), new.select([column])], promote_options="permissive").column(column)
    kind = both.type
    if t.is_temporal(kind) or t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        values = both
        if t.is_temporal(kind):
            values = both.cast(pa.int32() if t.is_date32(kind) or t.is_time32(kind) else pa.int64())
        return [_View(column, _chosen(measure, "ks"), _quantile_bins(values.to_numpy()), len(old), BINS)]
    if not testable(kind):
        raise InputError(f"column {column!r} holds {kind}; drift is tested on numbers, times, texts and booleans")
    if t.is_null(kind) or pc.count_distinct(both, mode="all").as_py() <= FEW_VALUES:
        numbers, size = _numbers(both)
        return [_View(column, _chosen(measure, "jensen-shannon"), numbers, len(old), size)]
    lengths = pc.fill_null(pc.utf8_length(both), -1).to_numpy()
    words, old_rows = _word_counts(both, len(old), len(new))
    return [
        _View(f"length of {column}", _chosen(measure, "ks"), _quantile_bins(lengths), len(old), BINS),
        _View(f"words of {column}", _chosen(measure, "jensen-shannon"), words, old_rows, WORD_BINS),
    ]


def _chosen(measure: str, automatic: Measure) -> Measure:
    return automatic if measure == "auto" else measure  # type: ignore[return-value]


def _quantile_bins(values: Any) -> np.ndarray:
    """Each number's bin among the quantiles of all, int64 (rows,); those that are missing have the last bin."""
    import numpy as np

    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    bins = np.full(values.size, BINS - 1)
    if known.any():
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS - 1)[1:-1], method="inverted_cdf"))
        bins[known] = np.searchsorted(edges, values[known], side="left")
    return bins


def _numbers(column: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """Each value's number, in order of spelling; null is a value."""
    import numpy as np

    values = [repr(v) for v in column.to_pylist()]
    number = {name: i for i, name in enumerate(sorted(set(values)))}
    return np.array([number[v] for v in values]), len(number)


def _word_counts(column: pa.ChunkedArray, old: int, new: int) -> tuple[Any, int]:
    """Hashed words of WORD_ROWS texts of each version, a sparse matrix (rows, WORD_BINS), and the rows of the old.

    The first are taken: `_sample` gives them in random order.
    """
    import numpy as np
    from scipy.sparse import csr_array

    from loomwork.text.words import search_words

    texts = column[: min(old, WORD_ROWS)].to_pylist() + column[old : old + min(new, WORD_ROWS)].to_pylist()
    rows: list[int] = []
    bins: list[int] = []
    for row, text in enumerate(texts):
        words = search_words(text or "")
        rows.extend([row] * len(words))
        bins.extend(zlib.crc32(w.encode("utf-8", "surrogatepass")) % WORD_BINS for w in words)
    counts = csr_array((np.ones(len(bins)), (rows, bins)), shape=(len(texts), WORD_BINS))
    return counts, min(old, WORD_ROWS)
