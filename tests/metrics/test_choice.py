"""Multiple choice from log-probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.metrics import choice

LOGS = st.lists(st.floats(-80, -1e-3), min_size=2, max_size=6)


def test_length_decides_by_characters_or_bytes() -> None:
    choices = ["a", "two words", "東京都"]
    logs = [-2.0, -9.0, -4.0]
    assert choice.most_likely(logs) == 0
    assert choice.characters(choices) == [1, 9, 3]
    assert choice.utf8_bytes(choices) == [1, 9, 9]
    assert choice.most_likely_by_length(logs, choice.characters(choices)) == 1
    assert choice.most_likely_by_length(logs, choice.utf8_bytes(choices)) == 2


@settings(deadline=None)
@given(LOGS)
def test_ties_go_to_the_first_and_equal_lengths_change_nothing(logs) -> None:
    assert logs[choice.most_likely(logs)] == max(logs)
    assert choice.most_likely(logs) == logs.index(max(logs))
    assert choice.most_likely_by_length(logs, [4] * len(logs)) == choice.most_likely(np.array(logs) / 4)
    assert choice.most_informed(logs, [-1.0] * len(logs)) == choice.most_likely(np.array(logs) + 1)


def test_what_the_context_adds_decides() -> None:
    assert choice.most_informed([-1.0, -5.0], [-0.5, -9.0]) == 1


@settings(deadline=None)
@given(LOGS)
def test_probabilities_are_the_shares(logs) -> None:
    assert choice.probabilities(logs) == pytest.approx(np.exp(logs) / np.exp(logs).sum(), abs=1e-12)


def test_probabilities_of_very_unlikely_choices() -> None:
    assert choice.probabilities([-5000.0, -5000.0]).tolist() == [0.5, 0.5]
