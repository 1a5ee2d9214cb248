"""Categories of pandas and Arrow are read as what they stand for."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from loomwork.data.clean import clean
from loomwork.data.read import read
from loomwork.data.read_hub import read_hub
from loomwork.data.readers import arrow
from tests.data.read_rows import reasons, rows_of, texts

WORDS = pa.array(["x ", "y", None, "x "]).dictionary_encode()
LISTS = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None], pa.int8()), pa.array([["a"], ["b", "c"]]))


def nested() -> pa.Table:
    return pa.table(
        {
            "text": WORDS,
            "list": pa.ListArray.from_arrays([0, 2, 3, 4, 4], WORDS),
            "object": pa.StructArray.from_arrays([WORDS, pa.array([1, 2, 3, 4])], ["word", "n"]),
            "map": pa.MapArray.from_arrays([0, 1, 2, 3, 4], pa.array(["k", "l", "m", "n"]), WORDS),
            "pair": pa.FixedSizeListArray.from_arrays(pa.concat_arrays([WORDS, WORDS]), 2),
            "number": pa.array([3, 3, None, 4]).dictionary_encode(),
            "lists": LISTS,
            "deep": pa.StructArray.from_arrays([LISTS], ["lists"]),
            "plain": pa.array(["p", "q", None, "r"]),
        }
    )


def without_dictionaries(kind: pa.DataType) -> bool:
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return not pa.types.is_dictionary(kind) and all(map(without_dictionaries, inner))


@pytest.mark.parametrize("most", [3, 1 << 14])
@pytest.mark.parametrize("name", ["a.arrow", "a.arrows", "a.feather"])
def test_arrow(name, most, tmp_path, run_step, monkeypatch):
    monkeypatch.setattr(arrow, "BATCH_ROWS", most)
    table = nested()
    if name == "a.feather":
        feather.write_feather(table, tmp_path / name)
    else:
        with (pa.ipc.new_file if name == "a.arrow" else pa.ipc.new_stream)(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    check(tmp_path / name, table, run_step)


def test_parquet(tmp_path, run_step):
    table = nested().drop_columns(["lists", "deep"])  # which it cannot store
    pq.write_table(table, tmp_path / "a.parquet")
    assert pa.types.is_dictionary(pq.read_schema(tmp_path / "a.parquet").field("text").type)
    check(tmp_path / "a.parquet", table, run_step)


def check(path, table, run_step) -> None:
    found, _ = run_step(read, path=path)
    assert all(without_dictionaries(field.type) for field in found.schema)
    expected = [row | {"source": f"{path.name}:{n}"} for n, row in enumerate(table.to_pylist(), 1)]
    assert rows_of(found) == expected
    assert found.schema.field("text").type == pa.string()
    _, card = run_step(clean, data=found)
    assert card.metrics["rows_changed"] == 2


def test_categories_and_texts_in_one_folder(tmp_path, run_step):
    pq.write_table(pa.table({"text": WORDS}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"text": "z"}')
    found, _ = run_step(read, path=tmp_path)
    assert [text for _, text in texts(found)] == ["x ", "y", None, "x ", "z"]
    assert reasons(found) == []


def test_the_hub_s_library_gives_texts_too(tmp_path, run_step):
    pytest.importorskip("datasets")
    pq.write_table(pa.table({"text": WORDS}), tmp_path / "a.parquet")
    found, _ = run_step(read_hub, path=str(tmp_path))
    assert found.schema.field("text").type == pa.string()
