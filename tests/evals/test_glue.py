from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.evals.glue import glue

sk = pytest.importorskip("sklearn.metrics")


def spoilt(labels, choices, seed=0):
    """Labels of which every fifth or so is another one of the choices."""
    rng = np.random.default_rng(seed)
    return [str(rng.choice(choices)) if rng.random() < 0.3 else label for label in labels]


def submission(path, labels, ids=None):
    rows = [f"{i}\t{label}" for i, label in zip(ids or range(len(labels)), labels, strict=True)]
    path.write_text("index\tprediction\n" + "\n".join(rows) + "\n")
    return path


def lines(path):
    return path.read_text(encoding="utf-8-sig").split("\n")[:-1]


def test_sst_2_and_cola_from_their_files(test_data, tmp_path, run_step):
    path = test_data / "glue" / "SST-2" / "dev.tsv"
    gold = [line.split("\t")[1] for line in lines(path)[1:]]
    said = spoilt(gold, ["0", "1"])
    found, _ = run_step(glue, task="sst-2", data=path, predictions=submission(tmp_path / "SST-2.tsv", said))
    (score,) = found.scores
    assert (score.name, score.n, score.interval.method) == ("accuracy", 872, "Wilson score")
    assert score.value == sk.accuracy_score(gold, said)

    path = test_data / "glue" / "CoLA" / "in_domain_dev.tsv"
    gold = [line.split("\t")[1] for line in lines(path)]
    said = spoilt(gold, ["0", "1"])
    found, _ = run_step(glue, task="cola", data=path, predictions=submission(tmp_path / "CoLA.tsv", said))
    (score,) = found.scores
    assert (score.name, score.n) == ("matthews", 527)
    assert score.value == pytest.approx(sk.matthews_corrcoef(gold, said))
    assert score.interval.low < score.value < score.interval.high
    assert "bootstrap of sums" in score.interval.method
    sums = np.array(found.items().column("matthews:sums").to_pylist()).sum(axis=0)
    assert sums.tolist() == sk.confusion_matrix(gold, said, labels=["1", "0"])[[0, 1, 0, 1], [0, 0, 1, 1]].tolist()


def test_mrpc(test_data, tmp_path, run_step):
    path = test_data / "glue" / "MRPC" / "msr_paraphrase_train.txt"
    gold = [line.split("\t")[0] for line in lines(path)[1:]]
    said = spoilt(gold, ["0", "1"])
    found, _ = run_step(glue, task="mrpc", data=path, predictions=submission(tmp_path / "MRPC.tsv", said))
    assert {s.name: s.value for s in found.scores} == {
        "f1": pytest.approx(sk.f1_score(gold, said, pos_label="1")),
        "accuracy": pytest.approx(sk.accuracy_score(gold, said)),
    }
    assert found.scores[0].n == 4076


def test_sts_b_and_its_glue_format(test_data, tmp_path, run_step):
    path = test_data / "glue" / "STS-B" / "stsb-en-dev.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    gold = [float(row[2]) for row in rows]
    said = np.random.default_rng(0).normal(gold, 1.0).round(3).tolist()
    given = submission(tmp_path / "STS-B.tsv", said)
    found, _ = run_step(glue, task="sts-b", data=path, predictions=given)
    assert {s.name: s.value for s in found.scores} == {
        "pearson": pytest.approx(stats.pearsonr(gold, said)[0]),
        "spearman": pytest.approx(stats.spearmanr(gold, said)[0]),
    }
    assert found.scores[0].n == 1500
    header = [
        "index",
        "genre",
        "filename",
        "year",
        "old_index",
        "source1",
        "source2",
        "sentence1",
        "sentence2",
        "score",
    ]
    tsv = tmp_path / "dev.tsv"
    body = ["\t".join([str(i), *"abcdef", row[0], row[1], row[2]]) for i, row in enumerate(rows)]
    tsv.write_text("\n".join(["\t".join(header), *body]) + "\n")
    again, _ = run_step(glue, task="sts-b", data=tsv, predictions=given)
    assert [s.value for s in again.scores] == [s.value for s in found.scores]


