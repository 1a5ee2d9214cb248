"""Our own tasks, and tasks in Python files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.tasks.documents import read_documents
from loomwork.evals.tasks.find import find_task, own_tasks
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.results import aggregated, items_of
from loomwork.evals.tasks.task import Task

MINE = """\
from loomwork.evals.tasks.task import Metric, Source, Task

TASK = Task(
    name="capitals",
    output_type="multiple_choice",
    source=Source("json", data_files={"test": ("rows.jsonl",)}),
    test_split="test",
    doc_to_text=lambda doc: f"The capital of {doc['country']} is",
    doc_to_choice="towns",
    doc_to_target="right",
    metrics=(Metric("acc"),),
)
"""
ROWS = [{"country": "Peru", "towns": ["Lima", "Cusco"], "right": 0}]


def named(name: str, trust: bool = False) -> Task:
    found = find_task(name, trust=trust)
    assert isinstance(found, Task)
    return found


def test_a_task_in_ten_lines_of_python(write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write("capitals.py", MINE, ROWS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"is Python code\n.*trust=true"):
        find_task(str(path))
    task = named(str(path), trust=True)
    item = next(iter(Prompts(task, read_documents(task).evaluated)))
    assert [(r.context, r.continuation) for r in item.requests] == [
        ("The capital of Peru is", " Lima"),
        ("The capital of Peru is", " Cusco"),
    ]
    assert items_of(task, item, [(-1.0, True), (-2.0, False)]) == {("acc", "none"): 1.0}


def test_gsm8k_counts_the_right_answers_of_its_own_test_set(make_dataset, test_data: Path) -> None:
    """Each official solution is right; with the number changed it is not."""
    rows = [json.loads(line) for line in (test_data / "tasks/gsm8k_test.jsonl").read_text("utf-8").splitlines()]
    task = named("gsm8k")
    documents = read_documents(task, make_dataset(test=rows)).evaluated
    for change, wanted in ((lambda a: a, 1.0), (lambda a: a + "1", 0.0)):
        made = [items_of(task, i, [[change(i.document["answer"])]]) for i in Prompts(task, documents)]
        for pipeline in ("strict", "last number"):
            assert aggregated(task, "exact_match", [m["exact_match", pipeline] for m in made]) == wanted


@pytest.mark.parametrize("name", ["navigate", "date_understanding", "sports_understanding", "causal_judgement"])
def test_big_bench_hard_from_its_official_files(make_dataset, test_data: Path, name: str) -> None:
    rows = json.loads((test_data / f"tasks/bbh/{name}.json").read_text("utf-8"))["examples"]
    task = named("big_bench_hard")
    items = list(Prompts(task, read_documents(task, make_dataset(test=rows)).evaluated))
    assert len(items) == len(rows)
    assert items[0].requests[0].context == f"Q: {rows[0]['input']}\nA:"
    for item in items:
        answer = f" Well, the answer is {item.gold}.\n"
        assert items_of(task, item, [[answer]]) == {("exact_match", "whole"): 0, ("exact_match", "the answer is"): 1}
        assert items_of(task, item, [[f" {item.gold}\n"]])["exact_match", "whole"] == 1


def test_all_of_our_tasks_are_tasks() -> None:
    assert "gsm8k" in own_tasks()
    for name in own_tasks():
        assert named(name).name == name


def test_what_is_no_task(write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no task 'gsm8'\n  did you mean 'gsm8k'"):
        find_task("gsm8")
    with pytest.raises(InputError, match="there is no task file"):
        find_task(str(tmp_path / "none.py"), trust=True)
    with pytest.raises(InputError, match="no task in the constant TASK"):
        find_task(str(write("a.py", "TASK = 1\n")), trust=True)
    with pytest.raises(InputError, match="failed: ZeroDivisionError"):
        find_task(str(write("b.py", "1 / 0\n")), trust=True)
