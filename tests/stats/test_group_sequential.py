from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.stats.group_sequential import crossing_probabilities, plan_looks

# Jennison and Turnbull (2000), tables 2.1 (Pocock) and 2.3 (O'Brien and Fleming), two-sided, for 2, 3, 4, 5, 10 looks.
OBRIEN_FLEMING = {
    0.01: [2.580, 2.595, 2.609, 2.621, 2.660],
    0.05: [1.977, 2.004, 2.024, 2.040, 2.087],
    0.10: [1.678, 1.710, 1.733, 1.751, 1.801],
}
POCOCK = {
    0.01: [2.772, 2.873, 2.939, 2.986, 3.117],
    0.05: [2.178, 2.289, 2.361, 2.413, 2.555],
    0.10: [1.875, 1.992, 2.067, 2.122, 2.270],
}


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.10])
def test_published_constants(alpha):
    for kind, table in (("obrien-fleming", OBRIEN_FLEMING), ("pocock", POCOCK)):
        found = [plan_looks(looks, alpha=alpha, kind=kind).limits[-1] for looks in (2, 3, 4, 5, 10)]
        assert found == pytest.approx(table[alpha], abs=6e-4)


def test_published_spending_limits():
    """Lan and DeMets with five even looks (as in the original programme of Reboussin et al.)."""
    found = plan_looks(5, kind="spending").limits
    assert found == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=1.5e-3)


def test_false_alarms_over_all_looks():
    """Paired right-or-wrong items, 2,000 of them in five looks; and 2,000 runs."""
    generator = np.random.default_rng(0)
    runs = 2000
    allowed = 3 * (0.05 * 0.95 / runs) ** 0.5
    counts = generator.multinomial(400, [0.1, 0.1, 0.8], (runs, 5)).cumsum(axis=1)  # wins, losses, the same
    z = (counts[..., 0] - counts[..., 1]) / np.sqrt(counts[..., 0] + counts[..., 1])
    assert (np.abs(z) > 1.96).any(axis=1).mean() > 0.1  # what five looks without a plan do
    for kind in ("obrien-fleming", "pocock", "spending"):
        for sides in (1, 2):
            found = plan_looks(5, sides=sides, kind=kind).first_found(z)
            assert abs((found >= 0).mean() - 0.05) <= allowed


def test_power_and_expected_items_are_the_simulated_ones():
    generator = np.random.default_rng(1)
    fractions = [0.3, 0.6, 1.0]
    plan = plan_looks(fractions, kind="spending")
    steps = np.diff([0, *fractions])
    paths = np.cumsum(generator.normal(2.8 * steps, np.sqrt(steps), (40_000, 3)), axis=1)
    found = plan.first_found(paths / np.sqrt(fractions))
    expected = crossing_probabilities(plan.fractions, plan.limits, drift=2.8)
    assert [np.mean(found == look) for look in range(3)] == pytest.approx(expected, abs=0.008)
    assert 0.78 < expected.sum() < 0.8  # planned for 80 % in one look; the looks cost a little of it


def test_error_is_spent_exactly():
    for kind in ("obrien-fleming", "pocock", "spending"):
        for sides in (1, 2):
            plan = plan_looks([0.1, 0.35, 0.7, 1.0], alpha=0.02, sides=sides, kind=kind)
            spent = crossing_probabilities(plan.fractions, plan.limits, sides=sides)
            assert spent.sum() == pytest.approx(0.02, abs=1e-5)
            assert plan_looks(1, alpha=0.02, sides=sides, kind=kind).limits[0] == pytest.approx(
                {1: 2.05375, 2: 2.32635}[sides], abs=1e-4
            )


def test_nonsense_is_refused():
    for fractions in ([0.5, 0.4, 1.0], [0.5], [], [0.0, 1.0]):
        with pytest.raises(InputError, match="increase to 1"):
            plan_looks(fractions)
    with pytest.raises(InputError, match="alpha is"):
        plan_looks(3, alpha=0.7)
