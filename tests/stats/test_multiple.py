from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from loomwork.core.errors import InputError
from loomwork.stats.multiple import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
RUNS, ALPHA = 2000, 0.05
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


def test_holm_against_the_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm's own scheme, by hand
    assert holm([]) == benjamini_hochberg([]) == []


@given(P_VALUES)
def test_adjusted_values_are_statsmodels_and_scipys(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1].tolist())
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))


@given(P_VALUES)
def test_adjusted_values_keep_the_order_and_lie_between_raw_and_bonferroni(p_values: list[float]) -> None:
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust(p_values)
        for p, q in zip(p_values, adjusted, strict=True):
            assert p <= q * (1 + 1e-12) and q <= min(1.0, len(p_values) * p) * (1 + 1e-12)  # noqa: PT018
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_holm_errs_anywhere_in_at_most_alpha_of_samples() -> None:
    """Eight slices that share items: their tests depend on one another; two of them have true effects."""
    generator = np.random.default_rng(0)
    common = generator.normal(0, 0.7, (RUNS, 1))
    z = common + generator.normal(0, 0.51**0.5, (RUNS, 8))
    z[:, :2] += 4
    p = stats.norm.sf(z)
    adjusted = np.array([holm(list(row)) for row in p])
    assert (adjusted[:, 2:] <= ALPHA).any(axis=1).mean() <= ALPHA + MONTE_CARLO
    assert (p[:, 2:] <= ALPHA).any(axis=1).mean() > 2 * ALPHA  # what it corrects
    found = np.array([benjamini_hochberg(list(row)) for row in p]) <= ALPHA
    false_share = found[:, 2:].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    assert false_share.mean() <= ALPHA + MONTE_CARLO


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        holm([0.1, 1.2])
