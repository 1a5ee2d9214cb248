"""What two scores can be compared on: items that both have, parts of scores, and what has no items."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.evals._sums import has_items, item_values, sums_of, with_sums
from loomwork.evals.bits_per_byte import bits_per_byte
from loomwork.evals.compare import compare
from loomwork.evals.correlation import correlation
from loomwork.evals.glue import glue
from loomwork.evals.perplexity import BITS, BYTE, TOKEN, WORD, perplexity
from loomwork.evals.slices import slices
from loomwork.metrics.classification import binary_cells, binary_f1
from loomwork.metrics.correlation import pearson_of_sums, pearson_sums

sk = pytest.importorskip("sklearn.metrics")


def lacking(scores, rows, name):
    """The same scores where these rows were not answered."""
    items = scores.items()
    column = items.column_names.index(f"{name}:sums")
    values = [None if i in rows else v for i, v in enumerate(items.column(column).to_pylist())]
    field = items.schema.field(column)
    items = items.set_column(column, field, pa.array(values, field.type))
    pq.write_table(items, scores.path / "items" / "00000.parquet")
    return scores


def test_a_metric_of_sums_is_taken_over_what_both_answered(test_data, tmp_path, run_step):
    path = test_data / "glue" / "MRPC" / "msr_paraphrase_train.txt"
    gold = np.array([line.split("\t")[0] == "1" for line in path.read_text("utf-8-sig").split("\n")[1:-1]])
    generator = np.random.default_rng(0)
    said, scores = {}, {}
    for name, share, failed in (("a", 0.9, range(40)), ("b", 0.7, range(30, 60))):
        said[name] = np.where(generator.random(len(gold)) < share, gold, ~gold)
        file = tmp_path / f"{name}.tsv"
        file.write_text("index\tprediction\n" + "".join(f"{i}\t{int(s)}\n" for i, s in enumerate(said[name])))
        found, _ = run_step(glue, task="mrpc", data=path, predictions=file)
        scores[name] = lacking(found, failed, "f1")
    verdict, card = run_step(compare, candidate=scores["a"], baseline=scores["b"], metric="f1", better_than=0)
    f1 = {n: sk.f1_score(gold[60:], said[n][60:]) for n in said}
    numbers = verdict.ruling.numbers
    assert numbers["difference"] == pytest.approx(f1["a"] - f1["b"])
    assert (numbers["candidate"], numbers["baseline"]) == (pytest.approx(f1["a"]), pytest.approx(f1["b"]))
    assert numbers["n"] == len(gold) - 60
    missing = [numbers[f"missing_in_{side}"] for side in ("candidate", "baseline", "both")]
    assert missing == [30, 20, 10]
    assert "left out: 30 items without f1 in the candidate, 20 in the baseline, 10 in both" in card.notes[0]
    lacking(scores["b"], range(len(gold)), "f1")
    with pytest.raises(InputError, match="no item has 'f1' in both"):
        run_step(compare, candidate=scores["a"], baseline=scores["b"], metric="f1", better_than=0)


def test_sums_beside_an_empty_value_are_no_answer():
    """An earlier version wrote zeros for what was not answered."""
    cells = binary_cells([1, 1, 0], [1, 0, 1])
    cells[1] = 0
    items = pa.table({"row_id": [b"a", b"b", b"c"], "f1": pa.array([1.0, None, 0.0])})
    sums, _ = sums_of(with_sums(items, "f1", cells, binary_f1), "f1")
    assert np.isnan(sums).any(axis=1).tolist() == [False, True, False]


def test_a_score_of_some_items_needs_no_column_of_its_own():
    cells = binary_cells([1, 1, 0, 1], [1, 0, 1, 1])
    items = pa.table(
        {
            "task": ["a", "a", "b", "b"],
            "slice: long": ["yes", "no", "yes", None],
            "clean": [True, False, True, True],
            "acc": [1.0, 0.0, 0.0, 1.0],
        }
    )
    items = with_sums(items, "f1", cells, binary_f1)
    nan = math.nan
    for name, values in {
        "acc, clean subset": [1, nan, 0, 1],
        "acc [task=a]": [1, 0, nan, nan],
        "acc [long=yes]": [1, nan, 0, nan],
        "acc, clean subset [task=b]": [nan, nan, 0, 1],
        "f1 [task=b]": [nan, nan, 0, 1],
    }.items():
        assert has_items(items, name)
        assert item_values(items, name) == pytest.approx(np.array(values), nan_ok=True), name
    sums, metric = sums_of(items, "f1, clean subset")
    assert metric(np.nansum(sums, axis=0)) == pytest.approx(sk.f1_score([1, 0, 1], [1, 1, 1]))
    for name in ("mcc", "mcc, clean subset", "acc [kind=a]"):
        assert not has_items(items, name)


def test_clean_subsets_are_compared_where_both_are_clean(cranfield, make_dataset, run_step):
    texts = [row["passage"] for row in cranfield[:60]]
    data = make_dataset([{"text": t} for t in texts])
    known = {"a": [*texts[:5], *texts[40:]], "b": texts[3:10]}
    found = {
        n: run_step(bits_per_byte, data=data, training=make_dataset([{"text": t} for t in own]), method="ngram")[0]
        for n, own in known.items()
    }
    verdict, _ = run_step(
        compare, candidate=found["a"], baseline=found["b"], metric="bits per byte, clean subset", not_worse_than=0.1
    )
    items = {n: s.items() for n, s in found.items()}
    clean = {n: np.array(table.column("clean").to_pylist()) for n, table in items.items()}
    assert clean["a"].sum() == found["a"].score("bits per byte, clean subset").n
    both = clean["a"] & clean["b"]
    bits, size = ({n: np.array(items[n].column(c).to_pylist()) for n in items} for c in ("bits", "weight"))
    expected = [bits[n][both].sum() / size[n][both].sum() for n in "ab"]
    assert verdict.ruling.numbers["difference"] == pytest.approx(expected[1] - expected[0])
    assert verdict.ruling.numbers["n"] == both.sum()
    assert verdict.ruling.numbers["missing_in_candidate"] == (clean["b"] & ~clean["a"]).sum()


def test_perplexities_are_gated_and_sliced(stories, cranfield, make_dataset, run_step, tmp_path, refusing_endpoint):
    told = [{"text": row["query"] + (" fish" if i % 6 == 0 else ""), "kind": "ab"[i % 2]} for i, row in
            enumerate(cranfield[:24])]  # fmt: skip
    data = make_dataset(told)
    about = {"task": "generate", "engine": "http", "endpoint": {"url": refusing_endpoint, "model": "m", "attempts": 1}}
    (tmp_path / "loomwork.json").write_text(json.dumps(about))
    ours, _ = run_step(perplexity, data=data, model=stories)
    theirs, _ = run_step(perplexity, data=data, model=Model(tmp_path))
    answered = np.array([i % 6 != 0 for i in range(len(told))])
    columns = {n: s.items().to_pydict() for n, s in (("ours", ours), ("theirs", theirs))}
    for name, size in ((WORD, "words"), (BYTE, "weight"), (TOKEN, "tokens")):
        verdict, _ = run_step(compare, candidate=ours, baseline=theirs, metric=name, better_than=0)
        values = {}
        for side, own in columns.items():
            log_p, sizes = (np.array([own[c][i] for i in np.flatnonzero(answered)]) for c in ("log_probability", size))
            values[side] = math.exp(-log_p.sum() / sizes.sum())
        numbers = verdict.ruling.numbers
        assert numbers["difference"] == pytest.approx(values["theirs"] - values["ours"])
        assert (numbers["n"], numbers["missing_in_baseline"]) == (20, 4)
    default, _ = run_step(compare, candidate=ours, baseline=ours, not_worse_than=0.1)
    assert default.ruling.passed
    cut, _ = run_step(slices, scores=ours, data=data, by=["kind"])
    words = sum(w for w, row in zip(columns["ours"]["words"], told, strict=True) if row["kind"] == "a")
    total = sum(p for p, row in zip(columns["ours"]["log_probability"], told, strict=True) if row["kind"] == "a")
    assert cut.score(f"{WORD} [kind=a]").value == pytest.approx(math.exp(-total / words))
    assert cut.score(f"{WORD} [kind=a]").n == 12
    gate, _ = run_step(compare, candidate=cut, baseline=cut, metric=f"{WORD} [kind=a]", not_worse_than=0.1)
    assert gate.ruling.numbers["n"] == 12
    assert ours.read_json("extra.json")["settings"]["windows"] == "disjoint"
    assert BITS in ours.items().column_names


def test_pearson_is_paired_and_ranks_are_not(test_data, tmp_path, run_step):
    path = test_data / "glue" / "STS-B" / "stsb-en-dev.csv"
    with path.open(newline="") as file:
        gold = np.array([float(row[2]) for row in csv.reader(file)])
    said = {n: np.random.default_rng(n).normal(gold, spread).round(3) for n, spread in ((0, 1.0), (1, 1.4))}
    scores = []
    for n, values in said.items():
        given = tmp_path / f"{n}.tsv"
        given.write_text("index\tprediction\n" + "".join(f"{i}\t{v}\n" for i, v in enumerate(values)))
        scores.append(run_step(glue, task="sts-b", data=path, predictions=given)[0])
    verdict, _ = run_step(compare, candidate=scores[0], baseline=scores[1], better_than=0)
    numbers = verdict.ruling.numbers
    r = [stats.pearsonr(gold, said[n])[0] for n in said]
    assert verdict.ruling.decision == "pass"
    assert numbers["difference"] == pytest.approx(r[0] - r[1])

    def change(*sides, axis):
        a, b, c = (np.moveaxis(side, axis, -1) for side in sides)
        return stats.pearsonr(a, b, axis=-1)[0] - stats.pearsonr(a, c, axis=-1)[0]

    theirs = stats.bootstrap(
        (gold, said[0], said[1]), change, paired=True, vectorized=True, confidence_level=0.9, n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (numbers["low"], numbers["high"]) == (
        pytest.approx(theirs.low, abs=2e-3),
        pytest.approx(theirs.high, abs=2e-3),
    )
    with pytest.raises(InputError, match=r"candidate's 'spearman' is a number of all items together.*ranks") as error:
        run_step(compare, candidate=scores[0], baseline=scores[1], metric="spearman", better_than=0)
    assert "choose one that has: pearson" in error.value.hint


def test_two_metrics_are_compared_by_their_correlation_with_people(make_dataset, run_step):
    generator = np.random.default_rng(3)
    human = generator.normal(size=80)
    rows = {
        "human": human,
        "good": human + generator.normal(size=80) / 2,
        "poor": human + generator.normal(size=80) * 2,
    }
    data = make_dataset([{n: float(v[i]) for n, v in rows.items()} for i in range(80)])
    good, poor = (run_step(correlation, data=data, score=n)[0] for n in ("good", "poor"))
    verdict, _ = run_step(compare, candidate=good, baseline=poor, metric="pearson", better_than=0)
    expected = stats.pearsonr(rows["good"], human)[0] - stats.pearsonr(rows["poor"], human)[0]
    assert verdict.ruling.numbers["difference"] == pytest.approx(expected)
    assert verdict.ruling.passed


def test_pearson_of_sums():
    generator = np.random.default_rng(1)
    x, y = generator.normal(1e6, 1, 50), generator.normal(size=50)
    sums = pearson_sums(x, y)
    assert pearson_of_sums(sums.sum(axis=0)) == pytest.approx(stats.pearsonr(x, y)[0])
    assert sums[:, -1].mean() == pytest.approx(stats.pearsonr(x, y)[0])
    assert pearson_of_sums(sums[:20].sum(axis=0)) == pytest.approx(stats.pearsonr(x[:20], y[:20])[0])
    assert pearson_of_sums(sums[:1]).tolist() == [0.0]
