from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.stats.sums import (
    approximate_randomisation,
    gather,
    paired_bootstrap,
    statistic_interval,
    sums_drawn,
)


def f1(sums):
    """Sums: hits, found, wanted."""
    hits, found, wanted = np.moveaxis(np.asarray(sums), -1, 0)
    return np.divide(2 * hits, found + wanted, out=np.zeros_like(hits), where=found + wanted > 0)


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


def bleu(sums):
    """Of a corpus, in which every order has hits: lengths of output and reference, hits and n-grams of four orders."""
    precision = np.log(sums[..., 2:6] / sums[..., 6:10]).mean(axis=-1)
    return 100 * np.exp(precision + np.minimum(0.0, 1 - sums[..., 1] / sums[..., 0]))


def classified(generator, n, right=0.8):
    gold = generator.random(n) < 0.3
    guess = np.where(generator.random(n) < right, gold, ~gold)
    return np.column_stack([gold & guess, guess, gold]).astype(float)


def test_drawing_cells_is_the_plain_bootstrap_exactly():
    """All 5 ** 5 resamples of five items, against the draws of their cells."""
    items = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]], float)
    every = Counter(tuple(items[list(pick)].sum(axis=0)) for pick in itertools.product(range(5), repeat=5))
    cells = gather(np.repeat(items, 20, axis=0))
    assert (len(cells.counts), cells.units) == (4, 100)
    draws = 60_000
    for few in (True, False):
        small = gather(items)
        generator = np.random.default_rng(1)
        if few:  # the multinomial route, as it is taken for many items
            drawn = generator.multinomial(5, small.counts / 5, size=draws) @ small.rows
        else:
            drawn = sums_drawn(small, draws, generator)
        seen = Counter(map(tuple, drawn))
        assert set(seen) <= set(every)
        expected = np.array([every[key] for key in every]) / 5**5 * draws
        observed = np.array([seen[key] for key in every])
        assert expected.min() > 15  # enough for the chi-square law
        assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_cells_and_items_give_one_distribution_of_f1():
    generator = np.random.default_rng(5)
    items = classified(generator, 500)
    by_cells = f1(sums_drawn(gather(items), 8000, generator))
    one_by_one = f1(items[generator.integers(0, 500, (8000, 500))].sum(axis=1))
    assert stats.ks_2samp(by_cells, one_by_one).pvalue > 1e-3


def test_bca_is_scipys():
    generator = np.random.default_rng(4)
    bits, size = generator.gamma(2, 300, 120), generator.integers(50, 900, 120).astype(float)
    value, found = statistic_interval(np.column_stack([bits, size]), ratio, draws=9999)
    expected = stats.bootstrap(
        (bits, size), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, n_resamples=9999, method="BCa", rng=0
    ).confidence_interval
    assert value == pytest.approx(bits.sum() / size.sum())
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03 * width)


@pytest.mark.parametrize(("n", "clusters"), [(40, None), (300, None), (400, 25)])
def test_intervals_of_f1_cover(n, clusters):
    generator = np.random.default_rng(n)
    truth = f1(classified(generator, 2_000_000).sum(axis=0)) if clusters is None else None
    if clusters is not None:  # items alike within their cluster: some are easy, some are hard
        hard = generator.beta(4, 1, 100_000)
        truth = f1(np.concatenate([classified(generator, 100_000, hard) for _ in range(4)]).sum(axis=0))
    covered, runs = 0, 400
    for run in range(runs):
        groups = None
        right = 0.8
        if clusters is not None:
            groups = generator.integers(0, clusters, n)
            right = generator.beta(4, 1, clusters)[groups]
        _, found = statistic_interval(classified(generator, n, right), f1, clusters=groups, draws=799, seed=run)
        covered += found.low <= truth <= found.high
    assert 0.95 - 3 * (0.05 * 0.95 / runs) ** 0.5 <= covered / runs <= 0.995


ITEMS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=40)


@settings(max_examples=50, deadline=None)
@given(ITEMS, st.randoms(use_true_random=False))
def test_invariants(items, shuffler):
    rows = np.array([(min(h, f, w), f, w) for h, f, w in items], float)
    value, found = statistic_interval(rows, f1, draws=99)
    assert found.low <= value <= found.high
    moved = list(range(len(rows)))
    shuffler.shuffle(moved)
    assert statistic_interval(rows[moved], f1, draws=99)[1] == found  # the order of items does not matter
    same = paired_bootstrap(rows, rows, f1, draws=99)
    assert (same.difference, same.p_value) == (0, 1)
    assert approximate_randomisation(rows, rows, f1, draws=99).p_value == 1
    other = rows[::-1]
    there, back = (approximate_randomisation(a, b, f1, draws=99) for a, b in ((rows, other), (other, rows)))
    assert there.difference == pytest.approx(-back.difference)


