"""What is kept and said of tasks: the documents' own columns, groups with and without a common metric, early faults."""

from __future__ import annotations

import json

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.core.score import Scores
from loomwork.evals import run_task as module
from loomwork.evals.decide import decide
from loomwork.evals.run_task import run_task
from loomwork.evals.side_by_side import side_by_side
from loomwork.evals.slices import slices
from loomwork.models.folder import About, save_about, taught

CHOICE = """\
task: capital
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
description: "Answer the following question, please, as well as you possibly can. "
doc_to_text: "{{question}}"
doc_to_choice: [dog, cat]
doc_to_target: right
metric_list: [{metric: acc}]
"""
ROLLED = """\
task: whole
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: question
metric_list: [{metric: bits_per_byte}]
"""
GERMAN = "Wie viele Punkte hat die Verteidigung der Panther in Spiel {} abgegeben?"
ENGLISH = "How many points did the defence of the Panthers give up in game {}?"


@pytest.fixture
def write(tmp_path):
    """write(text): the path of a task file, with questions in two languages beside it."""
    rows = [
        {"question": (GERMAN, ENGLISH)[i % 2].format(i), "right": i % 3 % 2, "region": "xyz"[i % 3], "acc": i % 2}
        for i in range(24)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")

    def made(text, name="task.yaml"):
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    return made


def test_language_and_length_are_those_of_the_document(write, stories, run_step):
    shot = "num_fewshot: 1\nfewshot_config: {samples: [{question: 'Who, in English, is it?', right: 0}]}\n"
    scores, _ = run_step(run_task, model=stories, task=write(CHOICE + shot))
    assert scores.items().column("question")[0].as_py() == GERMAN.format(0)
    assert scores.items().column("length")[0].as_py() == len(GERMAN.format(0))
    found, _ = run_step(slices, scores=scores, by=["language", "length"], least=4)
    sizes = {s.name: s.n for s in found.scores}
    assert {sizes[f"acc [language={code}]"] for code in ("de", "en")} == {12}
    assert any("length=" in name for name in sizes)


def test_a_long_document_has_its_whole_length(make_dataset, stories, run_step):
    data = make_dataset([{"question": "is it", "passage": "word " * 500, "answer": True, "n": i} for i in range(2)])
    scores, _ = run_step(run_task, model=stories, data=data, task="boolq")
    item = scores.items().to_pylist()[0]
    assert (item["length"], len(item["question"])) == (len("word " * 500 + "\nQuestion: is it?\nAnswer:"), 2000)


def test_the_documents_columns_are_there_to_slice_by(write, stories, run_step):
    scores, _ = run_step(run_task, model=stories, task=write(CHOICE))
    items = scores.items()
    assert items.column("region").to_pylist()[:4] == ["x", "y", "z", "x"]
    assert items.column("given_acc").to_pylist()[:2] == [0, 1]  # `acc` is what was measured
    found, _ = run_step(slices, scores=scores, by=["region"], least=5)
    assert {s.name for s in found.scores} == {f"acc [region={r}]" for r in "xyz"}
    page, _ = run_step(side_by_side, scores={"a": scores, "b": scores}, by=["region"], least=5)
    assert {row["value"] for row in page.read_json("comparison.json")["slices"]["rows"]} == {"x", "y", "z"}


def test_a_group_without_a_common_metric_has_the_scores_of_each_task(write, stories, run_step):
    alone, _ = run_step(run_task, model=stories, task=write(CHOICE, "one.yaml"))
    write(ROLLED, "two.yaml")
    found, card = run_step(run_task, model=stories, task=write("group: both\ntask: [capital, whole]\n", "both.yaml"))
    by = {s.name: s for s in found.scores}
    assert list(by) == ["acc [task=capital]", "bits_per_byte [task=whole]"]
    assert by["acc [task=capital]"].value == alone.score("acc").value
    assert (by["acc [task=capital]"].n, by["bits_per_byte [task=whole]"].n) == (24, 24)
    assert any("no metric in common" in note for note in card.notes)
    run_step(slices, scores=found, by=["region"], least=5)  # its first score has a column of the items


@pytest.mark.parametrize(
    ("more", "fault"),
    [({"cluster": "book"}, "no column 'book'"), ({}, "document 0: doc_to_target uses .*'nothing' is undefined")],
)
def test_faults_are_found_before_a_model_is_asked(write, stories, run_step, monkeypatch, more, fault):
    def never(*_):
        raise AssertionError("a model was opened")

    monkeypatch.setattr(module, "scorer_of", never)
    write(CHOICE, "one.yaml")
    write(ROLLED if more else ROLLED.replace("target: question", "target: '{{nothing}}'"), "two.yaml")
    with pytest.raises(InputError, match=fault):
        run_step(run_task, model=stories, task=write("group: g\ntask: [capital, whole]\n", "g.yaml"), **more)


def test_other_names_than_the_metrics_are_said(write, stories, run_step, tmp_path):
    (tmp_path / "own.py").write_text("def give(doc, found): return {'accuracy': 1.0}\n")
    own = CHOICE + "process_results: !function own.give\n"
    with pytest.raises(InputError, match=r"task capital: `process_results` gives accuracy, and the metrics .* are acc"):
        run_step(run_task, model=stories, task=write(own), trust=True)
    both = own.replace("[{metric: acc}]", "[{metric: acc}, {metric: accuracy, aggregation: mean}]")
    found, card = run_step(run_task, model=stories, task=write(both), trust=True)
    assert [s.name for s in found.scores] == ["accuracy"]
    assert any("`process_results` gives no acc (none)" in note for note in card.notes)


def test_examples_of_another_dataset_are_shown_and_stated(write, make_dataset, stories, run_step):
    data = make_dataset([{"question": f"{i} + 1?", "answer": f"#### {i + 1}"} for i in range(3)])
    examples = make_dataset([{"question": f"{i} + 7?", "answer": f"#### {i + 7}"} for i in range(30, 34)])
    with pytest.raises(InputError, match="give them as `examples`"):
        run_step(run_task, model=stories, data=data, task="gsm8k", num_fewshot=2)
    many = {"model": stories, "data": data, "task": "gsm8k", "num_fewshot": 2}
    with_them, _ = run_step(run_task, **many, examples=examples)
    others, _ = run_step(run_task, **many, examples=make_dataset(list(examples.rows())[1:]))
    assert with_them.scores[0].data == others.scores[0].data
    assert with_them.scores[0].settings != others.scores[0].settings
    assert with_them.read_json("extra.json")["settings"]["examples"] == examples.digest
    with pytest.raises(InputError, match="give them as `examples`"):
        run_step(decide, candidate=stories, baseline=Model(data.path), data=data, task="gsm8k", better_than=0,
                 num_fewshot=2)  # fmt: skip


def test_each_slice_and_task_says_what_of_it_was_trained_on(write, make_dataset, stories, run_step, tmp_path):
    """Half of the questions stand in the training data: the German ones and, of the tasks, those of both."""
    seen = make_dataset([{"text": GERMAN.format(i)} for i in range(0, 24, 2)])
    model = tmp_path / "model"
    model.mkdir()
    for file in stories.path.iterdir():
        (model / file.name).symlink_to(file)
    save_about(model, About("generate", training_data=[], trained_on=taught(About("generate"), seen, "text")))
    asked = {"model": Model(model), "seen": [seen]}
    scores, _ = run_step(run_task, **asked, task=write(CHOICE, "one.yaml"))
    assert (scores.score("acc").contamination, scores.score("acc, clean subset").n) == ("clean subset given", 12)
    found, _ = run_step(slices, scores=scores, by=["language", "region"], least=5)
    assert words(found)["acc [language=de]"] == "unknown"
    assert words(found)["acc [language=en]"] == "checked"
    assert words(found)["acc [region=x]"] == "clean subset given"
    assert found.score("acc [region=x], clean subset").n == 4
    assert "12 of these 12 items share" in found.score("acc [language=de]").contamination_note
    values = scores.items().filter(np.array(scores.items().column("region").to_numpy(zero_copy_only=False) == "x"))
    clean = [
        v for v, run in zip(*(values.column(c).to_pylist() for c in ("acc", "shared_run")), strict=True) if not run
    ]
    assert found.score("acc [region=x], clean subset").value == np.mean(clean)
    write(CHOICE.replace("capital", "other").replace("rows", "new"), "two.yaml")
    fresh = [{"question": ENGLISH.format(i), "right": 0} for i in range(6)]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, fresh)))
    group, _ = run_step(run_task, **asked, task=write("group: g\ntask: [capital, other]\n", "g.yaml"))
    assert words(group)["acc [task=capital]"] == "clean subset given"
    assert words(group)["acc [task=other]"] == "checked"
    assert group.score("acc [task=capital], clean subset").n == 12


def words(scores: Scores) -> dict[str, str]:
    return {s.name: s.contamination for s in scores.scores}
