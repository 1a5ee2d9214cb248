"""What is wrong with a task: the checks of task files, which say the line, and of tasks in Python.

A fault is what it is about, what is wrong, and what to do, as of `check_filter` (answers.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loomwork.core.errors import did_you_mean
from loomwork.evals.tasks.answers import FILTERS, check_filter
from loomwork.evals.tasks.scorers import SCORERS
from loomwork.evals.tasks.task import (
    OUTPUT_TYPES,
    SAMPLERS,
    TAKE_FIRST,
    Generation,
    Metric,
    OutputType,
    Pipeline,
    Shots,
    Source,
    Step,
    Task,
)
from loomwork.evals.tasks.template import fault_of
from loomwork.metrics.aggregation import AGGREGATIONS

Fault = tuple[str, str, str]
TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix")


def check_output(word: str) -> Fault | None:
    return None if word in OUTPUT_TYPES else ("output_type", f"{word!r} is none", did_you_mean(word, OUTPUT_TYPES))


def check_sampler(word: str) -> Fault | None:
    return None if word in SAMPLERS else ("sampler", f"{word!r} is none", did_you_mean(word, SAMPLERS))


def check_metric(metric: Metric, output: OutputType, *, processed: bool) -> Fault | None:
    """What is wrong with a metric.

    Args:
        processed: whether the task has a function `process_results`, that may bring any metric.
    """
    by, known = metric.aggregation, SCORERS.get(metric.name)
    if not callable(by) and by not in AGGREGATIONS:
        return "aggregation", f"{by!r} is none", did_you_mean(str(by), AGGREGATIONS)
    if metric.function is not None or processed:
        return None
    if known is None or output not in known.outputs:
        usable = [n for n, s in SCORERS.items() if output in s.outputs]
        return "name", f"{metric.name!r} is no metric of {output} tasks", did_you_mean(metric.name, usable)
    allowed = known.settings if output == "generate_until" else ()
    for key in metric.settings:
        if key not in allowed:
            return key, f"is no setting of {metric.name} in {output} tasks", did_you_mean(key, allowed)
    return None


def check_step(step: Step) -> Fault | None:
    """What is wrong with a filter: its name ("function"), or a setting of it."""
    if step.name not in FILTERS:
        return "function", f"{step.name!r} is no filter", did_you_mean(step.name, FILTERS)
    return check_filter(step.name, step.settings)


def check_generation(generation: Generation) -> Fault | None:
    if not 0 < generation.top_p <= 1:
        return "top_p", "is above 0 and at most 1", ""
    return None if generation.temperature >= 0 else ("temperature", "is at least 0", "")


def check_together(task: Task) -> Fault | None:
    """What the parts of a task, each right by itself, do not allow one another."""
    output = task.output_type
    if output == "multiple_choice" and task.doc_to_choice is None:
        return "output_type", "multiple_choice needs `doc_to_choice`", "give a list, a column or a template"
    if output == "multiple_choice" and any(p.steps != TAKE_FIRST.steps for p in task.pipelines):
        return "filter_list", "multiple_choice tasks have no answers to filter", "leave it out"
    if output != "generate_until" and task.repeats != 1:  # lm-eval asks so often, and takes the first of equal answers
        return "repeats", f"{output} tasks generate nothing, and what is asked again is answered alike", "leave it out"
    if task.evaluated_split is None:
        return "test_split", "a task needs a `test_split` or a `validation_split`", "name the split"
    return None


def check_python(task: Task) -> Fault | None:
    """What is wrong with a task that was written in Python: all that a task file is checked for."""
    return next(_faults(task), None)


def _faults(task: Task) -> Iterator[Fault]:
    yield from _shapes(task)
    for fault in (check_output(task.output_type), check_sampler(task.shots.sampler)):
        if fault:
            yield fault
    for number, metric in enumerate(task.metrics):
        if fault := check_metric(metric, task.output_type, processed=task.process_results is not None):
            yield _within(f"metrics[{number}]", fault)
    for pipeline in task.pipelines:
        for step in pipeline.steps:
            if fault := check_step(step):
                yield _within(f"pipeline {pipeline.name!r}", fault)
    if fault := check_generation(task.generation):
        yield _within("generation", fault)
    for name in TEMPLATES:
        value = getattr(task, name)
        if isinstance(value, str) and (broken := fault_of(value)):
            yield name, f"line {broken[1]} of the template is not Jinja: {broken[0]}", ""
    if fault := check_together(task):
        yield fault


def _within(where: str, fault: Fault) -> Fault:
    return f"{where}.{fault[0]}", *fault[1:]


def _shapes(task: Task) -> Iterator[Fault]:
    """Fields that are not of their kind: Python asks nobody, and a forgotten comma makes no tuple."""
    for name, kind in (("name", str), ("source", Source), ("shots", Shots), ("generation", Generation)):
        found = getattr(task, name)
        if not isinstance(found, kind) or not found:
            yield name, f"takes a {kind.__name__}, not {found!r:.60}", ""
            return
    yield from _several("metrics", task.metrics, Metric)
    yield from _several("pipelines", task.pipelines, Pipeline)
    for pipeline in task.pipelines:
        yield from _several(f"pipeline {pipeline.name!r}.steps", pipeline.steps, Step)
    if task.generation.until:
        yield from _several("generation.until", task.generation.until, str)
    if not isinstance(task.source.data_files, Mapping):
        yield "source.data_files", f"takes a dict of splits, not {task.source.data_files!r:.60}", ""
    for split, files in task.source.data_files.items():
        yield from _several(f"source.data_files[{split!r}]", files, str)
    for name, value, least in (
        ("num_fewshot", task.num_fewshot, 0),
        ("repeats", task.repeats, 1),
        ("generation.max_tokens", task.generation.max_tokens, 1),
    ):
        if not isinstance(value, int) or value < least:
            yield name, f"takes a whole number of at least {least}, not {value!r}", ""


def _several(name: str, found: Any, kind: type) -> Iterator[Fault]:
    if isinstance(found, kind):
        yield name, f"takes a tuple, not {found!r:.60}", "a comma makes a tuple of one thing: (x,)"
    elif not isinstance(found, Sequence) or not found or not all(isinstance(one, kind) for one in found):
        yield name, f"takes a tuple of {kind.__name__}, not {found!r:.60}", ""
