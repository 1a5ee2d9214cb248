"""Run a task on a language model: multiple choice, generation, or the likelihood of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from loomwork.core.artifact import Model, digest, file_digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Count, Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, Files, Reads, TrainedOn, step
from loomwork.evals._contamination import look
from loomwork.evals._files import read_lines
from loomwork.evals._mean_score import Provenance, model_digest

if TYPE_CHECKING:
    from loomwork.evals.tasks.asked import Asked
    from loomwork.evals.tasks.documents import Documents
    from loomwork.evals.tasks.task import Group, Row, Task
    from loomwork.models.engines import Scorer

USES = ["jinja2", "numba", "numpy", "pyarrow", "scipy", "tokenizers", "torch", "transformers"]
SHOTS_SEED = 1234  # lm-evaluation-harness' own


@step(makes="scores", uses=USES, heavy=True)
def run_task(
    model: Model,
    data: Dataset | None = None,
    examples: Dataset | None = None,
    seen: Annotated[list[Dataset] | None, TrainedOn("model")] = None,
    *,
    task: Annotated[str, Reads("loomwork.evals.tasks.find:files_of")],
    num_fewshot: Count | None = None,
    limit: Count = 0,
    cluster: str | None = None,
    labels: Annotated[Path | None, Files()] = None,
    trust: bool = False,
    max_tokens: Annotated[int, Ge(2)] | None = None,
    shots_seed: int = SHOTS_SEED,
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Ask a model the documents of a task, and score its answers with the task's metrics.

    Prompts, examples, filters and metrics are those of lm-evaluation-harness 0.4.13; shared prefixes are computed once
    (models/scoring). Each document is looked for in what the model was trained on, in runs of 13 words; where some are
    found, the scores of the others are given too. Documents that an endpoint does not answer are left out, and counted.

    Of a group of tasks every metric that all of them share is taken over all documents, and of each task apart; any
    other of each task that has it. The items keep the documents' columns of short values, for evals.slices.

    Args:
        model: a causal language model, or a folder that says at which endpoint it answers.
        data: the documents that are asked, where the task names none that are here.
        examples: the documents that examples are drawn from, in place of the task's own split of them.
        seen: what the model was trained on; by default all that the ledger knows of.
        task: one of ours ("gsm8k", "hellaswag", "mmlu"...), a task file of lm-evaluation-harness (my/task.yaml), or a
            Python file with a constant TASK.
        num_fewshot: examples before each question; by default as the task says.
        limit: only so many documents, the first ones; 0 is all.
        cluster: a column of the documents; those that agree in it are not independent.
        labels: a file with one label a line, for documents that have none; it becomes the column `label`.
        trust: whether Python code of the task may run: `!function` of a task file, or a Python file.
        max_tokens: the most tokens that the model reads at once; by default all of its context.
        shots_seed: of the examples that are drawn.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: there is no such task, its documents are not here, or too few were answered.
    """
    from loomwork.evals._task_scores import items_of, measured_of, scores_of
    from loomwork.evals.tasks.asked import ask, known_by
    from loomwork.evals.tasks.documents import read_documents
    from loomwork.evals.tasks.find import find_task, tasks_of, written_in
    from loomwork.evals.tasks.prompt import Prompts
    from loomwork.evals.tasks.task import Task

    found = find_task(task, trust=trust)
    tasks = tasks_of(found, trust=trust)
    group = not isinstance(found, Task)
    weighted_equally(found)
    for one in tasks:
        functions_of_answers_only(one)
    documents = [labelled(read_documents(t, data, examples, num_fewshot=num_fewshot), labels) for t in tasks]
    clusters = _clusters([row for d in documents for row in d.evaluated[: limit or None]], cluster)
    for one, d in zip(tasks, documents, strict=True):  # a fault of the last task is found before the first is asked
        next(iter(Prompts(one, d.evaluated, d.pool, num_fewshot=num_fewshot, seed=shots_seed)))
    scorer = scorer_of(model, max_tokens)
    keep = context().kept / "answers.sqlite" if context().work_folder else None
    asked = []
    for one, d in zip(tasks, documents, strict=True):
        asked.append(ask(one, d, scorer, num_fewshot=num_fewshot, limit=limit, seed=shots_seed, keep=keep))
    files = [file_digest(file) for file in written_in(task, tasks)]
    asked_digest = digest([found.name, files, file_digest(labels) if labels else None])
    leak = look([known_by(item) for a in asked for item in a.items], clusters, model=model, seen=seen)
    ids = [row_id for a in asked for row_id in a.ids]
    stated = {
        "task": found.name,
        "asked": asked_digest,
        "num_fewshot": tasks[0].num_fewshot if num_fewshot is None else num_fewshot,
        "shots_seed": shots_seed,
        "limit": limit,
        "max_tokens": max_tokens,
        "engine": asked[0].engine,
        **({"examples": examples.digest} if examples is not None else {}),
    }
    given = Provenance(
        # What was asked: other prompts, choices or labels of the same rows are another test.
        data=digest([data.digest if data is not None and not limit else [i.hex() for i in ids], asked_digest]),
        model=model_digest(model),
        settings=digest(stated),
        cluster_unit=cluster or "item",
        clusters=clusters,
        contamination=leak.word,
        note=leak.note,
        level=level,
        seed=seed,
    )
    measured = measured_of(asked)
    items = items_of(asked, clusters, measured, leak, group=group)
    scores = scores_of(measured, asked, items, given, leak, group=group)
    write_scores(out, scores, items, {"settings": stated})
    return _card(asked, scores, leak.note, leak.metrics)


