"""A gate that looks while answers come in: it stops early, says what it saw, and its error rates hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, RecipeError, Stopped
from loomwork.core.home import Home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import run_recipe
from loomwork.evals.decide import _look, decide

TASK = """\
task: fluent
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{story}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc}, {metric: mcc}]
"""
ENDS = ["She loved to play outside.", "Her mom was very happy.", "They went to the big park.", "He had a red ball."]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The end of a story, and its words in another order: 320 documents."""
    folder = tmp_path_factory.mktemp("tasks")
    order = np.random.default_rng(0)
    rows = []
    for name in ("Lily", "Tom", "Ben", "Sue", "Max", "Amy", "Tim", "Mia"):
        for thing in ("dog", "cat", "bird", "girl", "boy", "tree", "car", "fish", "bear", "frog"):
            for end in ENDS:
                mixed = " ".join(order.permutation(end.split()))
                right = int(order.integers(2))
                story = f"Once upon a time, there was a little {thing} named {name}."
                rows.append({"story": story, "choices": [end, mixed] if right == 0 else [mixed, end], "answer": right})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "task.yaml").write_text(TASK)
    return folder / "task.yaml"


@pytest.fixture(scope="module")
def untrained(stories, tmp_path_factory):
    """The same architecture, with random weights."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(1)
    LlamaForCausalLM(AutoConfig.from_pretrained(stories.path)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(stories.path).save_pretrained(folder)
    return Model(folder)


def verdict(out):
    return json.loads((out.path / "verdict.json").read_text())


@pytest.mark.parametrize("margin", [{"better_than": 0}, {"better_than": 0.1}, {"not_worse_than": 0.05}])
def test_a_clear_difference_needs_few_documents(task, stories, untrained, run_step, margin):
    out, card = run_step(decide, candidate=stories, baseline=untrained, task=str(task), look_every=20, **margin)
    said = verdict(out)
    assert said["decision"] == "pass"
    assert said["numbers"]["n"] < 200
    assert said["numbers"]["low"] > said["numbers"]["limit"] - 0.05
    assert f"of {said['numbers']['documents']:,.0f} documents" in said["reason"]
    assert card.notes[0].startswith("pass: gain in acc +0.")
    out, _ = run_step(decide, candidate=untrained, baseline=stories, task=str(task), look_every=20, **margin)
    assert verdict(out)["decision"] == "refuse"
    assert verdict(out)["numbers"]["n"] < 320


def test_a_model_is_no_better_than_itself_and_not_worse(task, stories, run_step):
    out, _ = run_step(decide, candidate=stories, baseline=stories, task=str(task), better_than=0)
    assert (verdict(out)["decision"], verdict(out)["numbers"]["n"]) == ("refuse", 0)
    out, _ = run_step(decide, candidate=stories, baseline=stories, task=str(task), not_worse_than=0.01)
    assert verdict(out)["decision"] == "pass"


def test_documents_that_are_repeated_are_asked_once(task, stories, untrained, run_step, tmp_path):
    rows = (task.parent / "rows.jsonl").read_text().splitlines()[:6]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows * 50))
    (tmp_path / "task.yaml").write_text(TASK)
    out, card = run_step(
        decide, candidate=stories, baseline=untrained, task=str(tmp_path / "task.yaml"), better_than=0.2
    )
    assert (verdict(out)["decision"], verdict(out)["numbers"]["documents"]) == ("undecided", 6)
    assert any("294 documents are repetitions" in note for note in card.notes)


def test_without_a_baseline_it_is_the_first(task, stories, run_step):
    out, _ = run_step(decide, candidate=stories, task=str(task), better_than=0)
    assert verdict(out)["decision"] == "first"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one margin, and 0"),
        ({"better_than": 0, "not_worse_than": 0.1}, "one margin, and 2"),
        ({"not_worse_than": "1%"}, "moves with the baseline"),
        ({"not_worse_than": 1.5}, "between 0 and 1"),
        ({"better_than": 0, "metric": "acd"}, "did you mean 'acc'"),
        ({"better_than": 0, "metric": "mcc"}, "one for each document"),
        ({"better_than": 0, "task": "GROUP"}, "group of tasks"),
    ],
)
def test_what_cannot_be_decided_is_refused(task, stories, untrained, run_step, arguments, message):
    (task.parent / "group.yaml").write_text("group: all\ntask: [fluent]\n")
    if arguments.get("task"):
        arguments = arguments | {"task": str(task.parent / "group.yaml")}
    with pytest.raises(InputError, match=message):
        run_step(decide, **({"candidate": stories, "baseline": untrained, "task": str(task)} | arguments))


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({}, "better_than is None; better_than or not_worse_than is needed"),
        ({"better_than": 0, "not_worse_than": 0.1}, "are two margins"),
        ({"better_than": "abc"}, "'abc' is no margin; write 0.01, in units of the metric$"),
        ({"not_worse_than": "1%"}, "moves with the baseline"),
    ],
)
def test_margins_are_checked_before_anything_runs(task, stories, margins, message):
    step = {"use": "evals.decide", "candidate": str(stories.path), "task": str(task), **margins}
    with pytest.raises(RecipeError, match=message):
        load_recipe({"steps": {"a": step}})


def test_answers_of_a_stopped_gate_are_kept(task, stories, untrained, run_step, tmp_path):
    stop, counts = tmp_path / "stop", []

    def after_some(event):
        if event["type"] == "progress" and event["unit"] == "documents":
            counts.append(event["done"])
            stop.touch()

    arguments = {"candidate": stories, "baseline": untrained, "task": str(task), "better_than": 0, "look_every": 4}
    stopping = Context(work_folder=tmp_path / "work", stop_file=stop, report=after_some)
    with use_context(stopping), pytest.raises(Stopped, match="4 of 320"):
        run_step(decide, **arguments)
    assert (tmp_path / "work" / "answers.sqlite").is_file()
    with use_context(Context(work_folder=tmp_path / "work")):
        out, _ = run_step(decide, **arguments)
    assert verdict(out)["decision"] == "pass"
    assert counts == [4]


def test_it_is_a_gate_of_a_recipe(task, stories, untrained, tmp_path):
    (tmp_path / "r.yaml").write_text(
        f"recipe: r\nsteps:\n"
        f"  verdict: {{use: evals.decide, candidate: '{stories.path}', baseline: '{untrained.path}', "
        f"task: '{task}', better_than: 0, look_every: 20}}\n"
        f"gate: $verdict\n"
    )
    run = run_recipe(tmp_path / "r.yaml", home=Home(tmp_path / ".loom"))
    assert not run.failed
    assert run.steps["verdict"].good


def runs(generator: np.random.Generator, changed: float, gain: float, graded: bool) -> np.ndarray:
    """Differences of 500 documents of which `changed` differ, with a mean of `gain`."""
    win = (changed + gain) / 2
    if not graded:
        return generator.choice([1.0, -1.0, 0.0], 500, p=[win, changed - win, 1 - changed])
    return np.clip(generator.normal(gain, 0.3, 500), -1, 1)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("limit", [0.0, -0.05])
def test_the_error_rates_hold_at_whichever_look(graded, limit):
    """2,000 runs at alpha 5 %, the truth at the limit itself, looked at after every document."""
    generator = np.random.default_rng(3)
    found = [_look(runs(generator, 0.3, limit, graded), limit, 0.05).outcome(0.05) for _ in range(2000)]
    assert found.count("pass") / 2000 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert found.count("refuse") / 2000 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