@pytest.mark.parametrize("method", [paired_bootstrap, approximate_randomisation])
def test_false_alarms_of_corpus_tests(method):
    """Two systems of one quality on 200 items: 2,000 comparisons at 5 %."""
    generator = np.random.default_rng(7)
    alarms, runs = 0, 2000
    for run in range(runs):
        gold = generator.random(200) < 0.3
        sides = []
        for _ in range(2):
            guess = np.where(generator.random(200) < 0.8, gold, ~gold)
            sides.append(np.column_stack([gold & guess, guess, gold]).astype(float))
        alarms += method(*sides, f1, draws=199, seed=run).p_value <= 0.05
    assert alarms / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert alarms / runs > 0.025  # a test that never speaks would hold it too


def test_the_p_value_of_moses_alarms_too_often():
    generator = np.random.default_rng(8)
    items = generator.normal(0, 1, (1500, 100))
    alarms = [
        paired_bootstrap(row[:, None], np.zeros((100, 1)), lambda s: s[..., 0], draws=199, as_moses=True).p_value
        <= 0.05
        for row in items
    ]
    assert 0.10 < np.mean(alarms) < 0.20


def test_clusters_are_swapped_as_a_whole():
    """Ten copies of each item add nothing, where they are said to be one cluster."""
    generator = np.random.default_rng(9)
    once, other = classified(generator, 60), classified(generator, 60, 0.7)
    of = np.tile(np.arange(60), 10)
    plain = approximate_randomisation(once, other, f1, draws=1999)
    copied = approximate_randomisation(np.tile(once, (10, 1)), np.tile(other, (10, 1)), f1, clusters=of, draws=1999)
    wrong = approximate_randomisation(np.tile(once, (10, 1)), np.tile(other, (10, 1)), f1, draws=1999)
    assert copied.p_value == pytest.approx(plain.p_value, abs=0.03)
    assert wrong.p_value < plain.p_value


def test_published_p_values_of_wmt17(test_data):
    """newstest2017 en-de against LIUM-NMT: Moses' bootstrap and multeval's randomisation (sacreBLEU's own test)."""
    from sacrebleu.metrics import BLEU

    folder = test_data / "wmt" / "wmt17.en-de"
    lines = {
        path.name.split(".")[1]: path.read_text("utf-8").splitlines() for path in sorted(folder.glob("hyp.*.tok.txt"))
    }
    reference = (folder / "reference.tok.txt").read_text("utf-8").splitlines()
    scorer = BLEU(references=[reference], tokenize="none")
    sums = {name: np.array(scorer._extract_corpus_statistics(text, None), float) for name, text in lines.items()}
    published = {  # Moses, multeval
        "LMU-nmt-reranked": (0.04383, 0.09029),
        "LMU-nmt-single": (0.20783, 0.58494),
        "RWTH-nmt-ensemble": (0.01167, 0.0207),
        "xmu": (0.25483, 0.71073),
        "uedin-nmt": (0.0, 0.0001),
    }
    base = sums["LIUM-NMT"]
    assert bleu(base.sum(axis=0)) == pytest.approx(21.6098, abs=5e-5)
    for name, (moses, multeval) in published.items():
        swapped = approximate_randomisation(sums[name], base, bleu, draws=4999)
        assert swapped.p_value == pytest.approx(multeval, abs=0.01 + 3 * (multeval * (1 - multeval) / 4999) ** 0.5)
        as_moses = paired_bootstrap(sums[name], base, bleu, draws=1999, as_moses=True)
        assert as_moses.p_value == pytest.approx(moses, abs=0.01)  # sacreBLEU's own tolerance
        drawn = paired_bootstrap(sums[name], base, bleu, draws=1999)
        assert drawn.p_value == pytest.approx(multeval, abs=0.03)
        assert drawn.interval is not None
        assert (drawn.interval.low <= 0 <= drawn.interval.high) == (drawn.p_value > 0.05)


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="at least two"):
        gather([[1.0, 2.0]])
    with pytest.raises(InputError, match="finite"):
        gather([[1.0], [np.nan]])
    with pytest.raises(InputError, match="same items"):
        paired_bootstrap(np.ones((4, 2)), np.ones((5, 2)), ratio)
    with (
        pytest.raises(InputError, match="not finite for"),
        np.errstate(invalid="ignore", divide="ignore"),
    ):
        statistic_interval([[1.0, 0.0], [0.0, 1.0]] * 3, lambda s: s[..., 0] / (s[..., 1] * 0))


def test_a_metric_that_overflows_is_refused_in_words():
    from loomwork.metrics.language import perplexity_of_sums

    sums = np.array([[-900.0, 1.0], [-800.0, 1.0], [-950.0, 1.0]])
    with np.errstate(over="ignore"), pytest.raises(InputError, match="perplexity of long targets overflows"):
        statistic_interval(sums, perplexity_of_sums)
