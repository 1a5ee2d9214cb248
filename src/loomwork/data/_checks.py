"""The checks of data.expect on one dataset, streamed shard by shard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.data._bounds import bound_tests
from loomwork.data._rows import column_types

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

TYPES = ("text", "integer", "number", "boolean", "time", "list")
TEXT_RULES = ("pattern", "min_chars", "max_chars")
VALUE_RULES = ("low", "high", "values", *TEXT_RULES)


@dataclass(frozen=True)
class Check:
    """One expectation and what was found.

    Args:
        label: what was checked, such as "nulls of label".
        found: the number that was found.
        bound: the number that it is held to, None where it is held to words.
        met: whether it is as expected.
        sentence: for people, with the numbers.
        examples: where the first rows stand that break it.
    """

    label: str
    found: float
    bound: float | None
    met: bool
    sentence: str
    examples: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_rows(data: Dataset, least: int, most: int | None) -> list[Check]:
    """The number of rows."""
    rows = len(data)
    bounds = f"at least {least}" if most is None else f"{least} to {most}"
    met = rows >= least and (most is None or rows <= most)
    return [Check("rows", rows, least if rows < least else most, met, f"{rows} rows, where {bounds} are expected")]


def check_columns(data: Dataset, rules: dict[str, dict[str, Any]], examples: int) -> list[Check]:
    """Schema, nulls and values of the named columns.

    Args:
        rules: by column, as in `data.expect.ColumnRules`.
        examples: how many rows to name for each check that is not met.

    Raises:
        InputError: a rule does not fit the column's type, or makes no sense.
    """
    for c, rule in rules.items():
        _sensible(c, rule)
    have = data.schema.names if data.shards() else []
    missing = [c for c in rules if c not in have]
    checks = [
        Check(f"column {c}", 0.0, 1.0, False, f"there is no column {c!r}. {did_you_mean(c, have)}".strip())
        for c in missing
    ]
    present = {c: rule for c, rule in rules.items() if c not in missing}
    if not present:
        return checks
    kinds = column_types(data, list(present))
    tests = {c: _tests(c, rule, kinds.field(c).type) for c, rule in present.items()}
    seen: dict[str, list[int]] = {c: [0, 0] for c in present}  # rows, nulls
    broken: dict[tuple[str, str], int] = {(c, name): 0 for c in present for name in tests[c]}
    places: dict[tuple[str, str], list[str]] = {key: [] for key in broken}
    for frame in _frames(data, list(present)):
        for c in present:
            column = frame[c]
            seen[c][0] += len(column)
            seen[c][1] += column.null_count()
            for name, test in tests[c].items():
                bad = test(column).fill_null(value=False)
                broken[c, name] += int(bad.sum())
                places[c, name] += _places(frame, bad, examples - len(places[c, name]))
    for c, rule in present.items():
        checks += _judged(c, rule, kinds.field(c).type, seen[c], broken, places)
    return checks


def _judged(
    column: str,
    rule: dict[str, Any],
    kind: pa.DataType,
    seen: list[int],
    broken: dict[tuple[str, str], int],
    places: dict[tuple[str, str], list[str]],
) -> list[Check]:
    rows, nulls = seen
    checks = []
    if "type" in rule:
        met = _is(kind, rule["type"])
        checks.append(
            Check(f"type of {column}", float(met), 1.0, met, f"{column!r} holds {kind}, expected {rule['type']}")
        )
    if "most_null" in rule:
        share = nulls / max(1, rows)
        sentence = f"{nulls} of {rows} rows have no {column!r}; a share of {rule['most_null']:g} is allowed"
        checks.append(Check(f"nulls of {column}", share, rule["most_null"], share <= rule["most_null"], sentence))
    allowed = rule.get("most_outside", 0.0)
    for (c, name), count in broken.items():
        if c == column:
            share = count / max(1, rows - nulls)
            sentence = f"{count} of {rows - nulls} values of {column!r} break {name} = {_shown(rule[name])}"
            checks.append(Check(f"{name} of {column}", share, allowed, share <= allowed, sentence, places[c, name]))
    return checks


def _tests(column: str, rule: dict[str, Any], kind: pa.DataType) -> dict[str, Callable[[pl.Series], pl.Series]]:
    """For each rule of values a test that is true where a value breaks it."""
    import polars as pl
    import pyarrow.types as t

    if "type" in rule:
        _is(kind, rule["type"])  # refuses a type that is none
    for name in TEXT_RULES:
        if name in rule and not (t.is_string(kind) or t.is_large_string(kind) or t.is_null(kind)):
            raise InputError(f"{name} of {column!r} needs text; the column holds {kind}")
    found = bound_tests(column, rule, kind)
    if "values" in rule:
        sort, accepts = (
            (pl.String, str)
            if t.is_string(kind) or t.is_large_string(kind)
            else (pl.Boolean, bool)
            if t.is_boolean(kind)
            else (pl.Float64, int | float)
        )
        if not all(isinstance(v, accepts) and (accepts is bool or not isinstance(v, bool)) for v in rule["values"]):
            raise InputError(f"values of {column!r}: {_shown(rule['values'])}, where the column holds {kind}")
        allowed = pl.Series(rule["values"], dtype=sort, strict=False)
        found["values"] = lambda s: ~s.cast(sort).is_in(allowed.implode())
    if "pattern" in rule:
        whole = f"^(?:{rule['pattern']})$"
        _compiles(whole, column)
        found["pattern"] = lambda s: ~s.cast(pl.String).str.contains(whole)
    if "min_chars" in rule:
        found["min_chars"] = lambda s: s.cast(pl.String).str.len_chars() < rule["min_chars"]
    if "max_chars" in rule:
        found["max_chars"] = lambda s: s.cast(pl.String).str.len_chars() > rule["max_chars"]
    return found


def _sensible(column: str, rule: dict[str, Any]) -> None:
    """Refuse rules that no value can meet, and a share that no rule uses."""
    if "min_chars" in rule and "max_chars" in rule and rule["max_chars"] < rule["min_chars"]:
        raise InputError(
            f"max_chars of {column!r} is {rule['max_chars']}, below min_chars, which is {rule['min_chars']}",
            "no text could meet both",
        )
    if "most_outside" in rule and not any(name in rule for name in VALUE_RULES):
        raise InputError(
            f"most_outside of {column!r} has no rule whose share it is", f"give one of {', '.join(VALUE_RULES)}"
        )


def _compiles(pattern: str, column: str) -> None:
    import polars as pl

    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"pattern of {column!r} is no regular expression: {error}") from None


def _is(kind: pa.DataType, wanted: str) -> bool:
    import pyarrow as pa
    import pyarrow.types as t

    families = {
        "text": t.is_string(kind) or t.is_large_string(kind),
        "integer": t.is_integer(kind),
        "number": t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind),
        "boolean": t.is_boolean(kind),
        "time": t.is_temporal(kind),
        "list": t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind),
    }
    if wanted in families:
        return bool(families[wanted])
    try:
        return bool(kind.equals(pa.type_for_alias(wanted)))
    except ValueError:
        raise InputError(
            f"{wanted!r} is no type", did_you_mean(wanted, TYPES) or "Arrow's names are taken too"
        ) from None


def check_unique(data: Dataset, columns: list[str], most: float, examples: int) -> list[Check]:
    """Rows that agree in all the columns with an earlier row. Sixteen bytes a row are held in memory."""
    import numpy as np
    import polars as pl

    from loomwork.data.exact_dedup import first_of_equals, row_hashes

    data.require(*columns)
    hashes = [row_hashes(frame.select(columns)) for frame in _frames(data, columns)]
    again = first_of_equals(hashes) != np.arange(sum(map(len, hashes))) if hashes else np.zeros(0, bool)
    share = float(again.mean()) if again.size else 0.0
    places: list[str] = []
    start = 0
    for frame in _frames(data, columns):
        if len(places) == examples:
            break
        bad = pl.Series(np.asarray(again[start : start + len(frame)]))
        places += _places(frame, bad, examples - len(places))
        start += len(frame)
    names = ", ".join(columns)
    sentence = f"{int(again.sum())} of {again.size} rows repeat the {names} of an earlier row"
    return [Check(f"duplicates of {names}", share, most, share <= most, f"{sentence}; {most:g} is allowed", places)]


def _frames(data: Dataset, columns: list[str]) -> Iterator[pl.DataFrame]:
    """The columns shard by shard, with what tells where a row stands."""
    import polars as pl

    have = set(data.schema.names) if data.shards() else set()
    extra = [c for c in ("source", "row_id") if c in have and c not in columns]
    kinds = column_types(data, [*columns, *extra])
    for table in data.tables([*columns, *extra]):
        yield pl.DataFrame(table.select([*columns, *extra]).cast(kinds))


def _places(frame: pl.DataFrame, bad: pl.Series, count: int) -> list[str]:
    """Where the first rows stand that are bad: their source, or their id."""
    if count <= 0 or not bad.any():
        return []
    name = "source" if "source" in frame.columns else "row_id"
    return [v.hex() if isinstance(v, bytes) else str(v) for v in frame[name].filter(bad).head(count)]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value[:8])) + (", ..." if len(value) > 8 else "") + "]"
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)
