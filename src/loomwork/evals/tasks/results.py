"""From a model's responses to one document to the items of each metric: what ConfigurableTask.process_results does.

An item is what the metric's aggregation takes: a number, or a pair (metrics/aggregation.py).
Source: lm_eval/api/task.py, 0.4.13.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from loomwork.core.errors import InputError
from loomwork.evals.tasks.answers import apply
from loomwork.evals.tasks.prompt import Item
from loomwork.evals.tasks.task import Metric, Task
from loomwork.metrics import choice
from loomwork.metrics.aggregation import AGGREGATIONS
from loomwork.metrics.classification import brier
from loomwork.metrics.exact_match import exact_match
from loomwork.models.scoring.requests import Rolling

Key = tuple[str, str]  # metric, pipeline
Likelihood = tuple[float, bool]  # summed log-probability, and whether each token is the most likely one


def items_of(task: Task, item: Item, responses: Sequence[Any], *, many_targets: bool = False) -> dict[Key, Any]:
    """The items of all metrics for one document.

    Args:
        responses: one for each request: (log-probability, is greedy), of loglikelihood_rolling the log-probability, of
            generate_until the list of answers, one for each of the task's `repeats`.
        many_targets: as Prompts says: `gold` is a list of which any one will do.

    Raises:
        InputError: there are not as many responses as requests, or a filter leaves more than one answer.
    """
    if len(responses) != len(item.requests):
        raise InputError(f"{len(responses)} responses to {len(item.requests)} requests")
    if task.output_type != "generate_until":
        return {(name, "none"): value for name, value in _of_likelihoods(task, item, responses, many_targets).items()}
    made: dict[Key, Any] = {}
    for pipeline in task.pipelines:
        answer = apply(pipeline, responses[0], item.document)
        found = _processed(task, item, [answer])
        if found is None:
            found = _of_answer(task, item, answer, many_targets)
        made |= {(name, pipeline.name): value for name, value in found.items()}
    return made


def aggregated(task: Task, metric: str, items: Sequence[Any]) -> float:
    """One number of the items of a metric.

    Raises:
        InputError: the task has no such metric, or there are no items.
    """
    chosen = next((m for m in task.metrics if m.name == metric), None)
    if chosen is None or not items:
        raise InputError(f"task {task.name} has no metric {metric!r}" if chosen is None else "there are no items")
    by = chosen.aggregation
    return float(by(items) if callable(by) else AGGREGATIONS[by](items))


def gold_numbers(item: Item) -> list[int]:
    """The numbers of the right choices; those that no choice has are left out, and the document counts as wrong."""
    wanted = item.gold if isinstance(item.gold, list) else [item.gold]
    numbers = [item.choices.index(g) if isinstance(g, str) and g in item.choices else g for g in wanted]
    return [int(n) for n in numbers if isinstance(n, int) and 0 <= n < len(item.choices)]


def _processed(task: Task, item: Item, responses: list[Any]) -> Mapping[str, Any] | None:
    return None if task.process_results is None else task.process_results(item.document, responses)


def _of_likelihoods(task: Task, item: Item, responses: Sequence[Any], many_targets: bool) -> Mapping[str, Any]:
    if (found := _processed(task, item, list(responses))) is not None:
        return found
    names = [m.name for m in task.metrics]
    if task.output_type == "loglikelihood":
        total, greedy = responses[0]
        values: dict[str, Any] = {"perplexity": float(total), "acc": int(greedy)}
    elif task.output_type == "loglikelihood_rolling":
        asked = item.requests[0]
        text = asked.text if isinstance(asked, Rolling) else ""
        words, bytes_ = len(re.split(r"\s+", text)), len(text.encode())
        total = float(responses[0])
        values = {
            "word_perplexity": (total, words),
            "byte_perplexity": (total, bytes_),
            "bits_per_byte": (total, bytes_),
        }
    else:
        return {n: _CHOICES[n](item, responses) for n in names}
    return {n: values[n] for n in names}


def _accuracy(pick: Callable[[Item, list[float]], int]) -> Callable[[Item, Sequence[Likelihood]], float]:
    return lambda item, found: float(pick(item, _conditional(item, found)) in gold_numbers(item))


def _conditional(item: Item, found: Sequence[Likelihood]) -> list[float]:
    """The log-probabilities after the context; those without it, for acc_mutual_info, come after."""
    return [total for total, _ in found[: len(item.choices)]]


def _mutual(item: Item, found: Sequence[Likelihood]) -> float:
    half = len(item.choices)
    chosen = choice.most_informed([t for t, _ in found[:half]], [t for t, _ in found[half:]])
    return float(chosen in gold_numbers(item))


def _pair(item: Item, found: Sequence[Likelihood]) -> tuple[int, int]:
    return _one_gold(item), choice.most_likely(_conditional(item, found))


def _brier(log_probabilities: list[float], gold: int) -> float:
    shares = choice.probabilities(log_probabilities)
    return float(brier(shares[None, :], np.array([gold]))[0])


def _one_gold(item: Item) -> int:
    numbers = gold_numbers(item)
    if len(numbers) != 1:
        raise InputError(
            f"document {item.index} has {len(numbers)} right choices: {item.gold!r:.60}", "here one is needed"
        )
    return numbers[0]


_CHOICES: dict[str, Callable[[Item, Sequence[Likelihood]], Any]] = {
    "acc": _accuracy(lambda _, x: choice.most_likely(x)),
    "acc_norm": _accuracy(lambda item, x: choice.most_likely_by_length(x, choice.characters(item.choices))),
    "acc_bytes": _accuracy(lambda item, x: choice.most_likely_by_length(x, choice.utf8_bytes(item.choices))),
    "acc_mutual_info": _mutual,
    "brier_score": lambda item, found: _brier(_conditional(item, found), _one_gold(item)),
    "exact_match": lambda item, found: int(any(found[n][1] for n in gold_numbers(item))),
    "f1": _pair,
    "mcc": _pair,
}


def _of_answer(task: Task, item: Item, answer: Any, many_targets: bool) -> dict[str, Any]:
    gold = item.gold
    if task.doc_to_choice is not None:
        numbers = gold_numbers(item)
        gold = (
            [item.choices[n] for n in numbers] if isinstance(gold, list) else "".join(item.choices[n] for n in numbers)
        )
    elif not many_targets and type(gold) is not type(answer) and not isinstance(answer, list):
        gold = type(answer)(gold)
    golds = gold if isinstance(gold, list) else [gold]
    made: dict[str, Any] = {}
    for metric in task.metrics:
        found = _scored(metric, golds, answer, many_targets)
        made |= found if isinstance(found, Mapping) else {metric.name: found}
    return made


def _scored(metric: Metric, golds: list[Any], answer: Any, many_targets: bool) -> Any:
    if metric.function is not None:
        found = [_called(metric, gold, answer) for gold in golds]
        return (1.0 if any(found) else 0.0) if many_targets else found[0]
    if not isinstance(answer, str):
        if metric.name == "exact_match" and not isinstance(answer, list):
            return float(any(answer == g for g in golds))
        raise InputError(f"{metric.name} takes one text, not {answer!r:.60}", "end the filters with take_first")
    if metric.name == "exact_match":
        return float(any(exact_match(answer, str(g), **metric.settings) for g in golds))
    return ([str(g) for g in golds] if many_targets else str(golds[0]), answer)


def _called(metric: Metric, gold: Any, answer: Any) -> Any:
    assert metric.function is not None
    try:
        return metric.function(references=[gold], predictions=[answer], **metric.settings)
    except TypeError:  # the other form that such functions have there
        return metric.function([gold, answer])
