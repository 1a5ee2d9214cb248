"""Balancing of classes."""

import csv
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from loomwork.core.errors import InputError
from loomwork.data.balance import balance


@pytest.fixture
def messages(test_data, make_dataset):
    """SMS messages, 13 % of them spam (Almeida and Hidalgo 2011)."""
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as file:
        rows = [{"label": r[0], "text": r[1]} for r in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return make_dataset(rows)


def test_weights_are_those_of_scikit_learn(messages, run_step):
    made, _ = run_step(balance, data=messages, column="label")
    labels = [r["label"] for r in messages.rows()]
    names = np.unique(labels)
    expected = dict(zip(names, compute_class_weight("balanced", classes=names, y=labels), strict=True))
    weights = [(r["label"], r["weight"]) for r in made.rows()]
    assert [name for name, _ in weights] == labels
    assert all(w == pytest.approx(expected[name]) for name, w in weights)
    assert [r["row_id"] for r in made.rows()] == [r["row_id"] for r in messages.rows()]


def test_undersampling_keeps_all_of_the_smallest_class(messages, run_step):
    before = Counter(r["label"] for r in messages.rows())
    made, card = run_step(balance, data=messages, column="label", method="undersample")
    after = Counter(r["label"] for r in made.select("data").rows())
    smallest = min(before.values())
    assert set(after.values()) == {smallest}
    assert card.metrics["rows_dropped"] == sum(before.values()) - 2 * smallest
    assert all(r["reason"].startswith("undersampled: label ") for r in made.select("dropped").rows())


def test_oversampling_repeats_evenly_and_obeys_the_limit(messages, run_step):
    before = Counter(r["label"] for r in messages.rows())
    made, _ = run_step(balance, data=messages, column="label", method="oversample")
    assert set(Counter(r["label"] for r in made.rows()).values()) == {max(before.values())}
    capped, card = run_step(balance, data=messages, column="label", method="oversample", most_repeats=2)
    after = Counter(r["label"] for r in capped.rows())
    rare = min(before, key=before.get)
    assert after[rare] == 2 * before[rare]
    assert card.metrics["smallest_share"] == pytest.approx(after[rare] / sum(after.values()))


def test_shares_and_temperature(messages, run_step):
    made, _ = run_step(balance, data=messages, column="label", method="undersample", shares={"spam": 3, "ham": 7})
    after = Counter(r["label"] for r in made.select("data").rows())
    assert after["spam"] / sum(after.values()) == pytest.approx(0.3, abs=0.002)
    _, card = run_step(balance, data=messages, column="label", method="undersample", temperature=1.0)
    assert card.metrics["rows_dropped"] == 0


def test_rows_without_a_value_and_refusals(make_dataset, run_step):
    data = make_dataset([{"kind": "a", "n": i} for i in range(3)] + [{"kind": None, "n": 9}])
    _, card = run_step(balance, data=data, column="kind", method="undersample")
    assert card.metrics["dropped: no value"] == 1
    weighed, _ = run_step(balance, data=data, column="kind")
    assert [r["weight"] for r in weighed.rows()] == [1, 1, 1, 0]
    with pytest.raises(InputError, match="weights for"):
        run_step(balance, data=data, column="kind", shares={"b": 1})
    with pytest.raises(InputError, match="most_repeats"):
        run_step(balance, data=data, column="kind", most_repeats=2)
    with pytest.raises(InputError, match="no column"):
        run_step(balance, data=data, column="kin")
    with pytest.raises(InputError, match="holds no value"):
        run_step(balance, data=make_dataset([{"kind": None, "n": 1}]), column="kind")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=30), seed=st.integers(0, 9))
def test_no_row_is_lost(kinds, seed, make_dataset, run_step):
    if not any(kinds):
        kinds.append("a")
    data = make_dataset([{"kind": k, "n": i} for i, k in enumerate(kinds)])
    ids = {r["row_id"] for r in data.rows()}
    for method in ("undersample", "oversample"):
        made, _ = run_step(balance, data=data, column="kind", method=method, seed=seed)
        kept = [r["row_id"] for r in made.select("data").rows()]
        dropped = [r["row_id"] for r in made.select("dropped").rows()] if "dropped" in made.parts else []
        assert set(kept) | set(dropped) == ids
        assert not set(kept) & set(dropped)
        assert method == "undersample" or len(set(dropped)) == kinds.count(None)
