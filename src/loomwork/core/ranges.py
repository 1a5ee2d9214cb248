"""Ranges that the settings of many steps have. What is outside is refused before a recipe's first step."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]  # 5 for 5 % is refused
Level = Annotated[float, Gt(0), Lt(1)]  # of intervals and tests; a quantile
Seed = Annotated[int, Ge(0)]  # numpy's generators take no others
