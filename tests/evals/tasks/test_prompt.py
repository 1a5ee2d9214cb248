"""Prompts are byte-equal to lm-evaluation-harness' own, made by its code from the same files and documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.task import Metric, Shots, Source, Task
from loomwork.evals.tasks.task_file import load_task
from loomwork.models.scoring.requests import Generate, LogLikelihood, Request, Rolling

PLACES = ["a lake", "Žilina", "the  moon ", "東京", 'a "quoted" place', "C:\\temp", "x & <y>"]


def rows(n: int, **columns: Callable[[int], Any]) -> list[dict[str, Any]]:
    return [{name: make(i) for name, make in columns.items()} for i in range(n)]


QUESTION = rows(9, question=lambda i: f"Where is {PLACES[i % 7]} ({i})?", answer=lambda i: [f"here {i}", f"there {i}"])
ARC = rows(
    9,
    question=lambda i: f"Which {PLACES[i % 7]}?",
    choices=lambda i: {"text": [f"one {i}", "two", "three"], "label": ["A", "B", "C"]},
    answerKey=lambda i: "ABC"[i % 3],
)
PIQA = rows(
    9, goal=lambda i: f"Goal {i}", sol1=lambda i: f"do {PLACES[i % 7]}", sol2=lambda i: "don't", label=lambda i: i % 2
)
BOOLQ = rows(9, passage=lambda i: PLACES[i % 7], question=lambda i: f"is it {i}", label=lambda i: i % 2)
MMLU = rows(9, question=lambda i: f" Q{i} \n", choices=lambda i: ["w", "x", f"{i}", "z"], answer=lambda i: i % 4)
LAMBADA = rows(9, text=lambda i: f"It was {PLACES[i % 7].strip()} that I saw {i}")
ASDIV = rows(9, body=lambda i: f"Ann has {i}.", question=lambda i: "How many?", answer=lambda i: f"{i} (apples)")
WINOGRANDE = rows(
    9,
    sentence=lambda i: f"The {PLACES[i % 7]} beat the toy since _ was strong {i}.",
    option1=lambda i: f"ball {i}",
    option2=lambda i: "toy",
    answer=lambda i: str(1 + i % 2),
)
HELLASWAG = rows(
    9,
    activity_label=lambda i: "Sailing",
    ctx_a=lambda i: f"A man is at {PLACES[i % 7]}.",
    ctx_b=lambda i: "he",
    endings=lambda i: ["sails [title] on.", f"falls {i}.", "sleeps.", "[step] sings."],
    label=lambda i: str(i % 4),
)
WIKI = rows(9, page=lambda i: f" = Title {i} = \n It is 5 @-@ 6 , said {PLACES[i % 7]} . \n")
# file, its documents, whether it has functions
FILES = [
    ("nq_open/nq_open.yaml", QUESTION, False),  # generate_until, a description, delimiters of its own
    ("arc/arc_easy.yaml", ARC, False),  # multiple_choice by templates
    ("piqa/piqa.yaml", PIQA, False),  # multiple_choice by a column
    ("super_glue/boolq/default.yaml", BOOLQ, False),  # a list of choices, only a validation split
    ("mmlu/default/mmlu_anatomy.yaml", MMLU, False),  # an include, first_n
    ("asdiv/default.yaml", ASDIV, False),  # loglikelihood, examples from the evaluated split
    ("winogrande/default.yaml", WINOGRANDE, True),  # choices are contexts, by functions
    ("hellaswag/hellaswag.yaml", HELLASWAG, True),  # process_docs
    ("wikitext/wikitext.yaml", WIKI, True),  # loglikelihood_rolling
]


KINDS = {LogLikelihood: "loglikelihood", Rolling: "loglikelihood_rolling", Generate: "generate_until"}


def as_theirs(request: Request) -> tuple[Any, ...]:
    """A request in the form of lm-eval's Instance.arguments."""
    if isinstance(request, Rolling):
        return (request.text,)
    return (request.context, request.continuation) if isinstance(request, LogLikelihood) else (request.context,)


def compare(ours: Prompts, theirs: Any) -> int:
    """How many requests were compared."""
    mine = [(item.index, request) for item in ours for request in item.requests]
    assert len(mine) == len(theirs.instances)
    for (index, request), instance in zip(mine, theirs.instances, strict=True):
        wanted = instance.args[:1] if isinstance(request, Generate) else instance.args
        assert (index, KINDS[type(request)]) == (instance.doc_id, instance.request_type)
        assert as_theirs(request) == tuple(wanted)
    return len(mine)


