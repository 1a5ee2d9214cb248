"""Drift between versions whose columns differ, and the names of columns in `drift`."""

import pyarrow as pa
import pytest

from loomwork.core.errors import InputError
from loomwork.data.expect import expect
from loomwork.data.version_diff import version_diff

ROWS = [{"text": f"line {i}", "label": "ab"[i % 2]} for i in range(40)]


def decided(run_step, data, baseline, **settings):
    made, card = run_step(expect, data=data, baseline=baseline, **settings)
    return made.ruling, card.notes


@pytest.mark.parametrize("group", [None, "n"])
def test_a_column_without_any_value_does_not_drift(group, make_dataset, run_step):
    hollow = pa.table({"text": [f"line {i}" for i in range(40)], "n": list(range(40)), "note": pa.nulls(40)})
    data = make_dataset(hollow)
    ruling, _ = decided(run_step, data, data, drift=["*"], group=group)
    assert ruling.decision == "pass"
    assert ruling.numbers["drift of note"] == 0
    full = hollow.set_column(2, "note", pa.array(["a", "b"] * 20))
    ruling, _ = decided(run_step, make_dataset(full), data, drift=["note"])
    assert ruling.decision == "refuse"
    assert version_diff(data, make_dataset(hollow.slice(1))).moved == []


def test_a_column_that_is_gone_has_drifted_and_a_new_one_is_noted(make_dataset, run_step):
    old = make_dataset(ROWS)
    new = make_dataset([{"text": r["text"], "lable": r["label"]} for r in ROWS])
    ruling, notes = decided(run_step, new, old, drift=["*"], tolerance=1.0)
    assert ruling.decision == "refuse"
    assert "column 'label' is gone: the baseline has it" in ruling.reason
    assert "column 'lable' is new: the baseline has no such column" in notes
    assert decided(run_step, new, old, drift=["label"])[0].decision == "refuse"
    ruling, notes = decided(run_step, new, old, drift=["*", "-label", "-lable"])
    assert ruling.decision == "pass"
    assert len(notes) == 1
    assert decided(run_step, new, old, drift=["text"])[0].decision == "pass"


def test_columns_that_cannot_be_compared_are_noted(make_dataset, run_step):
    data = make_dataset([row | {"tags": ["a"]} for row in ROWS])
    ruling, notes = decided(run_step, data, data, drift=["*"])
    assert ruling.decision == "pass"
    assert any("column 'tags' is not compared: it holds list" in note for note in notes)
    assert "column 'tags'" not in str(decided(run_step, data, data, drift=["*", "-tags"])[1])
    _, notes = decided(run_step, data, data, drift=["*", "-text", "-label"])
    assert "drift: no column was compared" in notes


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("drift", "message"),
    [
        (["-label"], r'no "\*" in it\n  write drift: \["\*", "-label"\]'),
        (["text", "-label"], r'write drift: \["\*", "-label"\]'),
        (["*", "-lable"], "no column 'lable'\n  did you mean 'label'"),
        (["*", "lable"], "did you mean 'label'"),
        (["lable"], "did you mean 'label'"),
    ],
)
def test_names_that_mean_no_column_are_refused(drift, message, first, make_dataset, run_step):
    data = make_dataset(ROWS)
    with pytest.raises(InputError, match=message):
        decided(run_step, data, None if first else data, drift=drift)


def test_a_named_column_must_be_in_the_baseline(make_dataset, run_step):
    old = make_dataset([{"text": r["text"]} for r in ROWS])
    with pytest.raises(InputError, match="the baseline has no column 'label'"):
        decided(run_step, make_dataset(ROWS), old, drift=["label"])
    with pytest.raises(InputError, match="has no rows"):
        decided(run_step, make_dataset([]), old, drift=["*"], min_rows=0)
