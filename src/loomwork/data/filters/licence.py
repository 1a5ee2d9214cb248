"""Rule: rows by the licence they are under."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.text.spdx import allowed, spdx_id

if TYPE_CHECKING:
    import polars as pl


def licence(
    data: Dataset,
    *,
    column: str,
    licence_column: str = "licence",
    keep: list[str] = [],  # noqa: B006 (never changed)
    drop: list[str] = [],  # noqa: B006
    missing: Literal["keep", "drop"] = "drop",
) -> Callable[[pl.DataFrame], pl.Series]:
    """Rows whose licence is not wanted: {licence: {keep: [MIT, Apache-2.0, CC-BY-4.0, CC0-1.0]}}.

    Licences are compared by their SPDX ids; usual names and addresses of licences are read as these: "Apache License
    2.0", "https://creativecommons.org/licenses/by-sa/4.0/". A * stands for anything: "CC-BY-*" is all that begins
    so, "CC-BY-NC*" too. What is listed to be dropped is dropped in any case. Of "MIT OR GPL-3.0" one licence that is
    wanted is enough, of "MIT AND GPL-3.0" both must be.

    Args:
        data: rows with a column of licences.
        column: not used.
        licence_column: the column of licences; of rows without `licence` also `license`.
        keep: all others are dropped.
        drop: these are dropped.
        missing: what happens to rows without a licence.

    Raises:
        InputError: there is no such column, or nothing is listed.

    Source: SPDX License List.
    """
    import polars as pl

    names = [licence_column, "license"] if licence_column == "licence" else [licence_column]
    found_in = [name for name in names if name in data.schema.names]
    if not found_in:
        data.require(licence_column)
    if not (keep or drop):
        raise InputError("rule licence has nothing to look for", "for example {licence: {keep: [MIT, CC0-1.0]}}")
    wanted, unwanted = ([spdx_id(name) for name in names] for names in (keep, drop))

    def reason(given: str | None) -> str:
        found = spdx_id(given or "")
        if not found:
            return "no licence" if missing == "drop" else ""
        if not allowed(given or "", lambda name: not any(fnmatchcase(name, pattern) for pattern in unwanted)):
            return f"unwanted licence: {given}"

        def accepts(name: str) -> bool:
            listed = not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)
            return listed and not any(fnmatchcase(name, pattern) for pattern in unwanted)

        return "" if allowed(given or "", accepts) else f"other licence: {given}"

    def rule(rows: pl.DataFrame) -> pl.Series:
        given = rows.select(pl.coalesce(pl.col(found_in).cast(pl.String))).to_series()
        different = given.unique()  # they are few
        return given.replace_strict(different, [reason(name) for name in different], return_dtype=pl.String)

    return rule
