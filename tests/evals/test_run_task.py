"""Tasks on a real model: lm-evaluation-harness's own numbers, official files, groups, failures, what a run costs."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, RecipeError
from loomwork.core.home import Home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import run_recipe
from loomwork.data.read import read
from loomwork.evals.compare import compare
from loomwork.evals.run_task import run_task
from loomwork.evals.tasks.find import find_task, own_tasks
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.results import items_of

NAMES = ["Lily", "Tom", "Ben", "Sue", "Max", "Amy", "Tim", "Mia"]
CHOICE = """\
task: next_word
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{story}}"
doc_to_choice: [dog, very happy bird, sun in the sky]
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: f1}, {metric: mcc}]
"""
GENERATED = """\
task: go_on
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{story}} a"
doc_to_target: wanted
generation_kwargs: {until: ["."], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match, ignore_case: true, ignore_punctuation: true}, {metric: bleu}]
"""
ROLLED = """\
task: whole
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{story}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
"""
LAST = """\
task: last_word
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl, train: more.jsonl}}
test_split: test
training_split: train
num_fewshot: 2
output_type: loglikelihood
doc_to_text: "{{story}} a"
doc_to_target: wanted
"""


@pytest.fixture
def rows() -> list[dict]:
    return [
        {"story": f"Once upon a time, {name} saw a {thing}. {name} wanted", "answer": i % 2, "wanted": f"{thing}."}
        for i, (name, thing) in enumerate((n, t) for n in NAMES for t in ("dog", "big tree", "ball"))
    ]


@pytest.fixture
def task(tmp_path, rows):
    """task(text): the path of a task file with its documents beside it."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    others = [row | {"story": row["story"].replace("Once", "Then, once")} for row in rows]
    for name, lines in (("rows.jsonl", rows), ("more.jsonl", others)):
        (folder / name).write_text("\n".join(json.dumps(row) for row in lines), "utf-8")

    def write(text: str, name: str = "task.yaml"):
        (folder / name).write_text(text, "utf-8")
        return str(folder / name)

    return write


@pytest.fixture
def harness(stories, monkeypatch, tmp_path):
    """harness(file): what lm-evaluation-harness itself measures of stories260K."""
    pytest.importorskip("lm_eval")
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    def measure(file: str) -> dict[str, float]:
        monkeypatch.chdir(tmp_path / "tasks")
        lm = HFLM(pretrained=str(stories.path), device="cpu", dtype="float32", batch_size=4)
        manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
        name = next(line.split()[1] for line in Path(file).read_text().splitlines() if line.startswith("task:"))
        found = evaluator.simple_evaluate(lm, tasks=[name], task_manager=manager, bootstrap_iters=0)
        return {k.partition(",")[0]: v for k, v in found["results"][name].items() if isinstance(v, float)}

    return measure


@pytest.mark.parametrize("text", [CHOICE, GENERATED, ROLLED, LAST], ids=["choice", "generated", "rolled", "last"])
def test_the_numbers_are_those_of_lm_evaluation_harness(text, task, harness, stories, run_step):
    file = task(text)
    expected = harness(file)
    found, card = run_step(run_task, model=stories, task=file)
    ours = {s.name: s.value for s in found.scores}
    assert set(ours) <= set(expected)
    assert len(ours) >= 2
    for name, value in ours.items():
        assert value == pytest.approx(expected[name], rel=1e-5, abs=1e-9), name
    assert all(s.interval.low <= s.value <= s.interval.high for s in found.scores)
    assert any("scored by packed" in note for note in card.notes)


def test_items_hold_what_a_comparison_needs(task, stories, run_step):
    found, _ = run_step(run_task, model=stories, task=task(CHOICE), cluster="wanted")
    items = found.items()
    assert set(items.column_names) >= {"row_id", "question", "target", "answer", "confidence", "acc", "f1:sums"}
    assert items.column("answer")[0].as_py() in ("dog", "very happy bird", "sun in the sky")
    assert 1 / 3 <= items.column("confidence")[0].as_py() <= 1
    assert found.score("acc").value == pytest.approx(np.mean(items.column("acc").to_numpy()))
    assert (found.score("acc").n_clusters, found.score("acc").cluster_unit) == (3, "wanted")
    assert found.score("acc").contamination == "unknown"
    shown, _ = run_step(run_task, model=stories, task=task(LAST), limit=3)
    assert shown.items().column("question")[0].as_py() == "Once upon a time, Lily saw a dog. Lily wanted a"
    few, _ = run_step(run_task, model=stories, task=task(CHOICE), limit=5)
    assert (few.score("acc").n, few.score("acc").data != found.score("acc").data) == (5, True)
    assert few.items().column("row_id").to_pylist() == items.column("row_id").to_pylist()[:5]


