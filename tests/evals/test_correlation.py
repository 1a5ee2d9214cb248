from __future__ import annotations

import csv
import gzip
from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.evals.correlation import correlation

ORACLES = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


@pytest.fixture(scope="module")
def uk_en(test_data):
    """The systems of WMT22 uk-en: published BLEU, and the mean of the human ratings."""
    folder = test_data / "wmt" / "wmt22.uk-en"
    ratings = defaultdict(list)
    with gzip.open(folder / "human-ad-uken-good-stnd.csv.gz", "rt") as file:
        header = file.readline().split()
        for line in file:
            row = dict(zip(header, line.split("\t"), strict=False))
            if row["type"] in ("SYSTEM", "REPEAT"):
                ratings[row["sys_id"].rpartition(".")[0]].append(float(row["score"]))
    with (folder / "automatic-scores.tsv").open() as file:
        bleu = {r["system"]: float(r["score"]) for r in csv.DictReader(file, delimiter="\t") if r["metric"] == "bleu-A"}
    return [{"score": bleu[system], "human": float(np.mean(found))} for system, found in sorted(ratings.items())]


def test_bleu_and_people_on_the_systems_of_wmt22(uk_en, make_dataset, run_step):
    found, _ = run_step(correlation, data=make_dataset(uk_en))
    x, y = ([row[side] for row in uk_en] for side in ("score", "human"))
    assert len(x) == 9
    for score in found.scores:
        assert score.value == pytest.approx(ORACLES[score.name](x, y)[0])
        assert -1 <= score.interval.low < score.value < score.interval.high <= 1
    assert found.score("pearson").value > 0.5


def test_rows_without_a_number_are_counted_and_clusters_kept(make_dataset, run_step):
    rng = np.random.default_rng(0)
    rows = [{"bleu": x, "rating": x + rng.normal(), "document": i // 3} for i, x in enumerate(rng.normal(size=30))]
    rows += [{"bleu": None, "rating": 1.0, "document": 99}, {"bleu": 1.0, "rating": float("nan"), "document": 99}]
    found, card = run_step(correlation, data=make_dataset(rows), score="bleu", human="rating", cluster="document")
    assert (found.scores[0].n, found.scores[0].n_clusters) == (30, 10)
    assert card.notes == ["2 rows without a number in both columns, left out"]


def test_bad_columns_are_refused(make_dataset, run_step):
    for rows, message in [
        ([{"score": "a", "human": 1}] * 9, "column 'score' is not of numbers"),
        ([{"score": [1], "human": 1}] * 9, "not numbers"),
        ([{"score": 1.0, "human": float(i)} for i in range(9)], "first side of the correlation is 1 everywhere"),
        ([{"score": 1.0, "human": 1.0}] * 3, "everywhere"),
        ([{"score": 1.0, "person": 1.0}] * 3, "no column 'human'"),
    ]:
        with pytest.raises(InputError, match=message):
            run_step(correlation, data=make_dataset(rows))
