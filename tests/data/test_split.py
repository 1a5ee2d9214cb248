"""Splits: grouped, stratified, by time."""

import csv
from collections import Counter

import pytest

from loomwork.core.errors import InputError
from loomwork.data.split import split


@pytest.fixture
def messages(test_data, make_dataset):
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        rows = [{"label": r[0], "text": r[1]} for r in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return make_dataset(rows)


def parts_of(made):
    return {part: list(made.select(part).rows()) for part in made.parts}


def test_stratified_into_three_parts(messages, run_step):
    made, card = run_step(split, data=messages, holdout=0.2, validation=0.1, stratify="label")
    parts = parts_of(made)
    rows = sum(map(len, parts.values()))
    assert {name: len(part) for name, part in parts.items()} == {
        "holdout": round(0.2 * rows),
        "validation": round(0.1 * rows),
        "train": rows - round(0.2 * rows) - round(0.1 * rows),
    }
    spam = {name: Counter(r["label"] for r in part)["spam"] / len(part) for name, part in parts.items()}
    assert max(spam.values()) - min(spam.values()) < 0.002
    assert card.metrics["validation_share"] == pytest.approx(0.1, abs=1e-4)
    assert sorted(r["row_id"] for part in parts.values() for r in part) == sorted(r["row_id"] for r in messages.rows())


def test_groups_stay_together_over_three_parts(make_dataset, run_step):
    data = make_dataset([{"author": i % 40, "label": i % 3, "n": i} for i in range(800)])
    for stratify in (None, "label"):
        made, _ = run_step(split, data=data, holdout=0.2, validation=0.2, group="author", stratify=stratify)
        authors = {name: {r["author"] for r in part} for name, part in parts_of(made).items()}
        assert not authors["train"] & authors["holdout"]
        assert not authors["train"] & authors["validation"]
        assert not authors["validation"] & authors["holdout"]
        assert sum(map(len, authors.values())) == 40


def test_by_time_the_latest_are_held_out(make_dataset, run_step):
    days = ["2026-03-01", "2026-01-05T10:00:00Z", "2026-01-05T10:00:00+02:00", "2025-12-31", "2026-02-01 12:00"]
    data = make_dataset([{"when": d, "n": i} for i, d in enumerate(days)])
    made, _ = run_step(split, data=data, holdout=0.2, validation=0.2, time="when")
    assert {name: [r["n"] for r in part] for name, part in parts_of(made).items()} == {
        "holdout": [0],
        "validation": [4],
        "train": [1, 2, 3],
    }
    numbers = make_dataset([{"year": y} for y in (3, 1, 2, 3)])
    made, card = run_step(split, data=numbers, holdout=0.25, time="year")
    assert card.metrics["rows_holdout"] == 2  # both of the latest year


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([{"t": "soon"}, {"t": "2026-01-01"}], {"time": "t"}, "'soon' is no time"),
        ([{"t": 1.0}, {"t": None}], {"time": "t"}, "1 rows have no 't'"),
        ([{"t": 1}] * 9, {"time": "t", "holdout": 0.5}, "leaves train empty"),
        ([{"t": 1}] * 9, {"time": "t", "group": "t"}, "cannot also keep groups"),
        ([{"t": [1]}] * 9, {"time": "t"}, "cannot be put in order of time"),
        ([{"t": 1}] * 9, {"validation": 0.95}, "holdout is 0.1 and validation is 0.95"),
        ([{"t": i} for i in range(3)], {"validation": 0.1, "holdout": 0.4}, "leaves validation empty"),
        ([{"t": 1}] * 9, {"largest_group": 0.5}, "largest_group is 0.5, and it needs"),
        ([{"t": 1}] * 9, {"stratify": "tt"}, "no column 'tt'"),
    ],
)
def test_refused(rows, arguments, message, make_dataset, run_step):
    with pytest.raises(InputError, match=message):
        run_step(split, data=make_dataset(rows), **arguments)


def test_groups_too_large_for_the_share_are_told(make_dataset, run_step):
    data = make_dataset([{"author": min(i, 90) % 91, "n": i} for i in range(1000)])  # one has nine rows in ten
    _, card = run_step(split, data=data, holdout=0.3, group="author")
    assert card.metrics["holdout_share"] < 0.1
    assert any("where 30.0% was asked: author has large groups" in note for note in card.notes)
    assert not run_step(split, data=data, holdout=0.3)[1].notes