def test_labels_that_are_no_choice_are_counted(task, stories, run_step, tmp_path):
    file = task(CHOICE.replace(", {metric: f1}, {metric: mcc}", ""))
    rows = [json.loads(line) for line in (tmp_path / "tasks/rows.jsonl").read_text().splitlines()]
    for row, label in zip(rows, (7, None, float("nan")), strict=False):
        row["answer"] = label
    (tmp_path / "tasks/rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found, card = run_step(run_task, model=stories, task=file)
    assert card.metrics["unlabelled"] == 3
    assert any("3 documents have a label that is none of their choices" in note for note in card.notes)
    assert found.items().column("acc").to_pylist()[:3] == [0, 0, 0]


def test_documents_with_a_null_in_their_prompt_are_counted(task, rows, stories, run_step, tmp_path):
    lines = [json.dumps(row | ({"more": "!"} if i < 20 else {})) for i, row in enumerate(rows)]
    file = task(CHOICE.replace("{{story}}", "{{story}}{{more}}"))
    (tmp_path / "tasks/rows.jsonl").write_text("\n".join(lines))
    _, card = run_step(run_task, model=stories, task=file)
    assert card.metrics["documents_with_null"] == 4
    assert any("4 documents have a null that doc_to_text" in n and "document 20" in n for n in card.notes)


def test_a_killed_run_reads_its_answers_again(task, stories, run_step, tmp_path):
    with use_context(Context(work_folder=tmp_path / "work")):
        _, first = run_step(run_task, model=stories, task=task(LAST))
        _, second = run_step(run_task, model=stories, task=task(LAST))
    assert (first.metrics["kept"], second.metrics["kept"]) == (0, 24)
    assert second.metrics["tokens_computed"] == 0


def test_groups_are_measured_whole_and_task_by_task(task, stories, run_step):
    task(CHOICE, "one.yaml")
    task(CHOICE.replace("next_word", "other_word").replace("{{story}}", "{{wanted}}"), "two.yaml")
    group = task("group: both\ntask: [next_word, other_word]\n", "both.yaml")
    found, _ = run_step(run_task, model=stories, task=group)
    by = {s.name: s for s in found.scores}
    assert by["acc"].n == 48
    one, two = by["acc [task=next_word]"], by["acc [task=other_word]"]
    assert by["acc"].value == pytest.approx((one.value + two.value) / 2)
    assert found.items().column("task").to_pylist() == ["next_word"] * 24 + ["other_word"] * 24
    unequal = "group: b\ntask: [next_word, other_word]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n"
    with pytest.raises(InputError, match="weight_by_size"):
        run_step(run_task, model=stories, task=task(unequal, "b.yaml"))


OFFICIAL = {
    "hellaswag": {
        "activity_label": "Cooking", "ctx_a": "A man cooks.", "ctx_b": "he",
        "endings": ["eats.", "[x] flies.", "sleeps.", "sings."], "label": 1,
    },
    "arc": {
        "question": {"stem": "Hot?", "choices": [{"text": "ice", "label": "1"}, {"text": "fire", "label": "2"}]},
        "answerKey": "2",
    },
    "piqa": {"goal": "to open a jar", "sol1": "turn the lid", "sol2": "eat the lid"},
    "boolq": {"question": "is fire hot", "title": "Fire", "answer": True, "passage": "Fire is hot."},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_official_json_lines(name, stories, make_dataset, run_step, tmp_path):
    documents = make_dataset([OFFICIAL[name] | {"n": i} for i in range(3)])
    more = {}
    if name == "piqa":
        more["labels"] = tmp_path / "labels.lst"
        more["labels"].write_text("0\n1\n0\n")
    found, _ = run_step(run_task, model=stories, data=documents, task=name, **more)
    item = found.items().to_pylist()[0]
    wanted = {"hellaswag": " flies.", "arc": "fire", "piqa": "turn the lid", "boolq": "yes"}[name]
    assert item["target"] == wanted
    assert found.scores[0].n == 3
    assert item["row_id"] == next(documents.rows())["row_id"]


def test_mmlu_from_its_headerless_csv(stories, run_step, tmp_path):
    with (tmp_path / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[f"What is {i} + 1?", i, i + 1, i + 2, i + 3, "B"] for i in range(4)])
    data, _ = run_step(read, path=str(tmp_path / "test.csv"), header=False)
    found, _ = run_step(run_task, model=stories, data=data, task="mmlu")
    items = found.items().to_pylist()
    assert items[1]["question"] == "What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    assert items[1]["target"] == "B"


@pytest.mark.parametrize(
    ("name", "file", "limit"),
    [
        ("truthfulqa_mc1", "truthfulness/TruthfulQA.csv", 6),
        ("truthfulqa_mc2", "truthfulness/TruthfulQA.csv", 6),
        ("gsm8k", "tasks/gsm8k_test.jsonl", 2),
        ("big_bench_hard", "tasks/bbh/navigate.json", 2),
    ],
)
def test_official_files(name, file, limit, stories, test_data, run_step):
    data, _ = run_step(read, path=str(test_data / file))
    found, _ = run_step(run_task, model=stories, data=data, task=name, limit=limit, num_fewshot=0)
    assert found.scores[0].n == limit
    assert 0 <= found.scores[0].value <= 1
    item = found.items().to_pylist()[0]
    if name == "truthfulqa_mc1":
        assert item["target"] == "The watermelon seeds pass through your digestive system."
    if name == "gsm8k":
        assert item["target"].endswith("#### 18")
    if name == "big_bench_hard":
        assert item["question"].startswith("Q: If you follow these instructions")


def test_every_own_task_is_tested_here():
    assert set(own_tasks()) == {*OFFICIAL, "mmlu", "truthfulqa_mc1", "truthfulqa_mc2", "gsm8k", "big_bench_hard"}


def test_a_changed_document_or_include_is_a_miss_and_a_moved_folder_is_none(task, stories, tmp_path):
    file = task("include: common\nnum_fewshot: 0\n" + CHOICE)
    (tmp_path / "tasks" / "common").write_text("description: 'A story. '\n")
    home = Home(tmp_path / "home")

    def status(path: str) -> str:
        steps = {
            "model": {"use": "train.base", "path": str(stories.path)},
            "scores": {"use": "evals.run_task", "model": "$model", "task": path, "limit": 4},
        }
        done = run_recipe({"steps": steps}, home=home)
        assert not done.failed, done.steps["scores"].error
        return done.steps["scores"].status

    assert [status(file), status(file)] == ["ran", "hit"]
    shutil.copytree(tmp_path / "tasks", tmp_path / "elsewhere")
    assert status(str(tmp_path / "elsewhere" / "task.yaml")) == "hit"
    (tmp_path / "tasks" / "common").write_text("description: 'A tale. '\n")
    assert status(file) == "ran"
    lines = (tmp_path / "tasks" / "rows.jsonl").read_text()
    (tmp_path / "tasks" / "rows.jsonl").write_text(lines.replace("Lily", "Lucy"))
    assert status(file) == "ran"


def test_faults_are_found_before_the_first_step(task, tmp_path):
    def load(**settings):
        load_recipe({"steps": {"a": {"use": "evals.run_task", "model": "x@y", **settings}}})

    with pytest.raises(RecipeError, match=r"there is no task 'gsm9k'.*did you mean gsm8k|gsm8k"):
        load(task="gsm9k")
    with pytest.raises(RecipeError, match="is not a key of a task file"):
        load(task=task(CHOICE + "doc_to_txt: x\n"))
    with pytest.raises(RecipeError, match="trust"):
        load(task=task(CHOICE.replace('"{{story}}"', "!function utils.text")))
    (tmp_path / "mine.py").write_text("TASK = 1\n")
    with pytest.raises(RecipeError, match="is Python code"):
        load(task=str(tmp_path / "mine.py"))
    with pytest.raises(RecipeError, match="has no task in the constant TASK"):
        load(task=str(tmp_path / "mine.py"), trust=True)
    with pytest.raises(RecipeError, match="there is no file"):
        load(task=task(CHOICE.replace("rows.jsonl", "gone.jsonl")))


def test_a_task_in_one_short_python_file(stories, make_dataset, run_step, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from loomwork.evals.tasks.task import Metric, Source, Task\n"
        "def prepare(docs):\n"
        "    return [{**d, 'choices': [d['text'], docs[i - 1]['text']]} for i, d in enumerate(docs)]\n"
        "TASK = Task('mine', 'multiple_choice', Source('given'), 'Once upon', 0, (Metric('acc'),),\n"
        "            doc_to_choice='choices', test_split='test', prepare=prepare)\n"
    )
    data = make_dataset([{"text": "a time there was a girl"}, {"text": "zebra quantum"}, {"text": "a hill"}])
    found, _ = run_step(run_task, model=stories, data=data, task=str(tmp_path / "mine.py"), trust=True)
    assert found.items().column("acc").to_pylist()[:2] == [1.0, 0.0]
    with pytest.raises(InputError, match="trust"):
        run_step(run_task, model=stories, data=data, task=str(tmp_path / "mine.py"))


def test_what_cannot_be_scored_is_said(task, stories, make_dataset, run_step, minilm):
    with pytest.raises(InputError, match="no folder of a dataset here"):
        run_step(run_task, model=stories, task="boolq")
    with pytest.raises(InputError, match="gives texts no probabilities"):
        run_step(run_task, model=minilm, task=task(CHOICE))
    with pytest.raises(InputError, match="no column 'book'"):
        run_step(run_task, model=stories, task=task(CHOICE), cluster="book")
    short = make_dataset([OFFICIAL["boolq"]])
    with pytest.raises(InputError, match="at least two"):
        run_step(run_task, model=stories, data=short, task="boolq")
    assert isinstance(stories, Model)


OWN_FUNCTION = """\
from loomwork.evals.tasks.task import Metric, Source, Task
def mean(items):
    return sum(items) / len(items)
def give(doc, responses):
    return {"mine": VALUE}
TASK = Task("mine", "multiple_choice", Source("given"), "Once upon", 0, (Metric("mine", aggregation=mean),),
            doc_to_choice=["a", "b"], test_split="test", process_results=give)
"""


def test_what_single_items_do_not_have_is_not_compared_item_by_item(stories, make_dataset, run_step, tmp_path):
    data = make_dataset([{"text": f"line {i}"} for i in range(20)])
    scores = []
    for value in (1.0, 0.1):
        file = tmp_path / f"mine{value}.py"
        file.write_text(OWN_FUNCTION.replace("VALUE", str(value)))
        scores.append(run_step(run_task, model=stories, data=data, task=str(file), trust=True)[0])
    assert [s.score("mine").value for s in scores] == pytest.approx([1.0, 0.1])
    assert scores[0].score().data != scores[1].score().data  # other code asked: another test
    with pytest.raises(InputError):
        run_step(compare, candidate=scores[1], baseline=scores[0], not_worse_than=0.02)
    same, _ = run_step(run_task, model=stories, data=data, task=str(tmp_path / "mine1.0.py"), trust=True)
    with pytest.raises(InputError, match="a number of all items together"):
        run_step(compare, candidate=same, baseline=scores[0], not_worse_than=0.02)


def test_what_an_endpoint_does_not_answer_is_marked_failed_and_counted(
    task, rows, run_step, tmp_path, refusing_endpoint
):
    about = {"task": "generate", "engine": "http", "endpoint": {"url": refusing_endpoint, "model": "m", "attempts": 1}}
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "loomwork.json").write_text(json.dumps(about))
    file = task(ROLLED)
    lines = (tmp_path / "tasks" / "rows.jsonl").read_text().replace("saw a ball. Tom", "saw a fish. Tom")
    (tmp_path / "tasks" / "rows.jsonl").write_text(lines)
    found, card = run_step(run_task, model=Model(tmp_path / "m"), task=file)
    assert (card.metrics["documents"], card.metrics["failed"]) == (24, 1)
    assert "1 of 24 documents failed and are left out: 400" in card.notes[0]
    assert (found.score("bits_per_byte").n, found.score("bits_per_byte").failed) == (23, 1)
    assert found.items().column("bits_per_byte:sums").null_count == 1
    assert found.score("bits_per_byte").value == pytest.approx(1 / np.log(2))  # one nat a byte
    assert [f is not None for f in found.items().column("failed").to_pylist()].count(True) == 1
    with pytest.raises(InputError, match="how it computes cannot be set"):
        run_step(run_task, model=Model(tmp_path / "m"), task=file, max_tokens=8)


def test_the_official_solutions_of_gsm8k_are_all_right(test_data):
    """Each solution, taken for a model's answer, has its number found by both of the task's ways."""
    chosen = find_task("gsm8k")
    lines = (test_data / "tasks" / "gsm8k_test.jsonl").read_text("utf-8").splitlines()
    documents = [json.loads(line) for line in lines]
    items = list(Prompts(chosen, documents, num_fewshot=0))
    found = [items_of(chosen, item, [[item.document["answer"]]]) for item in items]
    assert len(found) == 1319
    assert {way: sum(f[way] for f in found) for way in found[0]} == {
        ("exact_match", "strict-match"): 1319,
        ("exact_match", "flexible-extract"): 1319,
    }


def test_rows_of_another_task_are_refused_by_the_column_that_they_lack(stories, make_dataset, run_step):
    with pytest.raises(InputError, match="there is no column 'answer'"):
        run_step(
            run_task,
            model=stories,
            data=make_dataset([{"question": "a"}, {"question": "b"}]),
            task="gsm8k",
            num_fewshot=0,
        )
