"""Rule: a Python function of the user's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Names

if TYPE_CHECKING:
    import polars as pl


def function(
    data: Dataset, *, column: str, use: Annotated[str, Names("")], per: Literal["row", "shard"] = "row"
) -> Callable[[pl.DataFrame], pl.Series]:
    """Rows that a function of yours rejects: {function: {use: "my_rules:keep"}}.

    It is found in my_rules.py beside the recipe, and is given a row as a dict, or with `per: shard` a whole Polars
    frame, which is much faster. It answers true to keep a row, or false, or the reason as text, "" to keep it; for a
    frame, as many answers as it has rows. Its code is a part of the cache key.

    Args:
        data: any rows.
        column: not used.
        use: module:function.
        per: what it is given.

    Raises:
        InputError: it cannot be imported, or answers something else.
    """
    import polars as pl

    module, _, name = use.partition(":")
    try:
        own: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module may raise anything when it is imported
        what = f"rule function: {use} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(what, "it is looked for beside the recipe, in the folder where loom was started") from None

    def rule(rows: pl.DataFrame) -> pl.Series:
        answers = own(rows) if per == "shard" else [own(row) for row in rows.iter_rows(named=True)]
        try:
            found = answers if isinstance(answers, pl.Series) else pl.Series(list(answers), strict=True)
        except TypeError:
            raise InputError(f"rule function: {use} answered {answers!r}", f"one answer a {per} is needed") from None
        if len(found) != len(rows):
            raise InputError(f"rule function: {use} gave {len(found)} answers for {len(rows)} rows")
        if found.null_count() or found.dtype not in (pl.Boolean, pl.String):
            kind = "nothing (None)" if found.null_count() else str(found.dtype)
            raise InputError(f"rule function: {use} answered {kind}", "it must answer true, false or a reason as text")
        if found.dtype == pl.Boolean:
            return found.replace_strict({True: "", False: f"rejected by {name}"}, return_dtype=pl.String)
        return found

    return rule
