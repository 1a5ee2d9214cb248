"""A Score that cannot be believed cannot be made; what was written before a field was there can be read."""

from __future__ import annotations

from typing import Any

import pytest

from loomwork.cli.card import scores_table
from loomwork.core.errors import InputError
from loomwork.core.score import Interval, Score


def made(value: float = 0.5, low: float = 0.4, high: float = 0.6, **fields: Any) -> Score:
    stated = {"unit": "share", "direction": "higher is better", "n": 13, "cluster_unit": "item", "n_clusters": 13}
    stated |= {"items": "items", "data": "d", "model": "m", "settings": "s", "contamination": "unknown"}
    return Score(name="acc", value=value, interval=Interval(low, high, 0.95, "Wilson score"), **(stated | fields))


@pytest.mark.parametrize("value", [0.39, 0.61, 0.0, 1e9])
def test_a_value_outside_of_its_own_interval_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"outside of its own interval \[0.4, 0.6\]"):
        made(value)


@pytest.mark.parametrize(("value", "low", "high"), [(0.4, 0.4, 0.6), (0.6 + 1e-12, 0.4, 0.6), (3e15 + 1, 1e14, 3e15)])
def test_rounding_is_not_outside(value: float, low: float, high: float) -> None:
    assert made(value, low, high).value == value


def test_a_score_says_how_many_items_failed() -> None:
    score = made(failed=7)
    assert Score.from_json(score.to_json()) == score
    assert "13 items (7 failed)" in scores_table([("", score)])
    assert "failed" not in scores_table([("", made())])
    old = score.to_json()
    del old["failed"]
    assert Score.from_json(old).failed == 0
    with pytest.raises(InputError, match="-1 items failed"):
        made(failed=-1)
