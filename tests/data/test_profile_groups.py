"""Groups of rows in a profile: labels and their balance, sources by file and by folder."""

import datetime
import json

import pyarrow as pa
import pytest
from scipy.stats import entropy

from loomwork.core.errors import InputError
from loomwork.data.profile import profile

N = 60
TEXTS = [f"a line with the number {i} in it" for i in range(N)]
UNCOUNTABLE = {
    "list": [["a", "b"]] * N,
    "duration": [datetime.timedelta(hours=1)] * N,
    "map": pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int8())),
    "bytes": [b"\xff"] * N,
    "struct": [{"a": 1}] * N,
}
COUNTABLE = {"text": ["a"] * N, "integer": [1] * N, "boolean": [True] * N, "day": [datetime.date(2026, 1, 1)] * N}


@pytest.fixture
def profiled(make_dataset, run_step):
    """profiled(rows, ...): the profile's JSON, its page, its card."""

    def run(rows, **settings):
        made, card = run_step(profile, data=make_dataset(rows), **settings)
        return json.loads((made.path / "profile.json").read_bytes()), (made.path / "page.html").read_text("utf-8"), card

    return run


@pytest.mark.parametrize("role", ["label", "language", "source"])
@pytest.mark.parametrize("kind", UNCOUNTABLE)
def test_rows_are_not_counted_by_what_has_no_name(role, kind, profiled):
    table = pa.table({"text": TEXTS, "group": UNCOUNTABLE[kind]})
    with pytest.raises(InputError, match=f"{role} is 'group', which holds .*\n.*a text, a number, a boolean, a date"):
        profiled(table, **{role: "group"})


@pytest.mark.parametrize("kind", UNCOUNTABLE)
def test_a_label_that_cannot_be_counted_is_a_column_like_others(kind, profiled):
    report, _, _ = profiled(pa.table({"text": TEXTS, "label": UNCOUNTABLE[kind]}))
    assert report["roles"]["label"] == ""
    assert "label" in report["columns"]


@pytest.mark.parametrize("role", ["label", "source"])
@pytest.mark.parametrize("kind", COUNTABLE)
def test_rows_are_counted_by_single_values(role, kind, profiled):
    report, _, _ = profiled(pa.table({"text": TEXTS, "group": COUNTABLE[kind]}), **{role: "group"})
    assert [n for n, _ in report["groups"][role].values()] == [N]


def test_the_balance_of_labels_is_in_the_report_and_on_the_card(profiled):
    counts = {"a": 33, "b": 20, "c": 5}
    labels = [name for name, n in counts.items() for _ in range(n)] + [None, None]
    report, page, card = profiled([{"text": t, "label": label} for t, label in zip(TEXTS, labels, strict=True)])
    nats = entropy(list(counts.values()))
    expected = {
        "classes": 3,
        "effective_classes": 2.71828182846**nats,
        "normalised_entropy": nats / entropy([1, 1, 1]),
        "largest_by_smallest": 33 / 5,
    }
    assert report["label_balance"] == pytest.approx(expected, rel=1e-5)
    assert {n: card.metrics[f"labels: {n}"] for n in expected} == pytest.approx(expected)
    assert f"{expected['normalised_entropy']:.3f}" in page
    plain, _, card = profiled([{"text": t} for t in TEXTS])
    assert "label_balance" not in plain
    assert not any("labels" in name for name in card.metrics)


def sources_of(profiled, counts):
    rows = [{"n": 1, "source": f"{name}:{i}"} for name, n in counts.items() for i in range(n)]
    report, page, _ = profiled(rows)
    return {name: n for name, (n, _) in report["groups"]["source"].items()}, report["source_unit"], page


def test_a_source_with_rows_of_its_own_is_kept_beside_folders(profiled):
    found, unit, page = sources_of(profiled, {f"{i}.txt": 1 for i in range(135)} | {"table.csv": 27})
    assert found == {".": 135, "table.csv": 27}
    assert unit == "folder or file"
    assert "By folder or file." in page
    small = {f"a/{i}.txt": 1 for i in range(30)} | {f"b/c/{i}.txt": 1 for i in range(5)}
    assert sources_of(profiled, small | {"big.jsonl": 500})[0] == {"big.jsonl": 500, "a": 30, "b/c": 5}
    assert sources_of(profiled, small)[:2] == ({"a": 30, "b/c": 5}, "folder")


def test_a_twentieth_of_the_rows_is_enough_for_a_source_of_its_own(profiled):
    found, _, _ = sources_of(profiled, {f"a/{i}.txt": 1 for i in range(40)} | {"a/most.txt": 3, "a/few.txt": 2})
    assert found == {"a": 42, "a/most.txt": 3}


def test_few_files_or_files_of_several_rows_stay_as_they_are(profiled):
    for counts in ({f"a/{i}.txt": 1 for i in range(20)}, {f"a/{i}.csv": 3 for i in range(60)}):
        assert sources_of(profiled, counts)[:2] == (counts, "file or host")
