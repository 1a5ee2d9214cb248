"""Numbers and times are read as they are written, or set aside: none is rounded, and none fails the step."""

from __future__ import annotations

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loomwork.data.read import read
from loomwork.data.read_sql import read_sql
from tests.data.read_rows import reasons, rows_of, zipped

ID = 2**60 + 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([str(ID), str(ID + 1)], int),
        (["9223372036854775807", "-9223372036854775808", "3"], int),
        (["9223372036854775808", "3"], str),
        (["11529215046068469771", "1"], str),
        ([str(ID), "1.5"], str),
        (["1.5", str(ID)], str),
        (["123456789012345", "1.5", "2.50"], float),
        (["007", "8"], str),
    ],
)
def test_whole_numbers_of_a_table_are_exact_or_texts(tmp_path, run_step, values, kind):
    (tmp_path / "a.csv").write_text("\n".join(["id", *values]))
    data, _ = run_step(read, path=tmp_path / "a.csv")
    assert [r["id"] for r in rows_of(data)] == [kind(v) for v in values]


def test_a_long_number_far_behind_makes_the_column_text(tmp_path, run_step):
    values = [str(ID + i) for i in range(10_000)] + ["1.5"]
    (tmp_path / "a.csv").write_text("\n".join(["id", *values]))
    data, _ = run_step(read, path=tmp_path / "a.csv")
    assert [r["id"] for r in rows_of(data)] == values


@pytest.mark.usefixtures("values_are_few")
@pytest.mark.parametrize("first", [ID, 1.5])
@pytest.mark.parametrize("apart", [True, False])
def test_large_whole_numbers_and_decimals_of_a_column(tmp_path, run_step, first, apart):
    values = [first, 3, ID if first == 1.5 else 1.5, 4]
    lines = [json.dumps({"id": v}) + "\n" for v in values]
    for n, line in enumerate(lines) if apart else [(0, "".join(lines))]:
        (tmp_path / f"{n}.jsonl").write_text(line)
    data, card = run_step(read, path=tmp_path)
    assert [r["id"] for r in rows_of(data)] == [first, 3, 4]
    (dropped,) = rows_of(data, "dropped")
    assert json.loads(dropped["text"]) == {"id": values[2]}
    assert any("as_text=[id]" in note for note in card.notes)


def test_a_whole_number_among_decimals_that_arrow_reads_is_not_rounded(tmp_path, run_step):
    lines = [json.dumps({"x": i + 0.5}) for i in range(5000)] + ['{"x": 9007199254740993}', '{"x": 1}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    data, _ = run_step(read, path=tmp_path / "a.jsonl")
    assert reasons(data) == [("a.jsonl:5001", "another type")]
    assert len(rows_of(data)) == 5001


@pytest.mark.usefixtures("values_are_few")
def test_integers_and_times_that_a_column_does_not_hold_are_set_aside(tmp_path, run_step):
    folder = tmp_path / "in"
    folder.mkdir()
    late, early = datetime.datetime(9999, 1, 1), datetime.datetime(2020, 1, 1)
    pq.write_table(pa.table({"n": pa.array([1]), "t": pa.array([early], pa.timestamp("ns"))}), folder / "a.parquet")
    columns = {"n": pa.array([2**64 - 1, 3, 4], pa.uint64()), "t": pa.array([early, late, early], pa.timestamp("us"))}
    pq.write_table(pa.table(columns), folder / "b.parquet")
    data, _ = run_step(read, path=folder)
    assert [r["n"] for r in rows_of(data)] == [1, 4]
    assert reasons(data) == [("b.parquet:1", "another type"), ("b.parquet:2", "another type")]
    text, _ = run_step(read, path=folder, as_text=["n", "t"])
    assert [r["n"] for r in rows_of(text)] == ["1", str(2**64 - 1), "3", "4"]


def test_two_columns_of_one_name_are_told_apart(tmp_path, run_step):
    pq.write_table(
        pa.table([pa.array([1]), pa.array(["x"]), pa.array([2.5])], names=["k", "k", "k_2"]), tmp_path / "a.parquet"
    )
    (tmp_path / "b.txt").write_text("goes on")
    data, _ = run_step(read, path=tmp_path)
    row = rows_of(data)[0]
    assert (row["k"], row["k_3"], row["k_2"]) == (1, "x", 2.5)


def test_numbers_of_a_query(run_step):
    url = "sqlite://"
    data, _ = run_step(read_sql, url=url, query=f"SELECT {ID} AS n UNION ALL SELECT 1.5")
    assert sorted(r["n"] for r in rows_of(data)) in ([ID], [1.5])
    assert len(rows_of(data, "dropped")) == 1


NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.none())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_a_number_reads_back_or_is_set_aside(tmp_path_factory, run_step, values):
    folder = tmp_path_factory.mktemp("n")
    lines = [json.dumps({"n": v, "at": i}) for i, v in enumerate([*values, None])]
    zipped(folder / "a.zip", a__jsonl="\n".join(lines).encode())
    data, _ = run_step(read, path=folder)
    kept = {r["at"]: r["n"] for r in rows_of(data)}
    for at, found in kept.items():
        wanted = [*values, None][at]
        assert found in (wanted, json.dumps(wanted))
    assert len(kept) + len(rows_of(data, "dropped")) == len(values) + 1


def test_a_column_of_many_mixed_values_is_read_as_text(tmp_path, run_step):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "0.csv").write_text("id,n,m\nX1,1,1\n")
    (folder / "1.csv").write_text("id,n,m\n" + "".join(f"{i},{i},1\n" for i in range(500)))
    (folder / "2.jsonl").write_text('{"id": 7, "n": "none", "m": 2}\n{"id": 8, "m": [1]}\n')
    data, card = run_step(read, path=folder)
    rows = rows_of(data)
    assert [r["id"] for r in rows] == ["X1", *map(str, range(500))]
    assert rows[1]["n"] == 0  # one value of another type in 500 is set aside, and so is a list
    assert reasons(data) == [("2.jsonl:1", "another type"), ("2.jsonl:2", "another type")]
    assert any("id held values of several types" in note and "as_text=[id]" in note for note in card.notes)


def test_mixed_columns_with_names_that_reading_changes_become_text_too(tmp_path, run_step):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"source": "u", "n": 1}\n')
    (folder / "b.jsonl").write_text('{"source": 5, "n": 2}\n')
    twice = pa.table([pa.array([3]), pa.array([7]), pa.array(["x"])], names=["n", "k", "k"])
    other = pa.table([pa.array([4]), pa.array(["y"]), pa.array([8])], names=["n", "k", "k"])
    pq.write_table(twice, folder / "c.parquet")
    pq.write_table(other, folder / "d.parquet")
    data, card = run_step(read, path=folder)
    rows = {r["n"]: r for r in rows_of(data)}
    assert [rows[n]["given_source"] for n in (1, 2)] == ["u", "5"]
    assert [(rows[n]["k"], rows[n]["k_2"]) for n in (3, 4)] == [("7", "x"), ("y", "8")]
    assert card.metrics["rows_dropped"] == 0
