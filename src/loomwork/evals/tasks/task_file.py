"""A task file becomes a Task or a Group: the YAML of lm-evaluation-harness 0.4.13, a declared subset of it.

What is outside the subset is refused, with file and line and the reason; nothing is read and then left unused.
Differences on purpose: plain words follow YAML 1.2 (`no` is a word), a file that is included twice by two files is no
circle, and `fewshot_config.fewshot_indices`, which that version reads and forgets, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from loomwork.core.errors import RecipeError
from loomwork.core.recipe_yaml import Tree
from loomwork.evals.tasks.checks import check_output, check_together
from loomwork.evals.tasks.group_keys import group_of
from loomwork.evals.tasks.keys import Keys, read_keys
from loomwork.evals.tasks.task import Group, OutputType, Task
from loomwork.evals.tasks.task_parts import generation_of, metrics_of, pipelines_of, shots_of, source_of

KEYS = frozenset(
    {"task", "task_alias", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "process_docs", "metadata"}
    | {"training_split", "validation_split", "test_split", "fewshot_split", "fewshot_config", "num_fewshot"}
    | {"doc_to_text", "doc_to_target", "doc_to_choice", "description", "target_delimiter", "fewshot_delimiter"}
    | {"gen_prefix", "output_type", "generation_kwargs", "repeats", "filter_list", "metric_list", "process_results"}
    | {"should_decontaminate", "doc_to_decontamination_query", "unsafe_code"}
)
OUTSIDE = {
    "class": "it names a Python class of lm-evaluation-harness",
    "custom_dataset": "it makes its documents with code of its own; give them as `data`",
    "doc_to_image": "tasks with images",
    "doc_to_audio": "tasks with sound",
    "use_prompt": "prompts of promptsource",
    "recipe": "tasks of unitxt",
    "task_list": "several tasks in one file",
}


def load(path: str | Path, *, trust: bool = False, changes: Tree | None = None) -> Task | Group:
    """Read a task file, or a file of a group of tasks.

    Args:
        path: the YAML file.
        trust: whether `!function` may load functions from the Python files beside it. They run with your rights.
        changes: keys that go over those of the file, as a group gives them to its members.

    Raises:
        RecipeError: what is wrong or not supported, with file and line.
    """
    keys = read_keys(Path(path), trust, changes)
    if "group" in keys and "class" not in keys:
        return group_of(keys, Path(path))
    return _task(keys, Path(path))


def load_task(path: str | Path, *, trust: bool = False, changes: Tree | None = None) -> Task:
    """Read a file of one task.

    Raises:
        RecipeError: as `load`, and where the file is of a group.
    """
    found = load(path, trust=trust, changes=changes)
    if isinstance(found, Group):
        raise RecipeError(f"{found.name!r} is a group of tasks, not one task", "name one of its members", path, 1)
    return found


def _task(keys: Keys, path: Path) -> Task:
    keys.check_known(KEYS, OUTSIDE)
    for needed in ("task", "dataset_path", "doc_to_text", "doc_to_target"):
        if needed not in keys and not (needed == "doc_to_text" and needed in keys.tree):
            raise RecipeError(f"a task needs the key {needed!r}", "a file that others include is no task", path, 1)
    if keys.flag("unsafe_code", False):
        raise keys.error("unsafe_code", "is not supported: the task runs code that the model wrote", "leave it out")
    output = _output_type(keys)
    delimiter = keys.text("fewshot_delimiter", "\n\n")
    process = keys.only_function("process_results")
    choice = keys.field("doc_to_choice")
    if isinstance(choice, list):
        choice = list(keys.texts("doc_to_choice"))  # as they are written
    task = Task(
        name=keys.text("task"),
        output_type=output,
        source=source_of(keys),
        doc_to_text=keys.field("doc_to_text") if "doc_to_text" in keys else "",
        doc_to_target=keys.field("doc_to_target"),
        doc_to_choice=choice,
        metrics=metrics_of(keys, output, process is not None),
        training_split=keys.optional("training_split"),
        validation_split=keys.optional("validation_split"),
        test_split=keys.optional("test_split"),
        process_docs=keys.only_function("process_docs"),
        description=keys.template("description"),
        target_delimiter=keys.text("target_delimiter", " "),
        fewshot_delimiter=delimiter,
        gen_prefix=keys.template("gen_prefix") if "gen_prefix" in keys else None,
        shots=shots_of(keys),
        num_fewshot=keys.whole("num_fewshot", 0),
        pipelines=pipelines_of(keys),
        generation=generation_of(keys, output, delimiter),
        repeats=keys.whole("repeats", 1, least=1),
        should_decontaminate=keys.flag("should_decontaminate", False),
        doc_to_decontamination_query=keys.field("doc_to_decontamination_query"),
        process_results=process,
        metadata=_metadata(keys),
        alias=keys.text("task_alias"),
        tags=keys.texts("tag"),
        file=path,
        files=tuple(keys.files),
    )
    if fault := check_together(task):
        key, what, hint = fault
        raise keys.error(key, what, hint) if key in keys else RecipeError(what, hint, path, 1)
    return task


def _output_type(keys: Keys) -> OutputType:
    word = keys.text("output_type", "generate_until")
    if fault := check_output(word):
        raise keys.error(*fault)
    return cast(OutputType, word)


def _metadata(keys: Keys) -> Mapping[str, Any]:
    found = keys.plain("metadata", {})
    if not isinstance(found, Mapping):
        raise keys.error("metadata", f"takes a mapping, not {found!r}")
    return found
