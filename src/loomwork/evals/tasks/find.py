"""A task by what a user writes: the name of one of ours, a YAML file, or a Python file with a constant TASK."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loomwork.core.errors import InputError, did_you_mean
from loomwork.evals.tasks import library
from loomwork.evals.tasks.checks import check_python
from loomwork.evals.tasks.documents import document_files
from loomwork.evals.tasks.functions import ALLOW, load_module
from loomwork.evals.tasks.members import TaskFolder
from loomwork.evals.tasks.task import Group, Task
from loomwork.evals.tasks.task_file import load


def own_tasks() -> list[str]:
    """The names of our own tasks."""
    return sorted(m.name for m in pkgutil.iter_modules(library.__path__))


def files_of(name: str, settings: Mapping[str, Any]) -> list[Path]:
    """All files that a task is read from: its own first, those it includes, the code beside it, its documents.

    Which one is the task is told by its place alone: two tasks of a folder are read from the same files.

    Args:
        name: as `find_task` takes it.
        settings: of the step that runs it; `trust` counts.

    Raises:
        InputError: there is no such task, it is faulty, or a file of it is missing.
    """
    trust = bool(settings.get("trust"))
    found = find_task(name, trust=trust)
    if name in own_tasks():
        beside = Path(next(iter(library.__path__))).glob("*.py")  # one may import from another
        return [*written_in(name, []), *sorted(beside)]
    if Path(name).suffix == ".py":
        documents = (f for task in tasks_of(found) for f in document_files(task))
        return [Path(name), *sorted(Path(name).parent.glob("*.py")), *documents]
    files = {Path(name): None} | dict.fromkeys(found.files if isinstance(found, Task) else ())
    for task in tasks_of(found, trust=trust):
        files |= dict.fromkeys([*task.files, *document_files(task)])
    return list(files)


def written_in(name: str, tasks: Sequence[Task]) -> list[Path]:
    """The files in which a task itself is written, without its documents and what its code may import."""
    if name in own_tasks():
        return [Path(str(importlib.import_module(f"{library.__name__}.{name}").__file__))]
    return list(dict.fromkeys([Path(name), *(file for task in tasks for file in task.files)]))


def tasks_of(found: Task | Group, *, trust: bool = False) -> list[Task]:
    """The task itself, or those of a group: its members are sought in the folder of its file."""
    if isinstance(found, Task):
        return [found]
    folder = found.file.parent if found.file else Path()
    return TaskFolder(folder).members(found, trust=trust)


def find_task(name: str, *, trust: bool = False) -> Task | Group:
    """Find a task.

    Args:
        name: "gsm8k", "my/task.yaml" or "my/task.py".
        trust: whether code beside a YAML file, or a Python file of a task, may run.

    Raises:
        InputError: there is none, or a Python file is not trusted, has no TASK or a faulty one.
        RecipeError: a task file is faulty.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return load(path, trust=trust)
    if path.suffix == ".py":
        return _from_python(path, trust)
    if name in own_tasks():
        found: Task = importlib.import_module(f"{library.__name__}.{name}").TASK
        return found
    raise InputError(f"there is no task {name!r}", did_you_mean(name, own_tasks()) + "; or name a .yaml or .py file")


def _from_python(path: Path, trust: bool) -> Task:
    if not path.is_file():
        raise InputError(f"there is no task file {path}", f"looked in {Path.cwd()}")
    if not trust:
        raise InputError(f"the task {path} is Python code", ALLOW)
    try:
        found = getattr(load_module(path), "TASK", None)
    except Exception as error:  # whatever foreign code raises
        raise InputError(f"loading {path} failed: {type(error).__name__}: {error}") from error
    if not isinstance(found, Task):
        raise InputError(f"{path} has no task in the constant TASK", "TASK = Task(name=..., ...)")
    if fault := check_python(found):
        where, what, hint = fault
        raise InputError(f"{path}: {where}: {what}", hint)
    return found
