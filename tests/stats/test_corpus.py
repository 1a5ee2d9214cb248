from __future__ import annotations

import math

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER
from scipy import stats
from sklearn.metrics import f1_score, fbeta_score, matthews_corrcoef

from loomwork.stats.corpus import bleu, chrf, f_score, matthews, pearson, pearson_statistics, perplexity, ratio
from loomwork.stats.sums import statistic_interval


@pytest.fixture(scope="module")
def classified():
    generator = np.random.default_rng(0)
    gold = generator.random(300) < 0.3
    return gold, np.where(generator.random(300) < 0.8, gold, ~gold)


def cells(gold, guess):
    return np.stack([gold & guess, ~gold & guess, gold & ~guess, ~gold & ~guess], axis=1).astype(float)


def test_f_and_matthews_are_scikit_learns(classified):
    gold, guess = classified
    tp, fp, fn, _ = cells(gold, guess).sum(axis=0)
    assert f_score([tp, tp + fp, tp + fn]) == pytest.approx(f1_score(gold, guess))
    assert f_score([tp, tp + fp, tp + fn], beta=0.5) == pytest.approx(fbeta_score(gold, guess, beta=0.5))
    assert matthews(cells(gold, guess).sum(axis=0)) == pytest.approx(matthews_corrcoef(gold, guess))
    assert f_score([0.0, 0.0, 0.0]) == matthews([0.0, 0.0, 5.0, 3.0]) == 0


def test_pearson_is_scipys_also_where_sums_would_cancel():
    generator = np.random.default_rng(1)
    x = generator.normal(1e6, 1, 200)
    y = x + generator.normal(0, 1, 200)
    statistics = pearson_statistics(x, y)
    assert pearson(statistics.sum(axis=0)) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert pearson(pearson_statistics([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]).sum(axis=0)) == 0
    value, found = statistic_interval(statistics, pearson, within=(-1, 1))
    fisher = stats.pearsonr(x, y).confidence_interval()
    assert (found.low, found.high) == pytest.approx((fisher.low, fisher.high), abs=0.03)
    assert found.low < value < found.high


def test_ratio_and_perplexity():
    assert ratio([[3.0, 4.0], [0.0, 0.0]]) == pytest.approx([0.75, 0.0])
    assert perplexity([-6.0, 4.0]) == pytest.approx(math.exp(1.5))


def test_translation_metrics_are_sacrebleus_on_every_resample(test_data):
    """Whole corpus, single sentences (where orders are empty), and resamples, against sacreBLEU's own computation."""
    folder = test_data / "wmt" / "wmt17.en-de"
    reference = (folder / "reference.tok.txt").read_text("utf-8").splitlines()[:300]
    output = (folder / "hyp.LIUM-NMT.4900.tok.txt").read_text("utf-8").splitlines()[:300]
    output[0] = "x"  # no hit
    output[1] = ""
    generator = np.random.default_rng(2)
    for scorer, ours in ((BLEU(references=[reference], tokenize="none"), bleu), (CHRF(references=[reference]), chrf)):
        rows = np.array(scorer._extract_corpus_statistics(output, None), float)
        picks = generator.integers(0, 300, (40, 300))
        sums = np.concatenate([rows.sum(axis=0)[None], rows[:60], rows[picks].sum(axis=1), rows[:2].sum(axis=0)[None]])
        expected = [scorer._compute_score_from_stats([int(v) for v in row]).score for row in sums]
        assert ours(sums) == pytest.approx(expected, abs=1e-9)
    edits = TER(references=[reference[:40]])
    rows = np.array(edits._extract_corpus_statistics(output[:40], None), float)
    expected = edits._compute_score_from_stats(rows.sum(axis=0).tolist()).score
    assert 100 * ratio(rows.sum(axis=0)) == pytest.approx(expected)
