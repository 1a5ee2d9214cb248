"""Our own tasks, and tasks in Python files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.tasks.checks import check_python
from loomwork.evals.tasks.documents import read_documents
from loomwork.evals.tasks.find import find_task, own_tasks
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.results import aggregated, items_of
from loomwork.evals.tasks.scorers import SCORERS
from loomwork.evals.tasks.task import Metric, OutputType, Task
from loomwork.evals.tasks.task_file import load_task

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
    documents = read_documents(task, make_dataset(test=rows), num_fewshot=0).evaluated
    for change, wanted in ((lambda a: a, 1.0), (lambda a: a + "1", 0.0)):
        made = [items_of(task, i, [[change(i.document["answer"])]]) for i in Prompts(task, documents, num_fewshot=0)]
        for pipeline in ("strict-match", "flexible-extract"):
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
        assert check_python(named(name)) is None


FAULTS = [
    ('Metric("acc")', 'Metric("accc")', r"metrics\[0\].name: 'accc' is no metric of multiple_choice .*\n.*mean 'acc'"),
    ('Metric("acc")', 'Metric("bleu")', "'bleu' is no metric of multiple_choice tasks"),
    ('"acc")', '"acc", aggregation="meen")', r"metrics\[0\].aggregation: 'meen' is none\n  did you mean 'mean'"),
    ('"acc")', '"acc", settings={"ignore_case": True})', r"metrics\[0\].ignore_case: is no setting of acc"),
    ('(Metric("acc"),)', '(Metric("acc"))', r"metrics: takes a tuple, not Metric.*\n  a comma makes a tuple"),
    ('(Metric("acc"),)', "()", "metrics: takes a tuple of Metric"),
    ('(Metric("acc"),)', '("acc",)', r"metrics: takes a tuple of Metric, not \('acc',\)"),
    (
        '"multiple_choice"',
        '"multiple_choise"',
        r"output_type: 'multiple_choise' is none\n  did you mean 'multiple_choi",
    ),
    ('    doc_to_choice="towns",\n', "", "output_type: multiple_choice needs `doc_to_choice`"),
    ('    test_split="test",\n', "", r"a task needs a `test_split` or a `validation_split`\n  name the split"),
    (
        "lambda doc: f\"The capital of {doc['country']} is\"",
        '"{{country"',
        "doc_to_text: line 1 of the template is not",
    ),
    ('"acc"),)', '"acc"),), repeats=3', "repeats: multiple_choice tasks generate nothing"),
    ('"acc"),)', '"acc"),), repeats=0', "repeats: takes a whole number of at least 1, not 0"),
    ('("rows.jsonl",)', '"rows.jsonl"', r"source.data_files\['test'\]: takes a tuple, not 'rows.jsonl'"),
    ('"acc"),)', '"acc"),), shots=Shots("first")', r"sampler: 'first' is none\n  did you mean 'first_n'"),
    ('"acc"),)', '"acc"),), source="json"', "source: takes a Source, not 'json'"),
    ('"acc"),)', '"acc"),), generation=Generation("Q:")', "generation.until: takes a tuple, not 'Q:'"),
    ('"acc"),)', '"acc"),), generation=Generation(top_p=2)', "generation.top_p: is above 0 and at most 1"),
    ('"acc"),)', '"acc"),), pipelines=Pipeline("p", (Step("lowercase"),))', "pipelines: takes a tuple, not Pipeline"),
    ('"acc"),)', '"acc"),), pipelines=(Pipeline("p", (Step("lowercas"),)),)', "'p'.function: 'lowercas' is no filter"),
    ('"acc"),)', '"acc"),), pipelines=(Pipeline("p", (Step("lowercase"),)),)', "have no answers to filter"),
]


@pytest.mark.parametrize(("old", "new", "said"), FAULTS, ids=[f[2][:30] for f in FAULTS])
def test_a_task_in_python_is_checked_as_a_task_file_is(write, old: str, new: str, said: str) -> None:
    text = MINE.replace("import Metric,", "import Generation, Metric, Pipeline, Shots, Step,")
    if 'source="json"' in new:
        text = text.replace('    source=Source("json", data_files={"test": ("rows.jsonl",)}),\n', "")
    assert old in text
    with pytest.raises(InputError, match=f"mine.py: .*{said}"):
        find_task(str(write("mine.py", text.replace(old, new))), trust=True)


def test_a_metric_in_python_is_that_of_a_task_file(write) -> None:
    """How it is brought together and which way is better: as the scorer says, where the task does not."""
    for output in get_args(OutputType):
        names = [n for n, s in SCORERS.items() if output in s.outputs]
        text = f"task: t\ndataset_path: x\ntest_split: test\ndoc_to_text: a\ndoc_to_target: b\noutput_type: {output}\n"
        text += f"doc_to_choice: [a, b]\nmetric_list: [{', '.join(f'{{metric: {n}}}' for n in names)}]\n"
        assert load_task(write("t.yaml", text)).metrics == tuple(map(Metric, names))
    assert (Metric("ter").aggregation, Metric("ter").higher_is_better) == ("ter", False)
    own = Metric("ter", function=len)
    assert (own.aggregation, own.higher_is_better) == ("mean", True)


def test_what_is_no_task(write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no task 'gsm8'\n  did you mean 'gsm8k'"):
        find_task("gsm8")
    with pytest.raises(InputError, match="there is no task file"):
        find_task(str(tmp_path / "none.py"), trust=True)
    with pytest.raises(InputError, match="no task in the constant TASK"):
        find_task(str(write("a.py", "TASK = 1\n")), trust=True)
    with pytest.raises(InputError, match="failed: ZeroDivisionError"):
        find_task(str(write("b.py", "1 / 0\n")), trust=True)
