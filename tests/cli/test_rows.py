"""loom rows: looking at rows, and writing them out."""

from __future__ import annotations

import csv
import json
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from cli.conftest import LINES, Project
from loomwork.cli.rows import plain
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.home import open_home
from loomwork.data.rows_where import Selection, export


@pytest.fixture
def scored(ran: Project) -> Project:
    """`scored@data`: the lines in three shards and two parts, with a list, a null, and a sidecar of scores."""
    home = open_home()
    folder = ran.folder / "made"
    with DatasetWriter(folder / "plain", shard_rows=2) as writer:
        rows = [{"text": t, "words": t.split(), "note": None if i % 2 else "a,\nb"} for i, t in enumerate(LINES)]
        writer.write(rows)
        writer.write(rows[:1], part="holdout")
    plain = Dataset(folder / "plain")
    with DatasetWriter(folder / "scored") as writer:
        for shard in plain.select("data").shards():
            texts = pl.read_parquet(shard)["text"]
            writer.extend(shard, [{"length": len(t)} for t in texts], "sizes")
        for shard in plain.select("holdout").shards():
            writer.share(shard, part="holdout")
    artifact = home.store.publish(folder / "scored", "dataset")
    home.ledger.move_name("scored", "data", artifact, reason="test")
    return ran


def test_rows_of_a_step_an_id_and_a_part(ran: Project) -> None:
    data = ran.json("show", "long")["made"][0]
    for thing in (data, data[:12], f"{data[:12]}/data", "long", "long/data"):
        found = ran.json("rows", thing)
        assert found["artifact"] == data
        assert found["part"] == "data"
        assert found["matching"] == found["rows_in_part"] == 4
        assert [r["text"] for r in found["rows"]] == [line for line in LINES if " " in line]
        assert all(len(r["row_id"]) == 32 for r in found["rows"])
    dropped = ran.json("rows", "long/dropped")
    assert [(r["text"], r["reason"]) for r in dropped["rows"]] == [("four", "too short"), ("six", "too short")]
    text = ran("rows", f"{data[:12]}/dropped")
    assert dropped["rows"][0]["row_id"][:12] in text
    assert dropped["rows"][0]["row_id"] not in text
    assert "too short" in text
    assert "2 rows in part 'dropped'" in text


def test_a_name_with_a_part_and_sidecar_columns(scored: Project) -> None:
    found = scored.json("rows", "scored@data/data", "--where", "length > 8", "-n", "2")
    assert found["matching"] == sum(len(t) > 8 for t in LINES)
    assert [(r["text"], r["length"]) for r in found["rows"]] == [("one two three", 13), ("seven eight nine ten", 20)]
    assert "origin_ids" not in found["rows"][0]
    row = found["rows"][0]["row_id"]
    one = scored.json("rows", "scored@data/data", "--where", f"row_id = '{row}'", "--columns", "words,origin_ids")
    assert one["rows"] == [{"row_id": row, "words": ["one", "two", "three"], "origin_ids": []}]
    assert scored.json("rows", "scored@data/data", "--where", "true", "-n", "0")["matching"] == len(LINES)
    assert "loom rows scored@data/holdout" in scored.result("rows", "scored@data", code=2).stderr


