from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.stats.power import binary_spread, detectable, items_needed, power_of


@given(st.floats(0.001, 0.5), st.sampled_from([0.01, 0.05, 0.1]), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_detectable_difference_has_that_power(error, alpha, power):
    difference = detectable(error, alpha=alpha, power=power)
    assert power_of(difference, error, alpha=alpha) == pytest.approx(power)
    assert power_of(0.0, error, alpha=alpha) == pytest.approx(alpha)
    assert power_of(0.0, error, alpha=alpha, sides=2) == pytest.approx(alpha)


@given(st.floats(0.005, 0.2), st.floats(0.05, 1.0))
def test_the_items_needed_are_the_fewest(difference, spread):
    n = items_needed(difference, spread)
    assert power_of(difference, spread / n**0.5) >= 0.8 - 1e-9
    assert n == 1 or power_of(difference, spread / (n - 1) ** 0.5) < 0.8 + 1e-9


def test_power_of_mcnemars_test_is_the_simulated_one():
    changes, difference = 0.2, 0.04
    spread = binary_spread(changes, difference)
    n = items_needed(difference, spread, sides=2)
    assert 950 < n < 1000
    generator = np.random.default_rng(0)
    won, lost, _ = generator.multinomial(n, [0.12, 0.08, 0.8], 4000).T
    found = (won - lost) / np.sqrt(won + lost) > 1.96
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="does not allow"):
        binary_spread(0.02, 0.05)
    with pytest.raises(InputError, match="no number of items"):
        items_needed(0.0, 1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        detectable(0.1, alpha=1.5)
