"""Expectations as a gate."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest

from loomwork.core.errors import InputError
from loomwork.data.expect import expect

ROWS = [
    {"text": f"message number {i}", "label": "spam" if i % 5 == 0 else "ham", "score": i / 10, "source": f"a.csv:{i}"}
    for i in range(100)
]


def checks(made):
    return {c["label"]: c for c in json.loads((made.path / "checks.json").read_text())}


def test_all_met(make_dataset, run_step):
    rules = {
        "text": {"type": "text", "most_null": 0, "min_chars": 5, "max_chars": 40, "pattern": "message number [0-9]+"},
        "label": {"values": ["ham", "spam"]},
        "score": {"type": "number", "low": 0, "high": 9.9},
    }
    made, card = run_step(expect, data=make_dataset(ROWS), columns=rules, unique=["text"], min_rows=100)
    assert made.ruling.decision == "pass"
    assert card.metrics["failed"] == 0
    assert card.metrics["checks"] == 11


@pytest.mark.parametrize(
    ("row", "arguments", "label", "examples"),
    [
        ({"text": "message", "label": "eggs"}, {"columns": {"label": {"values": ["ham", "spam"]}}}, "values", ["b:1"]),
        ({"score": -1.0}, {"columns": {"score": {"low": 0}}}, "low", ["b:1"]),
        ({"score": float("nan")}, {"columns": {"score": {"high": 10}}}, "high", ["b:1"]),
        ({"text": None}, {"columns": {"text": {"most_null": 0.005}}}, "nulls", []),
        ({"text": "x"}, {"columns": {"text": {"min_chars": 2}}}, "min_chars", ["b:1"]),
        ({"text": "message number x"}, {"columns": {"text": {"pattern": r"message number \d+"}}}, "pattern", ["b:1"]),
        ({"text": "message number 7"}, {"unique": ["text"]}, "duplicates", ["b:1"]),
        ({}, {"max_rows": 100}, "rows", []),
        ({}, {"columns": {"scores": {"low": 0}}}, "column scores", []),
        ({}, {"columns": {"score": {"type": "integer"}}}, "type of score", []),
    ],
)
def test_one_bad_row_is_found_and_named(row, arguments, label, examples, make_dataset, run_step):
    bad = {"text": "message number 100", "label": "ham", "score": 1.0, "source": "b:1"} | row
    made, _ = run_step(expect, data=make_dataset([*ROWS, bad]), **arguments)
    assert made.ruling.decision == "refuse"
    (failed,) = [c for c in checks(made).values() if not c["met"]]
    assert failed["label"].startswith(label)
    assert failed["examples"] == examples
    assert failed["sentence"] in made.ruling.reason
    good, _ = run_step(expect, data=make_dataset(ROWS), **{**arguments, "columns": {}})
    assert good.ruling.decision == "pass"


def test_a_share_of_bad_values_may_be_allowed(make_dataset, run_step):
    rules = {"label": {"values": ["ham"], "most_outside": 0.2}}
    assert run_step(expect, data=make_dataset(ROWS), columns=rules)[0].ruling.decision == "pass"
    rules["label"]["most_outside"] = 0.19
    assert run_step(expect, data=make_dataset(ROWS), columns=rules)[0].ruling.decision == "refuse"


def test_first_when_there_is_no_earlier_version(make_dataset, run_step):
    made, _ = run_step(expect, data=make_dataset(ROWS), drift=["label"])
    assert made.ruling.decision == "first"


def test_drift_on_real_messages(test_data, make_dataset, run_step):
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        rows = [{"label": r[0], "text": r[1]} for r in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    order = np.random.default_rng(1).permutation(len(rows))
    halves = [make_dataset([rows[i] for i in part]) for part in np.array_split(order, 2)]
    same, _ = run_step(expect, data=halves[0], baseline=halves[1], drift=["label", "text"])
    assert same.ruling.decision == "pass"
    assert sorted(c for c in checks(same) if c.startswith("drift")) == [
        "drift of label",
        "drift of length of text",
        "drift of words of text",
    ]
    more_spam = make_dataset([r for i, r in enumerate(rows) if r["label"] == "spam" or i % 2])
    moved, _ = run_step(expect, data=more_spam, baseline=halves[1], drift=["label", "text"])
    assert moved.ruling.decision == "refuse"
    assert not checks(moved)["drift of label"]["met"]
    assert "p = " in moved.ruling.reason
    tolerant, _ = run_step(expect, data=more_spam, baseline=halves[1], drift=["label", "text"], tolerance=0.2)
    assert tolerant.ruling.decision == "pass"


def test_false_alarms_over_all_columns_are_at_most_alpha(make_dataset, run_step):
    order = np.random.default_rng(8)
    runs, alarms = 60, 0
    for seed in range(runs):
        sides = [
            make_dataset([{"a": float(x), "b": int(y), "c": "xyz"[z]} for x, y, z in zip(*columns, strict=True)])
            for columns in [(order.normal(size=n), order.poisson(3, n), order.integers(0, 3, n)) for n in (80, 50)]
        ]
        made, _ = run_step(expect, data=sides[0], baseline=sides[1], drift=["a", "b", "c"], alpha=0.2, seed=seed)
        alarms += made.ruling.decision == "refuse"
    assert alarms <= runs * 0.2 + 3 * (runs * 0.2 * 0.8) ** 0.5
    assert alarms > 0  # at this alpha a test that never speaks is as wrong


def test_texts_in_order_of_topic_are_no_drift(make_dataset, run_step, monkeypatch):
    """Random parts of a corpus that lies in order of topic: only some texts are compared, and not the first ones."""
    monkeypatch.setattr("loomwork.data._drift.WORD_ROWS", 60)
    order = np.random.default_rng(4)
    topics = [[f"{topic}{i}" for i in range(12)] for topic in "abcdef"]
    corpus = [{"text": " ".join(order.choice(topics[n // 150], 20)) + f" {n}", "n": n} for n in range(900)]
    alarms = 0
    for seed in range(30):
        part = order.random(900) < 0.7
        sides = [make_dataset([r for r, mine in zip(corpus, part, strict=True) if mine == side]) for side in (1, 0)]
        made, _ = run_step(expect, data=sides[0], baseline=sides[1], drift=["text"], alpha=0.2, seed=seed)
        alarms += made.ruling.decision == "refuse"
    assert alarms <= 30 * 0.2 + 3 * (30 * 0.2 * 0.8) ** 0.5
    moved, _ = run_step(expect, data=make_dataset(corpus[:450]), baseline=make_dataset(corpus[450:]), drift=["text"])
    assert moved.ruling.decision == "refuse"


def test_a_column_of_another_type_is_refused_by_name(make_dataset, run_step):
    old = make_dataset([{"n": i} for i in range(40)])
    new = make_dataset([{"n": f"no. {i}"} for i in range(40)])
    verdict, _ = run_step(expect, data=new, baseline=old, drift=["*"])
    assert verdict.ruling.decision == "refuse"
    assert "type of n: int64 -> string" in verdict.ruling.reason


@pytest.mark.parametrize("group", [None, "n"])
def test_another_type_is_certain_however_few_the_rows(group, make_dataset, run_step):
    """No test of two rows each could be sure; types that are never tested count as well."""
    old = make_dataset(
        [{"n": 1, "list": [1], "kept": [1], "text": "a"}, {"n": 2, "list": [2], "kept": [], "text": "b"}]
    )
    new = make_dataset([{"n": t, "list": t, "kept": [1], "text": t} for t in "ab"])
    made, _ = run_step(expect, data=new, baseline=old, drift=["*"], group=group, tolerance=1.0)
    assert made.ruling.decision == "refuse"
    found = {label: c["met"] for label, c in checks(made).items() if label.startswith("drift")}
    assert found == {"drift of type of n": False, "drift of type of list": False, "drift of text": True}
    only, _ = run_step(expect, data=new, baseline=old, drift=["n"])
    assert "type of n: int64 -> string" in only.ruling.reason
    assert run_step(expect, data=old, baseline=old, drift=["*"])[0].ruling.decision == "pass"


@pytest.mark.parametrize("kind", ["time32[s]", "time32[ms]", "time64[us]", "time64[ns]", "duration[ms]", "date32"])
def test_times_of_every_type_are_compared(kind, make_dataset, run_step):
    def of(values):
        numbers = pa.array(values, pa.int32() if "32" in kind else pa.int64())
        return make_dataset(pa.table({"at": numbers.cast(pa.type_for_alias(kind))}))

    same, _ = run_step(expect, data=of(range(80)), baseline=of(range(80)), drift=["*"])
    assert checks(same)["drift of at"]["met"]
    moved, _ = run_step(expect, data=of(range(50, 130)), baseline=of(range(80)), drift=["*"])
    assert not checks(moved)["drift of at"]["met"]
    assert checks(moved)["drift of at"]["found"] == pytest.approx(50 / 80, abs=0.02)


def test_where_no_column_can_be_compared_there_is_no_drift(make_dataset, run_step):
    data = make_dataset([{"list": [1]}])
    assert run_step(expect, data=data, baseline=data, drift=["*"])[0].ruling.decision == "pass"


def test_an_empty_dataset_may_be_expected(make_dataset, run_step):
    made, _ = run_step(expect, data=make_dataset([{"text": "a"}]), unique=["text"], min_rows=0)
    assert made.ruling.decision == "pass"
    empty, _ = run_step(expect, data=make_dataset([]), min_rows=0)
    assert empty.ruling.decision == "pass"


def test_rows_of_one_author_are_dealt_together(make_dataset, run_step):
    order = np.random.default_rng(0)

    def version(authors):
        return make_dataset(
            [
                {"who": f"{authors[0]}-{a}", "x": float(mean), "n": i}
                for a in authors
                for mean in [order.normal()]
                for i in range(40)
            ]
        )

    alarms = {None: 0, "who": 0}
    for _ in range(12):
        old, new = version(range(8)), version(range(100, 108))
        for group in alarms:
            made, _ = run_step(expect, data=new, baseline=old, drift=["x"], group=group)
            alarms[group] += made.ruling.decision == "refuse"
    assert alarms[None] == 12
    assert alarms["who"] <= 3


def test_missing_values_numbers_and_dates_drift(make_dataset, run_step):
    import datetime

    day = datetime.date(2026, 1, 1)
    old = make_dataset([{"when": day + datetime.timedelta(i % 50), "x": i % 7 or None} for i in range(300)])
    new = make_dataset([{"when": day + datetime.timedelta(30 + i % 50), "x": None} for i in range(300)])
    made, _ = run_step(expect, data=new, baseline=old, drift=["when", "x"])
    assert [c["met"] for c in checks(made).values() if c["label"].startswith("drift")] == [False, False]
    kept, _ = run_step(expect, data=old, baseline=old, drift=["when", "x"])
    assert kept.ruling.decision == "pass"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": {"text": {"low": 1}}}, "low of 'text' needs numbers"),
        ({"columns": {"score": {"pattern": "x"}}}, "pattern of 'score' needs text"),
        ({"columns": {"text": {"pattern": "("}}}, "no regular expression"),
        ({"columns": {"text": {"type": "txt"}}}, "'txt' is no type"),
        ({"columns": {"score": {"values": ["a"]}}}, "values of 'score'"),
        ({"unique": ["txt"]}, "no column 'txt'"),
        ({"drift": ["txt"]}, "no column 'txt'"),
    ],
)
def test_refused(arguments, message, make_dataset, run_step):
    data = make_dataset(ROWS)
    with pytest.raises(InputError, match=message):
        run_step(expect, data=data, baseline=data, **arguments)


def test_settings_are_checked_before_anything_runs():
    from pydantic import ValidationError

    expect.step.settings_model(columns={"text": {"min_chars": 2}})
    with pytest.raises(ValidationError, match="most_nul"):
        expect.step.settings_model(columns={"text": {"most_nul": 2}})