def test_wide_rows_are_shortened(scored: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = scored("rows", "scored@data/data").split("\n")
    assert all(len(line) <= 60 for line in lines[:7])
    assert "a, b" in lines[1]
    assert "…" in "".join(lines)
    assert "null" in lines[2]


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_rows_are_written_out(scored: Project, ending: str) -> None:
    out = scored.folder / f"rows.{ending}"
    told = scored.json("rows", "scored@data/data", "--where", "note IS NOT NULL", "--out", out.name)
    assert told["written"] == 3
    shown = scored.json("rows", "scored@data/data", "--where", "note IS NOT NULL")["rows"]
    assert _read(out) == shown
    assert list(scored.folder.glob(".rows*")) == []
    assert "there already" in scored.result("rows", "scored@data/data", "--out", out.name, code=2).stderr
    few = scored("rows", "scored@data/data", "-n", "3", "--columns", "text", "--out", f"few.{ending}")
    assert few.startswith("3 rows written")
    assert _read(scored.folder / f"few.{ending}") == [{"text": t} for t in LINES[:3]]


def test_conversations_come_out_as_they_went_in(project: Project, test_data: Path) -> None:
    given = test_data / "preference" / "dpo_en_demo.json"
    made = project.json("call", "data.read", f"path={given}")["artifact"]
    for ending in ("csv", "jsonl", "parquet"):
        project("rows", made, "--columns", "conversations,chosen", "--out", f"rows.{ending}")
    rows = [{k: row[k] for k in ("conversations", "chosen")} for row in json.loads(given.read_text("utf-8"))]
    assert _read(project.folder / "rows.jsonl") == rows
    assert _read(project.folder / "rows.parquet") == rows
    table = _read(project.folder / "rows.csv")
    assert [{k: json.loads(str(v)) for k, v in row.items()} for row in table] == rows


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_csv_holds_columns_of_every_type(unit: str, tmp_path: Path) -> None:
    two = timedelta(days=1, hours=2)
    table = pa.table(
        {
            "span": pa.array([two, None], pa.duration(unit)),
            "spans": pa.array([[two], []], pa.list_(pa.duration(unit))),
            "time": [time(1), None],
            "bytes": [b"\xff", None],
            "price": [Decimal("1.50"), None],
            "kind": pa.array(["a", None]).dictionary_encode(),
            "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
            "none": pa.nulls(2),
        }
    )
    with DatasetWriter(tmp_path / "made") as writer:
        writer.write(table)
    chosen = Selection(Dataset(tmp_path / "made"), columns=table.column_names)
    assert export(chosen, tmp_path / "rows.csv") == 2
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    assert first["span"] == "P1DT2H"
    assert json.loads(first["spans"]) == ["PT93600S"]
    assert (first["bytes"], first["price"], first["kind"]) == ("ff", "1.50", "a")
    assert set(second.values()) == {"", "[]"}


def test_bytes_and_what_is_no_number_are_json_too() -> None:
    assert plain({"a": [float("nan"), 1.5, b"\xff"], "b": float("inf"), "c": None}) == {
        "a": [None, 1.5, "ff"],
        "b": None,
        "c": None,
    }


def _read(file: Path) -> list[dict[str, object]]:
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    if file.suffix == ".parquet":
        return pl.read_parquet(file).to_dicts()
    with file.open(newline="", encoding="utf-8") as stream:
        rows: list[dict[str, object]] = list(csv.DictReader(stream))  # type: ignore[arg-type]
    for row in rows:
        row |= {n: json.loads(str(row[n])) for n in ("words", "length") if n in row}
    return rows


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("long", "--where", "txt = 'a'"), "did you mean 'text'?"),
        (("long", "--where", "text ="), "not an SQL condition"),
        (("long", "--where", "count(text) > 1"), "more than one row"),
        (("long", "--where", "text"), "not true or false"),
        (("long", "--columns", "texts"), "did you mean 'text'?"),
        (("long/droped",), "did you mean 'dropped'?"),
        (("long", "--out", "rows.txt"), ".jsonl"),
        (("long", "--out", "nowhere/rows.csv"), "no folder"),
        (("words",), "is a model and has no rows"),
        (("nothing",), "there is no name or artifact 'nothing'"),
    ],
)
def test_what_cannot_be_shown_is_said(ran: Project, words: tuple[str, ...], message: str) -> None:
    assert message in ran.result("rows", *words, code=2).stderr
    assert not (ran.folder / "rows.txt").exists()


def test_show_lists_the_columns_of_a_dataset(scored: Project) -> None:
    found = {c["column"]: c for c in scored.json("show", "scored@data")["artifact"]["columns"]}
    assert found["text"] == {"column": "text", "type": "string", "sidecar": "", "parts": ["data", "holdout"]}
    assert found["length"] == {"column": "length", "type": "int64", "sidecar": "sizes", "parts": ["data"]}
    text = scored("show", "scored")
    assert "sidecar sizes" in text
    assert "in data" in text
    assert "loom rows" in text
    data = scored.json("show", "long")["made"][0]
    assert f"loom rows {data[:8]}/dropped" in scored.result("show", f"{data[:8]}/dropped", code=2).stderr


def test_the_items_of_scores_are_rows(ran: Project) -> None:
    found = ran.json("rows", "measure", "--where", "coverage < 1")
    assert (found["part"], found["rows_in_part"]) == ("items", len(LINES))
    assert 0 < found["matching"] == len(found["rows"]) < len(LINES)
    assert ran.json("rows", "measure/items")["matching"] == len(LINES)
    assert "is a scores and has no rows" in ran.result("rows", "measure/other", code=2).stderr
