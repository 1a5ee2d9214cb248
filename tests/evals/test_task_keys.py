"""The cache key of a task: which of the tasks of a folder is asked counts."""

from __future__ import annotations

from loomwork.core.home import Home
from loomwork.core.runner import run_recipe


def test_two_tasks_read_from_the_same_files_are_two(stories, test_data, tmp_path):
    """Ours lie in one folder, and so may a user's in Python: which of them is asked counts, not the files alone."""
    code = """
from loomwork.evals.tasks.task import Metric, Source, Task
TASK = Task(
    name="mine", output_type="multiple_choice", source=Source("the dataset that is given"), test_split="test",
    doc_to_text="{{q}} and", doc_to_choice=["one", "two"], doc_to_target="{{right}}", metrics=(Metric("acc"),),
)
"""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.py").write_text(code)
    (mine / "b.py").write_text(code.replace("{{right}}", "{{1 - right}}"))
    rows = "".join(f'{{"q": "{i}", "right": {i % 3 // 2}}}\n' for i in range(8))
    (tmp_path / "rows.jsonl").write_text(rows)
    questions = str(test_data / "truthfulness" / "TruthfulQA.csv")
    calls = {
        "mc1": {"data": "$questions", "task": "truthfulqa_mc1", "limit": 4},
        "mc2": {"data": "$questions", "task": "truthfulqa_mc2", "limit": 4},
        "a": {"data": "$rows", "task": str(mine / "a.py"), "trust": True},
        "b": {"data": "$rows", "task": str(mine / "b.py"), "trust": True},
    }
    steps = {name: {"use": "evals.run_task", "model": "$model", **call} for name, call in calls.items()}
    given = {
        "model": {"use": "train.base", "path": str(stories.path)},
        "questions": {"use": "data.read", "path": questions},
        "rows": {"use": "data.read", "path": str(tmp_path / "rows.jsonl")},
    }
    done = run_recipe({"steps": given | steps}, home=Home(tmp_path / "home"))
    assert not done.failed, {n: s.error for n, s in done.steps.items()}
    assert {name: done.steps[name].status for name in calls} == dict.fromkeys(calls, "ran")
    value = {name: done.steps[name].card.scores[0].value for name in calls}
    assert value["mc1"] in (0, 0.25, 0.5, 0.75, 1)
    assert value["mc2"] not in (0, 0.25, 0.5, 0.75, 1)
    assert value["a"] == 1 - value["b"]
