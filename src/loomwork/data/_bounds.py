"""The rules low and high of data.expect: bounds of numbers, and of dates and timestamps."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from loomwork.core.errors import InputError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def bound_tests(column: str, rule: Mapping[str, Any], kind: pa.DataType) -> dict[str, Callable[[pl.Series], pl.Series]]:
    """For low and high, where they are given, a test that is true where a value lies outside. NaN lies outside.

    Raises:
        InputError: the column has no order, a bound does not fit it, or low is above high.
    """
    import pyarrow.types as t

    given = [name for name in ("low", "high") if name in rule]
    if not given:
        return {}
    if t.is_null(kind):
        return {name: lambda s: s.is_not_null() for name in given}
    read: Callable[[str, Any, str, pa.DataType], Any]
    values: Callable[[pl.Series], pl.Series]
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        read, values = _number, _numbers
    elif t.is_date(kind) or t.is_timestamp(kind):
        read, values = _moment, _moments
    else:
        raise InputError(f"{given[0]} of {column!r} needs numbers, dates or timestamps; the column holds {kind}")
    bounds: dict[str, Any] = {name: read(name, rule[name], column, kind) for name in given}
    if len(bounds) == 2 and bounds["low"] > bounds["high"]:
        raise InputError(
            f"low of {column!r} is {rule['low']}, above high, which is {rule['high']}", "no value could meet both"
        )

    def outside(name: str) -> Callable[[pl.Series], pl.Series]:
        bound = bounds[name]

        def test(series: pl.Series) -> pl.Series:
            found = values(series)
            inside: pl.Series = found >= bound if name == "low" else found <= bound
            return ~inside.fill_null(value=False) & series.is_not_null()

        return test

    return {name: outside(name) for name in given}


def _numbers(series: pl.Series) -> pl.Series:
    import polars as pl

    return series.cast(pl.Float64).fill_nan(None)


def _number(name: str, bound: Any, column: str, kind: pa.DataType) -> float:
    try:
        number = float(bound)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise InputError(f"{name} of {column!r} is {bound!r}, where a number is needed", f"the column holds {kind}")
    return number


def _moment(name: str, bound: Any, column: str, kind: pa.DataType) -> datetime.datetime:
    """The moment as `_moments` gives it: in UTC where the column has a time zone. A date is its first moment."""
    import polars as pl
    import pyarrow as pa

    told = f"{name} of {column!r} is {bound!r}"
    try:
        moment = datetime.datetime.fromisoformat(bound)
    except (TypeError, ValueError):
        raise InputError(
            f"{told}, where the column holds {kind}", f'write a date, as in {name}: "2026-01-31", or "2026-01-31T12:00"'
        ) from None
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    if moment.tzinfo and zone is None:
        raise InputError(f"{told}, with a time zone, which the column does not have", f"it holds {kind}")
    if moment.tzinfo:
        return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    if zone is None:
        return moment
    there = pl.Series(pa.array([], kind)).dtype.time_zone  # type: ignore[attr-defined]
    local = pl.Series([moment]).dt.replace_time_zone(there, ambiguous="earliest", non_existent="null")
    if local[0] is None:
        raise InputError(
            f"{told}: there is no such time in {zone}", "clocks went forward: add the offset, as in +01:00"
        )
    return _moments(local).item()  # type: ignore[no-any-return]


def _moments(series: pl.Series) -> pl.Series:
    """Dates and timestamps as microseconds without a time zone, in UTC where they had one."""
    import polars as pl

    if getattr(series.dtype, "time_zone", None):
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return series.cast(pl.Datetime("us"))
