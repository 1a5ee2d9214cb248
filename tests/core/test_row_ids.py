"""Equal rows have equal ids, other rows have others, whatever the columns hold and however Arrow stores it."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.row_ids import content_ids, origin_lists, row_ids

NOON = dt.datetime(2020, 1, 1, 12)
texts = st.text("ab\0é", max_size=6) | st.text("ab", min_size=250, max_size=260)
numbers = st.integers(-3, 3)
columns = {
    "text": (pa.string(), st.none() | texts),
    "bytes": (pa.binary(), st.none() | st.binary(max_size=3)),
    "int": (pa.int64(), st.none() | numbers),
    "float": (pa.float64(), st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf")])),
    "bool": (pa.bool_(), st.none() | st.booleans()),
    "list": (pa.list_(pa.int64()), st.none() | st.lists(st.none() | numbers, max_size=3)),
    "lists": (pa.list_(pa.list_(pa.string())), st.none() | st.lists(st.none() | st.lists(texts, max_size=2))),
    "struct": (
        pa.struct({"b": pa.string(), "a": pa.int8()}),
        st.none() | st.fixed_dictionaries({"a": st.none() | numbers, "b": st.none() | texts}),
    ),
    "chat": (
        pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        st.none() | st.lists(st.fixed_dictionaries({"role": st.sampled_from("us"), "content": texts}), max_size=2),
    ),
    "map": (pa.map_(pa.string(), pa.int64()), st.none() | st.lists(st.tuples(st.sampled_from("kl"), numbers))),
    "time": (pa.timestamp("us"), st.none() | st.datetimes(NOON, NOON + dt.timedelta(microseconds=3))),
    "decimal": (pa.decimal128(5, 2), st.none() | st.sampled_from([Decimal("1.20"), Decimal("-1.20")])),
}


def id_of(value: object, kind: pa.DataType | None = None) -> bytes:
    return row_ids(pa.table({"v": pa.array([value], kind)}))[0].as_py()


def same(value: object) -> object:
    """Something that is equal where the ids are to be."""
    if isinstance(value, float):
        return "nan" if value != value else struct.pack("<d", value)
    if isinstance(value, dict):
        return tuple(sorted((k, same(v)) for k, v in value.items()))
    return tuple(map(same, value)) if isinstance(value, list | tuple) else value


@settings(max_examples=80, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(columns)), min_size=1, max_size=4, unique=True), data=st.data())
def test_ids_are_equal_exactly_where_rows_are(names, data):
    rows = data.draw(st.lists(st.tuples(*(columns[n][1] for n in names)), min_size=1, max_size=8))
    table = pa.table({n: pa.array([r[i] for r in rows], columns[n][0]) for i, n in enumerate(names)})
    ids = row_ids(table).to_pylist()
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert (ids[i] == ids[j]) == (same(a) == same(b))
    start = data.draw(st.integers(0, len(rows)))
    assert row_ids(table.slice(start)).to_pylist() == ids[start:]
    assert row_ids(table.select(names[::-1])).to_pylist() == ids
    pieces = pa.concat_tables([table.slice(0, start), table.slice(start)])
    assert row_ids(pieces).to_pylist() == ids


def test_values_of_different_types_have_different_ids():
    values = [None, True, False, 1, -5, 1.0, 0.0, -0.0, float("nan"), "", "1", "x" * 300, "x" * 256, b"", b"1"]
    values += [[], [1], [None], [1, None], [[1]], ["1"], {"a": 1}, {"b": 1}, {"a": None}, {"a": [1]}, "None", "nan"]
    values += [
        dt.date(2020, 1, 1),
        NOON,
        dt.time(12),
        dt.timedelta(hours=12),
        NOON.replace(tzinfo=dt.UTC),
        Decimal("1"),
    ]
    ids = [*map(id_of, values), id_of(2**63 + 1, pa.uint64()), id_of(1 - 2**63)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (1, [pa.int8(), pa.uint64(), pa.int64(), pa.dictionary(pa.int8(), pa.int64())]),
        (0.5, [pa.float16(), pa.float32(), pa.float64()]),
        ("é", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]),
        (b"12", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)]),
        ([1, 2], [pa.list_(pa.int8()), pa.large_list(pa.int64()), pa.list_(pa.int16(), 2), pa.list_view(pa.int8())]),
        ([("k", 1)], [pa.map_(pa.string(), pa.int8()), pa.map_(pa.large_string(), pa.int64())]),
        (NOON, [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")]),
        (dt.time(1, 2), [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]),
        (dt.date(1900, 1, 1), [pa.date32(), pa.date64()]),
        (None, [pa.null(), pa.string(), pa.list_(pa.int8()), pa.struct({"a": pa.int8()}), pa.int8(), pa.date32()]),
    ],
)
def test_how_arrow_stores_a_value_does_not_matter(value, kinds):
    assert len({id_of(value, kind) for kind in kinds}) == 1


def test_ids_do_not_change_between_versions():
    """A change here makes every dataset of every user new: it must be meant."""
    table = pa.table(
        {
            "text": ["", "short", "long " * 60],
            "n": [1, None, -(2**40)],
            "share": [0.5, float("nan"), None],
            "chat": [[{"role": "user", "content": "hello"}], [], None],
            "day": [dt.date(2020, 1, 1), None, dt.date(1969, 12, 31)],
        }
    )
    assert [i.hex() for i in row_ids(table).to_pylist()] == [
        "8e6bb4351e2255b8e27a4b043ebb625e",
        "dbf34b0f48998b50bc67384341fba659",
        "0774f13e953ccb201d426ce08ce3445d",
    ]


def test_names_count_and_places_do_not_count_for_content():
    assert row_ids(pa.table({"a": [1]})) != row_ids(pa.table({"b": [1]}))
    assert row_ids(pa.table({"a": [1], "b": [None]})) != row_ids(pa.table({"a": [1]}))
    one, other = (pa.table({"a": [1], "source": [s]}) for s in ("x:1", "x:2"))
    assert row_ids(one) != row_ids(other)
    assert content_ids(one) == content_ids(other) == row_ids(pa.table({"a": [1]}))
    assert row_ids(pa.table({"row_id": [b"x" * 16]})).to_pylist() == [None]


def test_empty_tables_have_no_ids():
    for kind, _ in columns.values():
        assert len(row_ids(pa.table({"v": pa.array([], kind)}))) == 0


def test_origins_in_every_spelling():
    a, b = b"a" * 16, b"b" * 16
    ids = pa.array([a, b], pa.binary(16))
    for origins in ([a, b], [[a], [b]], ids, pa.chunked_array([ids[:1], ids[1:]]), pa.array([[a], [b]])):
        assert origin_lists(origins, 2).to_pylist() == [[a], [b]]
    assert origin_lists(None, 2).to_pylist() == [[], []]
    assert origin_lists(ids[1:], 1).to_pylist() == [[b]]