@pytest.mark.parametrize(
    ("name", "items"), [("rte1_dev", 567), ("rte1_test", 800), ("rte2_dev", 400), ("rte3_dev", 800)]
)
def test_rte_of_the_challenges(name, items, test_data, tmp_path, run_step):
    path = test_data / "glue" / "RTE" / f"{name}.xml"
    pairs = re.findall(r'<pair id="(\d+)" (?:value|entailment)="(\w+)"', path.read_text())
    gold = ["entailment" if label in ("YES", "TRUE") else "not_entailment" for _, label in pairs]
    said = spoilt(gold, ["entailment", "not_entailment"])
    given = submission(tmp_path / "RTE.tsv", said, [name for name, _ in pairs])
    found, _ = run_step(glue, task="rte", data=path, predictions=given)
    assert (found.scores[0].value, found.scores[0].n) == (sk.accuracy_score(gold, said), items)


HEADERS = {
    "qqp": ("id qid1 qid2 question1 question2 is_duplicate", ["0", "1"]),
    "mnli-m": (
        "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse "
        "sentence1 sentence2 label1 label2 label3 label4 label5 gold_label",
        ["entailment", "neutral", "contradiction"],
    ),
    "qnli": ("index question sentence label", ["entailment", "not_entailment"]),
    "rte": ("index sentence1 sentence2 label", ["entailment", "not_entailment"]),
    "wnli": ("index sentence1 sentence2 label", ["0", "1"]),
}
HEADERS["mnli-mm"] = HEADERS["mnli-m"]


