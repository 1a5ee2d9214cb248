"""Bounds of numbers, decimals, dates and timestamps in data.expect."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from loomwork.core.errors import InputError
from loomwork.data.expect import expect

DAYS = [datetime.date(2026, 1, day) for day in (1, 15, 31)]
NOONS = [datetime.datetime(2026, 1, day, 12) for day in (1, 15, 31)]
BERLIN = pa.timestamp("us", "Europe/Berlin")  # 13:00 there is 12:00 in UTC


def outside(run_step, make_dataset, values, kind, **rule):
    """How many values break each rule."""
    data = make_dataset(pa.table({"x": pa.array([*values, None], kind), "text": ["a"] * (len(values) + 1)}))
    settings = expect.step.settings_model(columns={"x": rule})
    made, _ = run_step(expect, data=data, columns=settings.columns)
    checks = json.loads((made.path / "checks.json").read_text())
    return {c["label"].split()[0]: round(c["found"] * len(values)) for c in checks if c["label"].endswith(" of x")}


@pytest.mark.parametrize(
    ("values", "kind", "low", "high", "found"),
    [
        ([Decimal("0.10"), Decimal("-0.01"), Decimal("9.99")], pa.decimal128(6, 2), 0, 9.99, (1, 0)),
        ([Decimal("0.1"), Decimal("2")], pa.decimal128(38, 10), 0.1, 1, (0, 1)),
        ([1, 5, 9], pa.int16(), "2", 8, (1, 1)),
        ([1.0, float("nan"), 9.0], pa.float32(), 2, 8, (2, 2)),
        (DAYS, pa.date32(), "2026-01-02", "2026-01-31", (1, 0)),
        (DAYS, pa.date64(), "2026-01-01", "2026-01-30", (0, 1)),
        (DAYS, pa.date32(), "2026-01-01T12:00", "2026-01-31T12:00", (1, 0)),
        (NOONS, pa.timestamp("s"), "2026-01-01T12:00", "2026-01-31", (0, 1)),
        (NOONS, pa.timestamp("ns"), "2026-01-01T12:00:01", "2026-01-31T12:00:00", (1, 0)),
        (NOONS, BERLIN, "2026-01-01T13:00", "2026-01-31T12:59", (0, 1)),
        (NOONS, BERLIN, "2026-01-01T12:00Z", "2026-01-31T13:00+01:00", (0, 0)),
        (NOONS, pa.timestamp("ms", "+02:00"), "2026-01-01T14:00", "2026-01-31T13:59", (0, 1)),
        ([], pa.null(), "2026-01-01", 1, (0, 0)),
    ],
)
def test_values_outside_are_counted(values, kind, low, high, found, make_dataset, run_step):
    assert outside(run_step, make_dataset, values, kind, low=low, high=high) == {"low": found[0], "high": found[1]}


@pytest.mark.parametrize(
    ("values", "kind", "rule", "message"),
    [
        ([1], pa.int8(), {"low": 10, "high": 1}, "low of 'x' is 10.*, above high, which is 1"),
        (DAYS, None, {"low": "2026-02-01", "high": "2026-01-01"}, "low of 'x' is 2026-02-01, above high"),
        ([1], None, {"low": "2026-01-01"}, "low of 'x' is '2026-01-01', where a number is needed"),
        ([1], None, {"high": float("nan")}, "where a number is needed"),
        (DAYS, None, {"low": 2026}, 'where the column holds date32[^"]*write a date, as in low: "2026-01-31"'),
        (NOONS, pa.timestamp("us"), {"low": "2026-01-01T00:00Z"}, "with a time zone, which the column does not have"),
        (NOONS, BERLIN, {"low": "2026-03-29T02:30"}, "no such time in Europe/Berlin"),
        (
            [datetime.time(1)],
            None,
            {"low": "2026-01-01"},
            "needs numbers, dates or timestamps; the column holds time64",
        ),
        (["a"], None, {"low": 1}, "needs numbers, dates or timestamps; the column holds string"),
    ],
)
def test_bounds_that_do_not_fit_are_refused(values, kind, rule, message, make_dataset, run_step):
    with pytest.raises(InputError, match=message):
        outside(run_step, make_dataset, values, kind, **rule)
