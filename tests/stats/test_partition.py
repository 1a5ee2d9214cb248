"""Which items are held out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loomwork.stats.partition import hold_groups, hold_latest, hold_random, hold_strata

labels = st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array)
shares = st.floats(0.01, 0.99)


@given(labels, shares, st.integers(0, 99))
def test_every_stratum_has_its_share_to_the_row(strata, share, seed):
    held = hold_strata(strata, share, np.random.default_rng(seed))
    assert held.sum() == round(share * strata.size)
    for stratum in np.unique(strata):
        mine = strata == stratum
        assert abs(held[mine].sum() - share * mine.sum()) <= 1


def test_every_item_of_a_stratum_is_held_out_equally_often():
    strata = np.array([0] * 12 + [1] * 4)
    times = sum(hold_strata(strata, 0.25, np.random.default_rng(i)).astype(int) for i in range(4000))
    assert np.abs(times / 4000 - 0.25).max() < 0.03  # 4 standard errors
    times = sum(hold_random(16, 0.25, np.random.default_rng(i)).astype(int) for i in range(4000))
    assert np.abs(times / 4000 - 0.25).max() < 0.03


@given(labels, shares, st.integers(0, 99))
def test_groups_are_not_separated(groups, share, seed):
    order = np.random.default_rng(seed)
    held = hold_groups(groups, share, order)
    assert all(len(set(held[groups == g])) == 1 for g in np.unique(groups))
    assert held.sum() <= 1.5 * share * groups.size


def test_groups_with_strata_keep_the_shares_of_both():
    order = np.random.default_rng(0)
    groups = order.integers(0, 400, 4000)
    strata = (order.random(4000) < np.where(groups % 7 == 0, 0.6, 0.05)).astype(np.int64)  # a label that groups cause
    plain, balanced = [], []
    for seed in range(20):
        for found, given_strata in ((plain, None), (balanced, strata)):
            held = hold_groups(groups, 0.2, np.random.default_rng(seed), stratum_of=given_strata)
            found.append(strata[held].mean() - strata.mean())
            assert abs(held.mean() - 0.2) < 0.01
    assert np.abs(balanced).max() < 0.005
    assert np.std(plain) > 2 * np.std(balanced)


@given(labels, shares)
def test_the_latest_are_later_than_all_others(times, share):
    held = hold_latest(times, share)
    assert held.sum() >= round(share * times.size)
    if held.any() and not held.all():
        assert times[held].min() > times[~held].max()
