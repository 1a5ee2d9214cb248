"""Items and their aggregation are those of lm-eval's process_results, for every kind of task and metric."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.results import aggregated, items_of
from loomwork.evals.tasks.task_file import load_task
from loomwork.metrics.aggregation import brier_score

HEAD = "task: t\ndataset_path: json\ntest_split: test\n"
KINDS = {
    "multiple_choice": 'doc_to_text: "{{q}}"\ndoc_to_target: label\ndoc_to_choice: "{{choices}}"\n'
    + "metric_list: ["
    + ", ".join(f"{{metric: {m}}}" for m in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"))
    + ", {metric: brier_score, aggregation: brier_score, higher_is_better: false}"
    + ", {metric: f1}, {metric: mcc}]\n",
    "loglikelihood": 'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n',
    "loglikelihood_rolling": 'doc_to_text: ""\ndoc_to_target: "{{q}}"\n',
    "generate_until": 'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\ngeneration_kwargs: {until: [x]}\nmetric_list:\n'
    + "  - {metric: exact_match, ignore_case: true, ignore_punctuation: true, ignore_numbers: true,\n"
    + "     regexes_to_ignore: ['^the ', ',']}\n"
    + "  - {metric: bleu}\n  - {metric: chrf}\n  - {metric: chrf++}\n  - {metric: ter}\n"
    + "filter_list:\n  - {name: raw, filter: [{function: take_first}]}\n"
    + "  - {name: low, filter: [{function: lowercase}, {function: majority_vote}, {function: take_first}]}\n",
}
WORDS = ["the cat", "The Cat!", "cat 9", "a dog, a log", "Žilina", "東京 に", "cat", ""]


def documents() -> list[dict[str, Any]]:
    draw = random.Random(5)
    return [
        {
            "q": f"q{i} {draw.choice(WORDS)}  end\n",
            "a": draw.choice(WORDS[:-1]),
            "choices": [f"{draw.choice(WORDS)}{j}" for j in range(2)],
            "label": draw.randrange(2),
        }
        for i in range(40)
    ]


def respond(kind: str, draw: random.Random, repeats: int) -> Any:
    if kind == "generate_until":
        return [draw.choice(WORDS) for _ in range(repeats)]
    return -20 * draw.random() if kind == "loglikelihood_rolling" else (-20 * draw.random(), draw.random() < 0.5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_items_and_numbers_are_lm_evals(oracle, write, kind: str) -> None:
    repeats = 3 if kind == "generate_until" else 1
    file = write("t.yaml", HEAD + KINDS[kind] + f"output_type: {kind}\nrepeats: {repeats}\n")
    theirs, task = oracle(file, {"test": documents()}), load_task(file)
    draw = random.Random(7)
    mine: dict[Any, list[Any]] = {}
    prompts = Prompts(task, documents())
    responses: list[Any] = []
    for item in prompts:
        here = [respond(kind, draw, repeats) for _ in item.requests]
        responses += here
        for key, value in items_of(task, item, here, many_targets=prompts.many_targets).items():
            mine.setdefault(key, []).append(value)
    for instance, response in zip(theirs.instances, responses, strict=True):
        instance.resps = response if kind == "generate_until" else [response]
    theirs.apply_filters()
    wanted: dict[Any, list[Any]] = {}
    for pipeline in theirs.instances[0].filtered_resps:
        for index in range(40):
            own = [i for i in theirs.instances if i.doc_id == index]
            found = theirs.process_results(own[0].doc, [i.filtered_resps[pipeline] for i in own])
            for name, value in found.items():
                wanted.setdefault((name, pipeline), []).append(value)
    assert set(mine) == set(wanted)
    for key, values in wanted.items():
        if key[0] == "brier_score":
            expected = pytest.approx(theirs.aggregation()["brier_score"](values), rel=1e-12)
            assert np.mean(mine[key]) == expected
            assert brier_score(mine[key]) == brier_score(values) == expected  # a task's own may bring pairs, as theirs
            continue
        if key[0] in ("f1", "mcc", "bleu", "chrf", "chrf++", "ter"):
            assert [tuple(v) for v in mine[key]] == [tuple(v) for v in values]
        else:
            assert mine[key] == values
        assert aggregated(task, key[0], mine[key]) == pytest.approx(theirs.aggregation()[key[0]](values), rel=1e-12)


def test_several_right_answers(oracle, write) -> None:
    text = HEAD + 'doc_to_text: "{{q}}"\ndoc_to_target: "{{answers}}"\noutput_type: generate_until\n'
    file = write(
        "t.yaml", text + "generation_kwargs: {until: [x]}\nmetric_list: [{metric: exact_match, ignore_case: true}]\n"
    )
    rows = [{"q": "x", "answers": ["A", "b"]}, {"q": "y", "answers": ["c", "d"]}]
    prompts, theirs, task = Prompts(load_task(file), rows), oracle(file, {"test": rows}), load_task(file)
    assert prompts.many_targets
    for item, answer in zip(prompts, ["B", "B"], strict=True):
        mine = items_of(task, item, [[answer]], many_targets=True)
        assert mine[("exact_match", "none")] == theirs.process_results(item.document, [answer])["exact_match"]


def test_several_right_choices_and_labels_of_none(oracle, write) -> None:
    text = (
        HEAD
        + 'doc_to_text: "{{q}}"\ndoc_to_target: gold\ndoc_to_choice: ["a", "b", "c"]\noutput_type: multiple_choice\n'
    )
    for rows in (
        [{"q": "x", "gold": [0, 2]}, {"q": "y", "gold": [1, 7]}],
        [{"q": "x", "gold": 1}, {"q": "y", "gold": 5}],
    ):
        file = write("t.yaml", text)
        prompts, theirs, task = Prompts(load_task(file), rows), oracle(file, {"test": rows}), load_task(file)
        found = [(-3.0, False), (-2.0, False), (-1.0, True)]
        for item in prompts:
            mine = {name: v for (name, _), v in items_of(task, item, found).items()}
            assert mine == theirs.process_results(item.document, found)


def test_functions_of_the_task(write) -> None:
    write(
        "utils.py",
        "def results(doc, results): return {'long': len(results[0]), 'short': 1}\n"
        "def half(references, predictions, **settings): return {'half': settings['by'] * (references == predictions)}\n"
        "def most(items): return max(items)\n",
    )
    text = HEAD + 'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\noutput_type: generate_until\n'
    task = load_task(
        write(
            "t.yaml",
            text
            + "process_results: !function utils.results\n"
            + "metric_list: [{metric: long, aggregation: !function utils.most, higher_is_better: false}]\n",
        ),
        trust=True,
    )
    item = next(iter(Prompts(task, [{"q": "x", "a": "y"}])))
    assert items_of(task, item, [["abc"]]) == {("long", "none"): 3, ("short", "none"): 1}
    assert aggregated(task, "long", [3, 7, 5]) == 7
    task = load_task(write("t.yaml", text + "metric_list: [{metric: !function utils.half, by: 0.5}]\n"), trust=True)
    assert items_of(task, item, [["y"]]) == {("half", "none"): 0.5}


def test_what_cannot_be_scored(write) -> None:
    task = load_task(write("t.yaml", HEAD + KINDS["generate_until"] + "output_type: generate_until\n"))
    item = next(iter(Prompts(task, documents())))
    with pytest.raises(InputError, match="2 responses to 1 requests"):
        items_of(task, item, [["a"], ["b"]])
    with pytest.raises(InputError, match="no metric 'acc'"):
        aggregated(task, "acc", [1])
    with pytest.raises(InputError, match="no items"):
        aggregated(task, "bleu", [])
    task = load_task(
        write("t.yaml", HEAD + KINDS["loglikelihood"] + "filter_list: [{name: x, filter: [{function: lowercase}]}]\n")
    )
    item = next(iter(Prompts(task, documents())))
    with pytest.raises(InputError, match="end the filters with take_first"):
        items_of(task, item, [["a"]])
