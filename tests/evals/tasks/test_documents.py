"""Documents: from JSON, CSV and Parquet files beside the task, and from datasets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.tasks.documents import label_columns, read_documents
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.task import Task
from loomwork.evals.tasks.task_file import load_task

ROWS = [{"q": "one", "a": 1}, {"q": "two", "a": None}, {"q": "three", "a": 3}]
TASK = """\
task: t
dataset_path: {path}
dataset_kwargs: {kwargs}
test_split: test
training_split: train
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
"""


def task(write, path: str, kwargs: str) -> Task:
    return load_task(write("tasks/t.yaml", TASK.format(path=path, kwargs=kwargs)))


def files(folder: Path) -> dict[str, str]:
    """ROWS written in every way: file names and their formats."""
    import polars as pl

    lines = "\n".join(json.dumps(r) for r in ROWS) + "\n\n"
    (folder / "lines.jsonl").write_text(lines, "utf-8")
    (folder / "lines.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "list.json").write_text(" " + json.dumps(ROWS), "utf-8")
    (folder / "inside.json").write_text(json.dumps({"data": ROWS}), "utf-8")
    pl.DataFrame(ROWS).write_csv(folder / "t.csv")
    pl.DataFrame(ROWS).write_parquet(folder / "t.parquet")
    return {
        "lines.jsonl": "json",
        "lines.jsonl.gz": "json",
        "list.json": "json",
        "t.csv": "csv",
        "t.parquet": "parquet",
    }  # type: ignore[dict-item]


def test_every_format_gives_the_same_rows(write, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    for name, form in files(tmp_path / "tasks").items():
        found = read_documents(task(write, form, f"{{data_files: {{test: {name}}}}}"))
        assert found.evaluated == ROWS, name
        assert found.pool == []
    found = read_documents(task(write, "json", "{data_files: {test: inside.json}, field: data}"))
    assert found.evaluated == ROWS


def test_the_library_datasets_reads_the_same(write, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "tasks").mkdir()
    for name, form in files(tmp_path / "tasks").items():
        path = str(tmp_path / "tasks" / name)
        table = datasets.load_dataset(form, data_files={"test": path}, cache_dir=str(tmp_path / "cache"))["test"]
        assert list(table) == read_documents(task(write, form, f"{{data_files: {{test: {name}}}}}")).evaluated


def test_several_files_and_examples_of_another_split(write, tmp_path: Path) -> None:
    write("tasks/b.jsonl", '{"q": "four", "z": 1}\n')
    t = task(write, "json", "{data_files: {test: [rows.jsonl, b.jsonl], train: b.jsonl}}")
    write("tasks/t.yaml", "x: 1", ROWS)
    found = read_documents(t, num_fewshot=2)
    assert [r["q"] for r in found.evaluated] == ["one", "two", "three", "four"]
    assert found.evaluated[0] == {"q": "one", "a": 1, "z": None}
    assert found.pool == [{"q": "four", "z": 1}]


def test_gsm8k_from_its_official_file(write, test_data: Path) -> None:
    file = test_data / "tasks/gsm8k_test.jsonl"
    t = load_task(
        write(
            "t.yaml",
            f"task: g\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {file}}}}}\n"
            "test_split: test\n"
            'doc_to_text: "Question: {{question}}\\nAnswer:"\n'
            "doc_to_target: \"{{answer.split('####')[-1].strip()}}\"\n",
        )
    )
    items = list(Prompts(t, read_documents(t).evaluated))
    assert len(items) == 1319
    assert items[0].gold == "18"
    assert items[0].requests[0].context.startswith("Question: Janet’s ducks lay 16 eggs per day.")


def test_a_dataset_has_a_part_for_each_split(write, make_dataset) -> None:
    t = task(write, "some/hub-dataset", "{}")
    data = make_dataset(test=ROWS, train=[{"q": "x", "a": 9}])
    found = read_documents(t, data, num_fewshot=1)
    assert found.evaluated == ROWS  # without row_id and origin_ids
    assert found.pool == [{"q": "x", "a": 9}]
    alone = read_documents(t, make_dataset(ROWS))  # one part, whatever its name, is what is evaluated
    assert alone.evaluated == ROWS
    assert read_documents(t, data.select("train")).evaluated == [{"q": "x", "a": 9}]  # a chosen part is, too


def test_examples_of_another_file_or_part(write, make_dataset) -> None:
    t = task(write, "some/hub-dataset", "{}")
    data, more = make_dataset(test=ROWS, train=[{"q": "x", "a": 9}]), make_dataset([{"q": "y", "a": 8}])
    for alone in (make_dataset(test=ROWS), data.select("test")):  # a part's siblings are in no key
        with pytest.raises(InputError, match=r"draws examples from 'train'.*\n.*give them as `examples`"):
            read_documents(t, alone, num_fewshot=1)
        found = read_documents(t, alone, more, num_fewshot=1)
        assert (found.evaluated, found.pool) == (ROWS, [{"q": "y", "a": 8}])
    assert read_documents(t, data.select("test"), data.select("train"), num_fewshot=1).pool == [{"q": "x", "a": 9}]
    with pytest.raises(InputError, match="is given `examples` and shows none"):
        read_documents(t, data, more)


def test_columns_of_short_values_are_kept_for_slices() -> None:
    rows = [
        {"region": "x", "n": 1, "share": 0.5, "mixed": 1, "long": "y" * 101, "list": [1], "sure": True, "big": 2**70},
        {"region": None, "n": None, "share": 1, "mixed": "a", "long": "", "list": None, "sure": False, "empty": None},
    ]
    assert label_columns(rows) == {
        "region": ["x", None],
        "n": [1, None],
        "share": [0.5, 1.0],
        "mixed": ["1", "a"],
        "sure": [True, False],
        "big": [str(2**70), None],
    }


def test_a_folder_of_a_dataset_as_dataset_path(write, make_dataset) -> None:
    data = make_dataset(test=ROWS)
    assert read_documents(task(write, str(data.path), "{}")).evaluated == ROWS


def test_examples_written_in_the_task(write) -> None:
    text = TASK.format(path="json", kwargs="{data_files: {test: rows.jsonl}}") + "num_fewshot: 1\n"
    t = load_task(write("t.yaml", text + "fewshot_config: {samples: [{q: s, a: 5}], sampler: first_n}\n", ROWS))
    found = read_documents(t)
    assert found.pool == [{"q": "s", "a": 5}]
    assert next(iter(Prompts(t, found.evaluated, found.pool))).requests[0].context == "s 5\n\none"


def test_process_docs_gets_a_table_of_the_library_datasets(write) -> None:
    pytest.importorskip("datasets")
    write("utils.py", "def odd(table): return table.filter(lambda r: r['a']).map(lambda r: {'q': r['q'].upper()})\n")
    text = TASK.format(path="json", kwargs="{data_files: {test: rows.jsonl}}")
    t = load_task(write("t.yaml", text + "process_docs: !function utils.odd\n", ROWS), trust=True)
    assert [r["q"] for r in read_documents(t).evaluated] == ["ONE", "THREE"]


BAD: list[tuple[str, str, str, Any]] = [
    ("json", "{data_files: {test: none.jsonl}}", "there is no file none.jsonl", None),
    ("json", "{data_files: {tets: rows.jsonl}}", r"`data_files` has no split 'test'\n  did you mean 'tets'", None),
    ("json", "{}", r"has no split 'test'\n  name them in dataset_kwargs", None),
    ("json", "{data_files: {test: bad.txt}}", r"bad.txt:2: not JSON", '{"q": 1}\n{"q": \n'),
    ("json", "{data_files: {test: bad.txt}}", r"bad.txt:1: a row is an object", "3\n"),
    ("json", "{data_files: {test: bad.txt}}", r"split 'test' has no documents", "\n"),
    ("json", "{data_files: {test: bad.txt}, field: rows}", r"has no key 'rows'\n  did you mean 'row'", '{"row": []}'),
    ("json", "{data_files: {test: bad.txt}, field: rows}", "has no list of rows under 'rows'", '{"rows": 3}'),
    ("parquet", "{data_files: {test: bad.txt}}", "bad.txt is not parquet", "not parquet at all"),
    (
        "openai/gsm8k",
        "{}",
        r"no folder of a dataset here\n  read it with `loom call data.read_hub path=openai/gsm8k",
        None,
    ),
]


@pytest.mark.parametrize(("path", "kwargs", "said", "content"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_read_says_so(write, tmp_path: Path, path, kwargs, said, content) -> None:
    if content is not None:
        write("tasks/bad.txt", content)
    with pytest.raises(InputError, match=said):
        read_documents(task(write, path, kwargs))