def splits_of(task: Task, documents: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Different documents in each split; the evaluated one is the last third of them."""
    others = [
        {k: f"{v} other" if isinstance(v, str) and not v.isdigit() and len(v) > 1 else v for k, v in d.items()}
        for d in documents
    ]
    names = {task.training_split, task.validation_split, task.test_split, task.shots.split} - {None}
    return {str(n): documents if n == task.evaluated_split else others for n in sorted(map(str, names))}


@pytest.mark.parametrize("shots", [0, 1, 3])
@pytest.mark.parametrize(("file", "documents", "functions"), FILES, ids=[f[0] for f in FILES])
def test_prompts_are_those_of_lm_eval(shipped, oracle, file, documents, functions, shots) -> None:
    task = load_task(shipped / file, trust=functions)
    splits = splits_of(task, documents)
    theirs = oracle(shipped / file, splits, shots)
    process = task.process_docs or (lambda table: table)
    datasets = pytest.importorskip("datasets")
    evaluated = list(process(datasets.Dataset.from_list(splits[str(task.evaluated_split)])))
    pool = list(process(datasets.Dataset.from_list(splits[str(task.shots_split)])))
    ours = Prompts(task, evaluated, pool, num_fewshot=shots)
    assert compare(ours, theirs) >= len(documents)
    assert ours.sampler.replaced == 0


@pytest.mark.parametrize("shots", [1, 3])
def test_where_lm_eval_shows_a_question_its_own_answer_ours_does_not(shipped, oracle, shots) -> None:
    """Examples come from the evaluated split there: all other prompts are equal nevertheless."""
    file, documents = shipped / "lambada/lambada_openai.yaml", LAMBADA
    task = load_task(file)
    theirs = oracle(file, {"test": documents}, shots)
    ours = Prompts(task, documents, documents, num_fewshot=shots)
    mine = [item.requests[0] for item in ours]
    leaks = 0
    for request, instance in zip(mine, theirs.instances, strict=True):
        own = request.context.rpartition("\n\n")[2] + task.target_delimiter + request.continuation
        assert own not in request.context
        if own in instance.args[0]:
            leaks += 1
        else:
            assert as_theirs(request) == instance.args
    assert ours.sampler.replaced == leaks > 0


def test_log_likelihood_prompts_are_those_of_lm_eval(shipped, oracle) -> None:
    file = shipped / "lambada/lambada_openai.yaml"
    assert compare(Prompts(load_task(file), LAMBADA), oracle(file, {"test": LAMBADA})) == 9


def test_gsm8k_on_its_real_test_set(shipped, oracle, test_data) -> None:
    documents = [json.loads(line) for line in (test_data / "tasks/gsm8k_test.jsonl").read_text("utf-8").splitlines()]
    splits = {"test": documents[:60], "train": documents[60:200]}
    file = shipped / "gsm8k/gsm8k.yaml"
    theirs = oracle(file, splits)
    ours = Prompts(load_task(file), splits["test"], splits["train"])
    assert compare(ours, theirs) == 60
    first = next(iter(ours)).requests[0]
    assert isinstance(first, Generate)
    assert first.context.count("Question:") == 6  # five examples, and the question
    assert (first.stop, first.max_tokens, first.temperature) == (("Question:", "</s>", "<|im_end|>"), 256, 0)


@pytest.mark.parametrize("name", ["navigate", "date_understanding", "sports_understanding", "causal_judgement"])
@pytest.mark.parametrize("kind", ["zeroshot", "cot_fewshot", "fewshot"])
def test_big_bench_hard_on_its_real_files(shipped, oracle, test_data, name, kind) -> None:
    rows = json.loads((test_data / f"tasks/bbh/{name}.json").read_text("utf-8"))["examples"][:20]
    file = shipped / f"bbh/{kind}/{name}.yaml"
    task = load_task(file, trust=kind == "zeroshot")  # two of them bring a filter
    theirs = oracle(file, {"test": rows})
    samples = task.shots.samples
    assert compare(Prompts(task, rows, samples if isinstance(samples, list) else []), theirs) == 20


def test_prefixes_of_answers_are_placed_as_lm_eval_places_them(shipped, oracle, write) -> None:
    """gen_prefix with and without white space, a delimiter of its own, acc_mutual_info, an empty question."""
    for prefix in ("The answer is", "So: ", "\n-> ", "{{lead}}"):
        for text in ("{{q}}", "{{q}} ", ""):
            file = write(
                "t.yaml",
                f"""\
                task: t
                dataset_path: json
                output_type: multiple_choice
                test_split: test
                fewshot_split: dev
                doc_to_text: {json.dumps(text)}
                doc_to_target: a
                doc_to_choice: ["yes ", "no", "{{{{q}}}} is text"]
                gen_prefix: {json.dumps(prefix)}
                description: "About {{{{lead}}}}.\\n"
                target_delimiter: "\\n"
                fewshot_delimiter: " || "
                metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}, {{metric: acc_mutual_info}}]
                """.replace("\n                ", "\n").strip(),
            )
            documents = rows(5, q=lambda i: f"q{i}", a=lambda i: i % 3, lead=lambda i: f"lead {i}")
            pool = rows(5, q=lambda i: f"p{i}", a=lambda i: i % 3, lead=lambda i: f"{i} ")
            for shots in (0, 2):
                theirs = oracle(file, {"test": documents, "dev": pool}, shots)
                assert compare(Prompts(load_task(file), documents, pool, num_fewshot=shots), theirs) == 30


def test_text_for_contamination(shipped, oracle) -> None:
    for file, documents in (("arc/arc_easy.yaml", ARC), ("piqa/piqa.yaml", PIQA), ("asdiv/default.yaml", ASDIV)):
        items = list(Prompts(load_task(shipped / file), documents))
        assert items[3].query
        assert (
            items[3].query
            == {
                "arc/arc_easy.yaml": f"Question: {ARC[3]['question']}\nAnswer:",
                "piqa/piqa.yaml": PIQA[3]["goal"],
                "asdiv/default.yaml": "Ann has 3. How many?",
            }[file]
        )


def task_of(**changes: Any) -> Task:
    given: dict[str, Any] = {
        "name": "t",
        "output_type": "generate_until",
        "source": Source("json"),
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "metrics": (Metric("exact_match"),),
        "test_split": "test",
    }
    return Task(**{**given, **changes})


def test_a_task_in_python_is_a_few_lines() -> None:
    task = task_of(doc_to_text=lambda doc: f"{doc['q']}=", doc_to_target=lambda doc: str(doc["a"]), num_fewshot=1)
    items = list(Prompts(task, [{"q": "1+1", "a": 2}], [{"q": "2+2", "a": 4}]))
    assert items[0].requests[0].context == "2+2= 4\n\n1+1="
    assert items[0].gold == "2"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"doc_to_text": "question"},
            r"document 0: doc_to_text: there is no column 'question'.*(did you mean|known: a, q)",
        ),
        ({"doc_to_text": "{{ question }}"}, r"document 0: doc_to_text uses .*'question' is undefined"),
        ({"doc_to_text": "{{ q.__class__ }}"}, "reaches for what a template may not have"),
        (
            {"doc_to_text": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"},
            "does not end",
        ),
        ({"doc_to_choice": "{{ q }}", "output_type": "multiple_choice"}, "doc_to_choice makes no list"),
        ({"doc_to_choice": "{{ [1, 2] }}", "output_type": "multiple_choice"}, "takes a list of texts"),
        ({"doc_to_target": "a", "output_type": "loglikelihood"}, "doc_to_target takes a text"),
        ({"num_fewshot": 3}, "3 examples are needed, and there are 1"),
        ({"num_fewshot": -1}, "it is at least 0"),
        ({"num_fewshot": 1, "shots": Shots(doc_to_target="{{[]}}")}, "doc_to_target of an example takes a text"),
    ],
)
def test_bad_prompts_say_what_and_where(changes, said) -> None:
    with pytest.raises(InputError, match=f"(?s){said}"):
        list(Prompts(task_of(**changes), [{"q": "x", "a": 1}], [{"q": "y", "a": 2}]))


def test_a_task_without_documents_is_refused() -> None:
    with pytest.raises(InputError, match="no documents"):
        Prompts(task_of(), [])


def test_nulls_that_become_the_text_none_are_named() -> None:
    rows = [{"q": "x", "a": "y", "c": ["y"]}, {"q": None, "a": None, "c": ["y"]}, {"q": "z", "a": None, "c": None}]
    fields = {"doc_to_text": "Q: {{q}}", "doc_to_target": "{{a}}"}
    items = list(Prompts(task_of(**fields), rows))
    assert [item.nulls for item in items] == [(), ("doc_to_text", "doc_to_target"), ("doc_to_target",)]
    assert items[1].requests[0].context == "Q: None"  # as there
    by_column = list(Prompts(task_of(**fields | {"doc_to_target": "a"}), rows))
    assert [item.nulls for item in by_column] == [(), ("doc_to_text", "doc_to_target"), ("doc_to_target",)]
    choice = {"doc_to_target": "a", "doc_to_choice": "c", "output_type": "multiple_choice"}  # is counted as unlabelled
    assert [item.nulls for item in Prompts(task_of(**fields | choice), rows[:2])] == [(), ("doc_to_text",)]
