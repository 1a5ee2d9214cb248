"""Filter rules: one module each, found by path. A new rule is one new module here, with a function of its name:

    def length(data: Dataset, *, column: str, min_words: int = 0) -> Callable[[pl.DataFrame], pl.Series]: ...

It is called once with the step's input (a rule that learns from it, or checks its settings against it, does so there)
and returns a function of some rows: one text a row, "" to keep it, else the reason, or "reason: detail". A reason
is counted; the detail, with its numbers, is not. The verdict on a row depends on that row alone.

A rule that learns tells what it learned: it returns `Learned`, whose numbers and notes the step's card gets.

Keyword-only parameters are the rule's settings; `Files` and `Names` mark them as they mark a step's. `USES`, a tuple
of distributions, adds their versions to the cache key. Heavy imports happen inside the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loomwork.core.calls import checked_calls, with_types
from loomwork.core.dataset import Dataset
from loomwork.core.step import Calls, Card

if TYPE_CHECKING:
    import polars as pl

RULES = Calls("loomwork.data.filters", what="rule", given=("column",))
Rule = Callable[["pl.DataFrame"], "pl.Series"]


@dataclass(frozen=True)
class Learned:
    """A rule with what it learned from the data before the first row was tried.

    Args:
        rule: the function of some rows.
        card: its numbers and notes; the filter puts the rule's name before each.
    """

    rule: Rule
    card: Card

    def __call__(self, rows: pl.DataFrame) -> pl.Series:
        return self.rule(rows)


def ready_rules(data: Dataset, rules: Sequence[Any], column: str) -> list[tuple[str, Rule]]:
    """The rules by name, each ready to be called with rows.

    Args:
        data: the step's input.
        rules: names, or {name: settings}.
        column: the column that they look at.

    Raises:
        InputError: there is no such rule or setting, or a value does not fit.
    """
    found = []
    for call in checked_calls(RULES, rules):
        callee, settings = with_types(RULES, call)
        found.append((callee.name, callee.function(data, column=column, **settings)))
    return found
