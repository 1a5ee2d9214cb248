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
from loomwork.evals._contamination import CLEAN, look
from loomwork.evals._files import read_lines
from loomwork.evals._mean_score import Provenance, model_digest

if TYPE_CHECKING:
    import pyarrow as pa

    from loomwork.evals.tasks.asked import Asked
    from loomwork.evals.tasks.documents import Documents
    from loomwork.evals.tasks.measured import Measured
    from loomwork.evals.tasks.task import Group, Task
    from loomwork.models.engines import Scorer

USES = ["jinja2", "numba", "numpy", "pyarrow", "scipy", "tokenizers", "torch", "transformers"]
SHOTS_SEED = 1234  # lm-evaluation-harness' own


@step(makes="scores", uses=USES, heavy=True)
def run_task(
    model: Model,
    data: Dataset | None = None,
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

    Of a group of tasks every metric that all of them share is taken over all documents, and of each task apart.

    Args:
        model: a causal language model, or a folder that says at which endpoint it answers.
        data: the documents, where the task names none that are here: a dataset with a part for each split that is
            read, or one part, for the evaluated split.
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
    import numpy as np

    from loomwork.evals.tasks.asked import ask, known_by
    from loomwork.evals.tasks.documents import read_documents
    from loomwork.evals.tasks.find import find_task, tasks_of, written_in
    from loomwork.evals.tasks.task import Task

    found = find_task(task, trust=trust)
    tasks = tasks_of(found, trust=trust)
    weighted_equally(found)
    for one in tasks:
        functions_of_answers_only(one)
    scorer = scorer_of(model, max_tokens)
    keep = context().work / "answers.sqlite" if context().work_folder else None
    asked = []
    for one in tasks:
        documents = labelled(read_documents(one, data, num_fewshot=num_fewshot), labels)
        asked.append(ask(one, documents, scorer, num_fewshot=num_fewshot, limit=limit, seed=shots_seed, keep=keep))
    files = [file_digest(file) for file in written_in(task, tasks)]
    asked_digest = digest([found.name, files, file_digest(labels) if labels else None])
    measured = _measured(asked)
    clusters = _clusters(asked, cluster)
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
    everything = np.ones(len(ids), bool)
    names = np.array([a.task.name for a in asked for _ in a.items])
    scores = [m.score(everything, given) for m in measured]
    if leak.clean is not None:
        scores += [s for m in measured if (s := _of(m, leak.clean, given, CLEAN))]
    if not isinstance(found, Task):
        for name in dict.fromkeys(names.tolist()):
            scores += [s for m in measured if (s := _of(m, names == name, given, f" [task={name}]"))]
    items = _items(asked, ids, clusters, isinstance(found, Task))
    for m in measured:
        items = m.add_to(items)
    for column, values in leak.columns.items():
        items = items.append_column(column, values)
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


def _measured(asked: Sequence[Asked]) -> list[Measured]:
    """The metrics that all tasks share, over all their documents."""
    from loomwork.evals.tasks.measured import measure

    keys = [(metric.name, pipeline.name) for metric in asked[0].task.metrics for pipeline in asked[0].task.pipelines]
    found = []
    for key in dict.fromkeys(keys):
        if not all(key in next(v for v in a.values if v is not None) for a in asked):
            continue
        metrics = {a.task.name: next(m for m in a.task.metrics if m.name == key[0]) for a in asked}
        if len({(str(m.aggregation), m.higher_is_better) for m in metrics.values()}) > 1:
            raise InputError(f"the tasks bring {key[0]} together in different ways", "run them one by one")
        one_pipeline = len({k[1] for k in keys}) == 1
        name = key[0] if one_pipeline else f"{key[0]}, {key[1]}"
        values = [None if v is None else v.get(key) for a in asked for v in a.values]
        found.append(measure(next(iter(metrics.values())), name, values))
    if not found:
        raise InputError("the tasks have no metric in common", "run them one by one")
    return found


def _of(measured: Measured, chosen: Any, given: Provenance, suffix: str) -> Score | None:
    """The score of some items; None where they are too few."""
    try:
        return measured.score(chosen, given, suffix)
    except InputError:
        return None


def _clusters(asked: Sequence[Asked], column: str | None) -> list[str] | None:
    if column is None:
        return None
    rows = [item.document for a in asked for item in a.items]
    if any(column not in row for row in rows):
        raise InputError(f"the documents have no column {column!r}", "they have: " + ", ".join(map(str, rows[0])))
    labels = [str(row[column]) for row in rows]
    if len(set(labels)) < 2:
        raise InputError(f"column {column!r} makes {len(set(labels))} cluster: at least two are needed")
    return labels


def _items(asked: Sequence[Asked], ids: list[bytes], clusters: list[str] | None, one: bool) -> pa.Table:
    import pyarrow as pa

    columns: Mapping[str, Any] = {
        "row_id": pa.array(ids, pa.binary(16)),
        "cluster": pa.array(clusters if clusters is not None else [None] * len(ids), pa.string()),
        **({} if one else {"task": pa.array([a.task.name for a in asked for _ in a.items])}),
        "question": pa.array([question for a in asked for question in a.questions]),
        "target": pa.array([text for a in asked for text in a.targets]),
        "answer": pa.array([text for a in asked for text in a.answers]),
        "confidence": pa.array([sure for a in asked for sure in a.confidence], from_pandas=True),
        "failed": pa.array([why or None for a in asked for why in a.failed], pa.string()),
    }
    return pa.table(columns)


def _card(asked: Sequence[Asked], scores: list[Score], note: str, metrics: dict[str, float]) -> Card:
    failed = [why for a in asked for why in a.failed if why]
    total = sum(len(a.items) for a in asked)
    numbers: dict[str, float] = {"documents": total, "failed": len(failed)}
    for name in ("kept", "tokens_asked", "tokens_computed", "tokens_generated"):
        if any(name in a.counts for a in asked):
            numbers[name] = sum(a.counts.get(name, 0) for a in asked)
    notes = [f"scored by {asked[0].engine}: {asked[0].why}", note]
    if failed:
        notes.insert(0, f"{len(failed)} of {total} documents failed and are left out: {failed[0]}")
    if wrong := sum(a.unlabelled for a in asked):
        numbers["unlabelled"] = wrong
        notes.append(
            f"{wrong} documents have a label that is none of their choices; whatever the answer, it counts as wrong"
        )
    if cut := sum(a.cut for a in asked):
        notes.append(f"{cut:,} tokens at the beginnings of contexts did not fit into the model and were left out")
    if again := sum(a.repeated_shots for a in asked):
        notes.append(f"{again} questions would have been among their own examples, and got others")
    return Card(metrics={**numbers, **metrics}, scores=scores, notes=notes)