def made(path, task, items=60):
    """A file of a task's official columns with made rows; every three items of MNLI share a premise."""
    header, choices = HEADERS[task]
    columns = header.split()
    gold = [str(label) for label in np.random.default_rng(4).choice(choices, items)]
    rows = []
    for i, label in enumerate(gold):
        row = [f"{name} {i}" for name in columns]
        row[0], row[-1] = str(i), label
        if "promptID" in columns:
            row[1] = str(i // 3)
        rows.append("\t".join(row))
    path.write_text("\t".join(columns) + "\n" + "\n".join(rows) + "\n")
    return gold, choices


@pytest.mark.parametrize("task", HEADERS)
def test_the_other_tasks_on_made_files_of_their_format(task, tmp_path, run_step):
    gold, choices = made(tmp_path / "dev.tsv", task)
    said = spoilt(gold, choices)
    given = submission(tmp_path / "given.tsv", said)
    found, _ = run_step(glue, task=task, data=tmp_path / "dev.tsv", predictions=given)
    values = {s.name: s.value for s in found.scores}
    name = {"mnli-m": "matched_accuracy", "mnli-mm": "mismatched_accuracy"}.get(task, "accuracy")
    assert values.pop(name) == sk.accuracy_score(gold, said)
    assert values == ({"f1": pytest.approx(sk.f1_score(gold, said, pos_label="1"))} if task == "qqp" else {})
    clustered = task.startswith("mnli")
    assert found.scores[0].n_clusters == (20 if clustered else 60)
    assert found.scores[0].cluster_unit == ("promptID" if clustered else "item")
    plain = tmp_path / "plain.txt"
    plain.write_text("\n".join(said) + "\n")
    again, _ = run_step(glue, task=task, data=tmp_path / "dev.tsv", predictions=plain)
    assert [s.value for s in again.scores] == [s.value for s in found.scores]


def test_what_is_missing_unknown_or_twice_is_counted(tmp_path, run_step):
    data, given = tmp_path / "dev.tsv", tmp_path / "p.tsv"
    data.write_text("sentence\tlabel\na\t1\nbroken\nb\t0\nc\t1\nd\t0\n")
    given.write_text("index\tprediction\n0\t0\n0\t1\n2\tperhaps\n3\t1\n9\t1\n")
    found, card = run_step(glue, task="sst-2", data=data, predictions=given)
    assert found.items().column("accuracy").to_pylist() == [1, 0, 1, 0]
    assert found.items().column("row_id").to_pylist() == ["0", "2", "3", "4"]
    assert card.notes == [
        "1 indices that stand twice in the predictions, the last one taken; 1 rows of the data without all their "
        "columns, left out; 1 predictions for unknown indices, left out; 1 items without a prediction, which count as "
        "wrong; 1 predictions that are not one of 0, 1, which count as wrong"
    ]


def test_rows_of_a_dataset(make_dataset, run_step):
    rows = [{"label": i % 2, "prediction": int(i % 5 < 2), "source": i // 4} for i in range(40)]
    found, _ = run_step(glue, rows=make_dataset(rows), task="mrpc", cluster="source")
    gold, said = [r["label"] for r in rows], [r["prediction"] for r in rows]
    assert found.score("f1").value == pytest.approx(sk.f1_score(gold, said))
    assert (found.score("f1").n_clusters, found.score("f1").cluster_unit) == (10, "source")
    floats = [{**r, "prediction": float(r["prediction"])} for r in rows]
    again, _ = run_step(glue, rows=make_dataset(floats), task="mrpc", cluster="source")
    assert again.score("f1").value == found.score("f1").value
    with pytest.raises(InputError, match="these are entailment, not_entailment, and column 'prediction' has 0, 1"):
        run_step(glue, rows=make_dataset([{**r, "label": "entailment"} for r in floats]), task="rte")
    never = [{"label": 1, "prediction": 0}] * 20
    assert run_step(glue, rows=make_dataset(never), task="sst-2")[0].score("accuracy").value == 0


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("task", "name", "data", "predictions", "message"),
    [
        ("sst-2", "dev.tsv", "sentence\tclass\na\t1\n", "1", "no column label; its first line has: sentence, class"),
        ("sst-2", "dev.tsv", "sentence\tlabel\na\tgood\n", "1", "line 2: the label 'good' is not one of 0, 1"),
        ("sst-2", "dev.tsv", "sentence\tlabel\n", "1", "has no items"),
        ("sst-2", "dev.tsv", "sentence\tlabel\na\t1\nb\t0\n", "1\n", "1 predictions without an index for 2 items"),
        ("sst-2", "dev.tsv", "sentence\tlabel\na\t1\n", "id\tlabel\n0\t1\n", "must be index<TAB>prediction"),
        ("sst-2", "dev.tsv", "sentence\tlabel\na\t1\n", "index\tprediction\n0\n", "line 2: 1 columns"),
        ("sts-b", "dev.csv", "a,b,1\nc,d,2\n", "1\nnan\n", "the prediction of item 1: 'nan' is no finite number"),
        ("sts-b", "dev.csv", "a,b,1\nc,d,2\n", "index\tprediction\n0\t1\n", "1 items have no prediction"),
        ("sts-b", "dev.csv", "a,b,high\n", "1\n", "line 1: 'high' is no finite number"),
        ("rte", "dev.xml", "<pairs><pair id='1' value='TRUE'>", "entailment\n", "not well-formed XML: no element"),
        ("rte", "dev.xml", BOMB, "entailment\n", "declares the entity 'b'"),
        ("rte", "dev.xml", "<a><pair id='1'/></a>", "entailment\n", "neither entailment= nor value="),
        ("rte", "dev.xml", "<a>" * 300, "entailment\n", "elements lie 201 deep"),
        ("wnli", "dev.tsv", "index\tlabel\n1\t1\n1\t0\n", "1\n0\n", "the index 1 stands twice"),
    ],
)
def test_bad_files_are_refused(task, name, data, predictions, message, tmp_path, run_step):
    (tmp_path / name).write_text(data)
    (tmp_path / "p.tsv").write_text(predictions)
    with pytest.raises(InputError, match=message):
        run_step(glue, task=task, data=tmp_path / name, predictions=tmp_path / "p.tsv")
