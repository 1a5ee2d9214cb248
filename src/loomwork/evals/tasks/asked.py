"""A task asked of a model: every document becomes requests, every answer the items of the task's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from loomwork.core.errors import InputError
from loomwork.evals.tasks.documents import Documents
from loomwork.evals.tasks.prompt import Item, Prompts
from loomwork.evals.tasks.results import Key, gold_numbers, items_of
from loomwork.evals.tasks.shots import SEED
from loomwork.evals.tasks.task import Task
from loomwork.metrics import choice
from loomwork.models.engines import Scorer
from loomwork.models.scoring.requests import Answer, Generate, Request, Scoring

SHOWN_CHARACTERS = 2000


@dataclass(frozen=True)
class Asked:
    """What became of the documents of one task.

    Args:
        task: which.
        items: the documents as they were asked, in order.
        questions: each without description and examples, or the end of a long one.
        ids: of their rows.
        values: of each item the values of its metrics, or None where an answer failed.
        failed: why an item has none, or "".
        answers: what people look at: the choice that was taken, the text that was generated.
        targets: the right answer, in the same form.
        confidence: of a multiple choice the probability of the choice that was taken, among the choices; else NaN.
        cut: how many tokens of the contexts did not fit.
        engine, why, counts, incomplete: of the scoring.
        repeated_shots: questions that would have stood among their own examples.
    """

    task: Task
    items: list[Item]
    questions: list[str]
    ids: list[bytes]
    values: list[dict[Key, Any] | None]
    failed: list[str]
    answers: list[str]
    targets: list[str]
    confidence: list[float]
    cut: int
    engine: str
    why: str
    counts: dict[str, int]
    incomplete: str
    repeated_shots: int

    @property
    def unlabelled(self) -> int:
        """How many documents have a label that is none of their choices: as in the harness, each answer is wrong."""
        return sum(bool(item.choices) and not gold_numbers(item) for item in self.items)


def null_notes(asked: Sequence[Asked]) -> list[str]:
    """For each field of the tasks how many documents have a null there, and which is the first."""
    found: dict[str, list[str]] = {}
    for one in asked:
        where = f"task {one.task.name}, " if len(asked) > 1 else ""
        for item in one.items:
            for name in item.nulls:
                found.setdefault(name, []).append(f"{where}document {item.index}")
    return [
        f'{len(rows)} documents have a null that {name} takes for the text "None", as lm-evaluation-harness does; '
        f"the first is {rows[0]}"
        for name, rows in found.items()
    ]


def ask(
    task: Task,
    documents: Documents,
    scorer: Scorer,
    *,
    num_fewshot: int | None = None,
    limit: int = 0,
    seed: int = SEED,
    keep: Path | None = None,
) -> Asked:
    """Ask a model every document of a task.

    Args:
        num_fewshot: examples before each question; None is as the task says.
        limit: only the first documents, 0 for all.
        seed: of the examples.
        keep: a file in which answers are kept at once.
    """
    chosen = slice(0, limit or None)
    prompts = Prompts(task, documents.evaluated[chosen], documents.pool, num_fewshot=num_fewshot, seed=seed)
    items = list(prompts)
    flat = [one for item in items for request in item.requests for one in _repeated(request, task.repeats)]
    scored = scorer.score(flat, keep=keep)
    values: list[dict[Key, Any] | None] = []
    failed, answers, targets, confidence = [], [], [], []
    at = 0
    for item in items:
        size = len(item.requests) * (task.repeats if task.output_type == "generate_until" else 1)
        own = scored.answers[at : at + size]
        at += size
        fault = next((a.failed for a in own if a.failed), "")
        failed.append(fault)
        values.append(None if fault else items_of(task, item, _responses(task, own), many_targets=prompts.many_targets))
        said, sure = ("", np.nan) if fault else _said(task, item, own)
        answers.append(said[:SHOWN_CHARACTERS])
        confidence.append(sure)
        targets.append(_target(item)[:SHOWN_CHARACTERS])
    if all(failed):
        raise InputError(f"task {task.name}: none of {len(items)} documents was answered: {failed[0]}")
    return Asked(
        task,
        items,
        [_end(item.question) for item in items],
        documents.ids[chosen],
        values,
        failed,
        answers,
        targets,
        confidence,
        sum(a.cut_tokens for a in scored),
        *_how(scored),
        prompts.sampler.replaced,
    )


def _repeated(request: Request, repeats: int) -> list[Request]:
    """A generation as often as the task says, with a seed of its own each time."""
    return [replace(request, seed=k) for k in range(repeats)] if isinstance(request, Generate) else [request]


def known_by(item: Item) -> list[str]:
    """The texts by any of which a document would be recognised: each of its own, and the question as the task says.

    One by one: wrong choices beside a question would hide that the question itself is known.
    """
    texts = [item.query, *(value for value in item.document.values() if isinstance(value, str))]
    if isinstance(item.document.get("question"), dict):  # ARC has the question inside
        texts += [v for v in item.document["question"].values() if isinstance(v, str)]
    return [text for text in dict.fromkeys(texts) if text.strip()] or [""]


def _end(text: str) -> str:
    """A text, or the end of a long one."""
    return text if len(text) <= SHOWN_CHARACTERS else "…" + text[1 - SHOWN_CHARACTERS :]


def _how(scored: Scoring) -> tuple[str, str, dict[str, int], str]:
    return scored.engine, scored.why, scored.counts, scored.incomplete


def _responses(task: Task, own: Sequence[Answer]) -> list[Any]:
    if task.output_type == "generate_until":
        return [[a.text for a in own]]
    if task.output_type == "loglikelihood_rolling":
        return [a.log_probability for a in own]
    return [(a.log_probability, a.greedy) for a in own]


def _said(task: Task, item: Item, own: Sequence[Answer]) -> tuple[str, float]:
    """The answer for people, and how sure the model was of it."""
    if task.output_type == "generate_until":
        return own[0].text, float("nan")
    if task.output_type != "multiple_choice" or not item.choices:
        return f"log-probability {own[0].log_probability:.2f}", float("nan")
    found = [a.log_probability for a in own[: len(item.choices)]]
    best = choice.most_likely(found)
    return item.choices[best], float(choice.probabilities(found)[best])


def _target(item: Item) -> str:
    if item.choices:
        return " | ".join(item.choices[n] for n in gold_numbers(item))
    gold = item.gold if isinstance(item.gold, list) else [item.gold]
    return " | ".join(map(str, gold))
