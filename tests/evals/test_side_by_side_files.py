"""Published predictions side by side, from their files."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.evals.glue import glue
from loomwork.evals.ner import ner
from loomwork.evals.side_by_side import side_by_side
from loomwork.evals.squad import squad
from loomwork.evals.translation import translation


def shown(run_step, scores, **settings):
    """The numbers of the comparison; the page must be there."""
    made, _ = run_step(side_by_side, scores=scores, **settings)
    assert all(one.read_json("extra.json")["settings"] for one in scores.values())
    assert "Paired differences" in (made.path / "page.html").read_text("utf-8")
    return made.read_json("comparison.json")


def check(report, scores, metric):
    (found,) = (d for d in report["differences"] if d["metric"] == metric)
    names = list(scores)
    expected = scores[names[1]].score(metric).value - scores[names[0]].score(metric).value
    assert found["difference"] == pytest.approx(expected)
    assert found["low"] < found["difference"] < found["high"]


def test_squad(test_data, run_step):
    folder = test_data / "squad"
    scores = {
        name: run_step(squad, data=folder / "dev-v1.1.json", predictions=folder / f"predictions-v1.1-{name}.json")[0]
        for name in ("bert-ensemble", "match-lstm")
    }
    report = shown(run_step, scores)
    check(report, scores, "exact_match")
    check(report, scores, "f1")
    (better, worse, alike) = report["items"]["counts"].values()
    assert better + worse + alike == 10570
    row = report["items"]["groups"]["match-lstm does better than bert-ensemble"][0]
    ids = scores["match-lstm"].items().column("row_id").to_pylist()
    assert row["row_id"] in ids  # as the file calls it
    assert row["target"]
    assert row["text"].endswith("?")


def test_ner(test_data, run_step):
    folder = test_data / "ner" / "wnut17"
    scores = {
        name: run_step(ner, data=folder / "emerging.test.annotated", predictions=folder / "submissions" / name)[0]
        for name in ("arcada", "flytxt")
    }
    check(shown(run_step, scores, metrics=["f1", "precision"]), scores, "f1")


def test_translation(test_data, run_step):
    folder = test_data / "wmt" / "wmt17.en-de"
    scores = {
        system: run_step(
            translation, predictions=folder / f"hyp.{system}.tok.txt", references=folder / "reference.tok.txt",
            metrics=["bleu"], tokenize="none",
        )[0]
        for system in ("LIUM-NMT.4900", "uedin-nmt.4722")
    }  # fmt: skip
    check(shown(run_step, scores), scores, "bleu")


@pytest.mark.parametrize(("task", "file", "metric"), [
    ("mrpc", "MRPC/msr_paraphrase_train.txt", "f1"),
    ("sst-2", "SST-2/dev.tsv", "accuracy"),
    ("sts-b", "STS-B/stsb-en-dev.csv", "pearson"),
])  # fmt: skip
def test_glue(task, file, metric, test_data, tmp_path, run_step):
    path = test_data / "glue" / file
    scores = {}
    for seed in (0, 1):
        generator = np.random.default_rng(seed)
        count = {"mrpc": 4076, "sst-2": 872, "sts-b": 1500}[task]
        said = generator.normal(2, 1, count) if task == "sts-b" else generator.integers(0, 2, count)
        given = tmp_path / f"{seed}.tsv"
        given.write_text("index\tprediction\n" + "".join(f"{i}\t{v}\n" for i, v in enumerate(said)))
        scores[f"system {seed}"], _ = run_step(glue, task=task, data=path, predictions=given)
    report = shown(run_step, scores)
    check(report, scores, metric)
    assert "spearman" not in report["metrics"]
    assert report["settings"] == {
        "of": {n: {"metric": "glue", "task": task} for n in scores}, "differ": [], "words": ""
    }  # fmt: skip
