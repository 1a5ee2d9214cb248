"""Groups: their members are found by name, with what the group changes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwork.core.errors import InputError, RecipeError
from loomwork.evals.tasks.members import TaskFolder
from loomwork.evals.tasks.task import Group
from loomwork.evals.tasks.task_file import load

TASK = 'task: {}\ndataset_path: json\ntest_split: test\ndoc_to_text: "{{{{q}}}}"\ndoc_to_target: a\ntag: [odd, all]\n'


def test_the_tasks_of_lm_evals_mmlu(shipped: Path) -> None:
    """mmlu -> four groups -> tags -> tasks."""
    folder = TaskFolder(shipped / "mmlu/default")
    tasks = folder.tasks("mmlu")
    assert len(tasks) == len({t.name for t in tasks}) == 57
    assert tasks[0].shots.sampler == "first_n"
    assert {t.name for t in folder.tasks("mmlu_stem")} < {t.name for t in tasks}
    assert [t.name for t in folder.tasks("mmlu_anatomy")] == ["mmlu_anatomy"]


def test_a_group_changes_its_members_and_the_innermost_counts(write, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write(f"{name}.yaml", TASK.format(name))
    write("inner.yaml", "group: inner\nnum_fewshot: 2\nrepeats: 3\ntask: [two, {task: three, num_fewshot: 5}]\n")
    path = write(
        "outer.yaml", "group: outer\ntask:\n  - one\n  - inner\n  - group: inline\n    task: [one]\n    repeats: 7\n"
    )
    folder = TaskFolder(tmp_path)
    group = load(path)
    assert isinstance(group, Group)
    made = [(t.name, t.num_fewshot, t.repeats) for t in folder.members(group)]
    assert made == [("one", 0, 1), ("two", 2, 3), ("three", 5, 3), ("one", 0, 7)]
    assert [t.name for t in folder.tasks("odd")] == ["one", "three", "two"]


def test_faults_are_named(write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no task files"):
        TaskFolder(tmp_path)
    write("one.yaml", TASK.format("one"))
    write("bad.yaml", "task: [\n")
    write("a.yaml", "group: a\ntask: [b]\n")
    write("b.yaml", "group: b\ntask:\n  - task: a\n    repeats: 2\n")
    write("c.yaml", "group: c\ntask:\n  - task: won\n    repeats: 2\n")
    write("d.yaml", "group: d\ntask:\n  - task: one\n    repeat: 2\n")
    folder = TaskFolder(tmp_path)
    assert "not YAML" in folder.faults[tmp_path / "bad.yaml"]
    with pytest.raises(InputError, match=r"no task, group or tag 'on'.*\n  did you mean 'one'"):
        folder.tasks("on")
    with pytest.raises(RecipeError, match="groups contain one another: a -> b -> a"):
        folder.tasks("a")
    with pytest.raises(RecipeError, match=r"c.yaml:3: there is no task, group or tag 'won'"):
        folder.tasks("c")
    with pytest.raises(RecipeError, match=r"d.yaml:4: repeat: is not a key of a task file"):
        folder.tasks("d")
