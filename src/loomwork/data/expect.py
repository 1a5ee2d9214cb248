"""Expectations of a dataset, as a gate: schema, ranges, null and duplicate rates, drift against an earlier version."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt
from pydantic import AfterValidator
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Count, Seed, Share
from loomwork.core.score import Ruling, write_json, write_verdict
from loomwork.core.step import Card, step
from loomwork.data._rows import refuse_idle

if TYPE_CHECKING:
    from loomwork.data._checks import Check

EXAMPLES = 5  # rows that are named for each expectation that is not met


def _bound(given: float | str) -> float | str:
    """A bound that some column could have."""
    if isinstance(given, str):
        try:
            float(given)
        except ValueError:
            try:
                datetime.datetime.fromisoformat(given)
            except ValueError:
                raise ValueError('should be a number, or a date or time as in "2026-01-31"') from None
    return given


Bound = Annotated[float | str, AfterValidator(_bound)]


class ColumnRules(TypedDict, total=False):
    """What a column is expected to be. Nulls meet every rule but `most_null`.

    Args:
        type: text, integer, number, boolean, time, list, or any Arrow type by its name.
        most_null: the largest share of rows without a value.
        low: the smallest value: a number, or for dates and timestamps ISO 8601, as "2026-01-31" or
            "2026-01-31T12:00+01:00". A date is its first moment; without an offset it is in the column's time zone.
        high: the largest value, written in the same way.
        values: all values that there may be.
        pattern: a regular expression (Rust syntax) that the whole text must match.
        min_chars: the shortest text, in characters.
        max_chars: the longest text, in characters.
        most_outside: the largest share of values that may break the rules of values; 0 where it is not given.
    """

    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012
    type: str
    most_null: Share
    low: Bound
    high: Bound
    values: list[str | int | float | bool]
    pattern: str
    min_chars: Count
    max_chars: Count
    most_outside: Share


@step(makes="verdict", uses=["numpy", "scipy", "polars"])
def expect(
    data: Dataset,
    baseline: Dataset | None = None,
    *,
    columns: dict[str, ColumnRules] | None = None,
    min_rows: Count = 1,
    max_rows: Count | None = None,
    unique: list[str] | None = None,
    most_duplicates: Share | None = None,
    drift: list[str] | None = None,
    measure: Literal["auto", "ks", "psi", "jensen-shannon"] = "auto",
    tolerance: Annotated[float, Ge(0)] | None = None,
    group: str | None = None,
    sample_rows: Annotated[int, Ge(2)] = 100_000,
    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05,
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Decide whether a dataset is as expected; use the verdict as a recipe's gate.

    - refuse: an expectation is not met, or a column has drifted from the baseline, or is gone.
    - pass: all are met. first: all are met, and there is no baseline to look for drift against.

    Drift is tested column by column: numbers and times by the Kolmogorov-Smirnov distance, few values by
    Jensen-Shannon, long texts by both, of their length and of their words. Each test deals the rows (with `group`,
    whole groups) at random to the two versions; the p-values are corrected by Holm. Where both versions are samples
    of one source, any alarm at all comes with probability alpha at most; a column drifts if its corrected p-value is
    below alpha and its distance is above `tolerance`. Rows must be independent, or `group` must name what they share.

    The artifact holds `checks.json`: every check with what was found, and rows that break it, by their source.

    Args:
        data: the dataset that is judged.
        baseline: an earlier version, for drift.
        columns: what each column is expected to be. A column that is named must be there.
        min_rows: the fewest rows.
        max_rows: the most rows.
        unique: columns that no two rows may agree in.
        most_duplicates: the largest share of rows that may agree in `unique` with an earlier row; None for 0.
        drift: the columns that are compared with the baseline; ["*"] for all that can be, ["*", "-id"] for these
            without a running number, which always drifts; None for none. A column that is gone has drifted; with "*",
            one that is new or cannot be compared (lists, mappings, bytes) is noted.
        measure: the distance of every column; auto chooses as above.
        tolerance: a distance up to this is no drift, however sure it is; None for 0.
        group: a column; rows that agree in it are dealt together.
        sample_rows: at most this many rows of each version are compared for drift, chosen at random.
        alpha: how often drift is seen at most where there is none.
        seed: of the sample and the deals.

    Raises:
        InputError: a rule does not fit its column; a column for drift is missing, or missing in the baseline; a
            setting has no use.

    Source: Phipson and Smyth (2010) for the permutation p-value; Holm (1979).
    """
    from loomwork.data._checks import check_columns, check_rows, check_unique
    from loomwork.data._drift import find_drift
    from loomwork.data._drift_columns import choose_columns

    if not unique:
        refuse_idle("`unique` names no column", "name some, as in unique: [text]", most_duplicates=most_duplicates)
    if not drift:
        refuse_idle(
            "`drift` names no column",
            'name some, or all: drift: ["*"]',
            measure=None if measure == "auto" else measure,
            tolerance=tolerance,
            group=group,
        )
    if max_rows is not None and max_rows < min_rows:
        raise InputError(f"max_rows {max_rows} is below min_rows {min_rows}", "no dataset could meet both")
    rules: dict[str, dict[str, Any]] = {name: dict(rule) for name, rule in (columns or {}).items()}
    checks = check_rows(data, min_rows, max_rows)
    checks += check_columns(data, rules, EXAMPLES)
    if unique:
        checks += check_unique(data, unique, most_duplicates or 0.0, EXAMPLES)
    compared = 0
    chosen = choose_columns(drift, data, baseline) if drift else None
    if chosen and baseline is not None:
        checks += chosen.checks(tolerance or 0.0)
        found = find_drift(
            data,
            baseline,
            chosen.compared,
            measure=measure,
            group=group,
            sample_rows=sample_rows,
            alpha=alpha,
            seed=seed,
        )
        compared = len(found)
        checks += [test.as_check(tolerance or 0.0, alpha) for test in found]
    failed = [check for check in checks if not check.met]
    missing = bool(drift) and baseline is None
    ruling = Ruling(
        "refuse" if failed else "first" if missing else "pass",
        _reason(checks, failed, missing, compared, alpha),
        alpha,
        {"checks": float(len(checks)), "failed": float(len(failed))} | {c.label: c.found for c in checks},
    )
    write_verdict(out, ruling)
    write_json(out / "checks.json", [check.to_json() for check in checks])
    notes = [f"{ruling.decision}: {ruling.reason}", *(f"not met: {check.sentence}" for check in failed)]
    notes += chosen.notes if chosen else []
    return Card(metrics=dict(ruling.numbers), notes=notes)


def _reason(checks: list[Check], failed: list[Check], missing: bool, compared: int, alpha: float) -> str:
    """One sentence with the numbers."""
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"{len(failed)} of {len(checks)} expectations are not met: {failed[0].sentence}{more}"
    text = f"all {len(checks)} expectations are met"
    if missing:
        return f"{text}; there is no earlier version to look for drift against yet"
    return text + (f", {compared} of them tests for drift with false alarms in at most {alpha:g}" if compared else "")