def weighted_equally(found: Task | Group) -> None:
    """Refuse a group whose mean counts each task alike: here each document counts alike.

    Raises:
        InputError: says which.
    """
    for metric in getattr(found, "metrics", ()):
        if getattr(metric, "weight_by_size", True) is False:
            raise InputError(
                f"group {found.name} asks for a mean of tasks, whatever their size (weight_by_size: false)",
                "only means over all documents are supported; run its members one by one",
            )


def functions_of_answers_only(task: Task) -> None:
    """Refuse a scorer of the task's own where there is no answer to give it.

    Raises:
        InputError: says which.
    """
    for metric in task.metrics:
        if metric.function is not None and task.output_type != "generate_until" and task.process_results is None:
            raise InputError(
                f"task {task.name}: the scorer {metric.name} is a function, which {task.output_type} tasks cannot have",
                "give `process_results`: it gets the document and its log-probabilities",
            )


def scorer_of(model: Model, max_tokens: int | None) -> Scorer:
    from loomwork.models.scorer import load_scorer

    if max_tokens is None:
        return load_scorer(model)
    from loomwork.models.scoring.run import Settings

    return load_scorer(model, settings=Settings(max_tokens=max_tokens))


def labelled(documents: Documents, labels: Path | None) -> Documents:
    """The documents with a label each, from a file."""
    if labels is None:
        return documents
    from dataclasses import replace

    lines = [line.strip() for line in read_lines(labels)]
    if len(lines) != len(documents.evaluated):
        raise InputError(f"{labels} has {len(lines)} labels for {len(documents.evaluated)} documents")
    rows: list[Mapping[str, Any]] = [
        {**row, "label": label} for row, label in zip(documents.evaluated, lines, strict=True)
    ]
    return replace(documents, evaluated=rows)


def _clusters(rows: Sequence[Row], column: str | None) -> list[str] | None:
    if column is None:
        return None
    if any(column not in row for row in rows):
        raise InputError(f"the documents have no column {column!r}", "they have: " + ", ".join(map(str, rows[0])))
    labels = [str(row[column]) for row in rows]
    if len(set(labels)) < 2:
        raise InputError(f"column {column!r} makes {len(set(labels))} cluster: at least two are needed")
    return labels


def _card(asked: Sequence[Asked], scores: list[Score], note: str, metrics: dict[str, float]) -> Card:
    from loomwork.evals.tasks.asked import null_notes

    failed = [why for a in asked for why in a.failed if why]
    total = sum(len(a.items) for a in asked)
    numbers: dict[str, float] = {"documents": total, "failed": len(failed)}
    for name in ("kept", "tokens_asked", "tokens_computed", "tokens_generated"):
        if any(name in a.counts for a in asked):
            numbers[name] = sum(a.counts.get(name, 0) for a in asked)
    from loomwork.evals._task_scores import named_by

    notes = [f"scored by {asked[0].engine}: {asked[0].why}", note]
    if scores[0].name.endswith("]"):
        notes.append("the tasks have no metric in common: each has scores of its own")
    for a in asked:
        given = {key for values in a.values if values is not None for key in values}
        if missing := [f"{name} ({way})" for name, way in named_by(a.task) if (name, way) not in given]:
            notes.append(f"task {a.task.name}: `process_results` gives no {', '.join(missing)}")
    if failed:
        notes.insert(0, f"{len(failed)} of {total} documents failed and are left out: {failed[0]}")
    if wrong := sum(a.unlabelled for a in asked):
        numbers["unlabelled"] = wrong
        notes.append(
            f"{wrong} documents have a label that is none of their choices; whatever the answer, it counts as wrong"
        )
    if nulls := sum(bool(item.nulls) for a in asked for item in a.items):
        numbers["documents_with_null"] = nulls
        notes += null_notes(asked)
    if cut := sum(a.cut for a in asked):
        notes.append(f"{cut:,} tokens at the beginnings of contexts did not fit into the model and were left out")
    if again := sum(a.repeated_shots for a in asked):
        notes.append(f"{again} questions would have been among their own examples, and got others")
    incomplete = next((a.incomplete for a in asked if a.incomplete), "")
    return Card(metrics={**numbers, **metrics}, scores=scores, notes=notes, incomplete=incomplete)
