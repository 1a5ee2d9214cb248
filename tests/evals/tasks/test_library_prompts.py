"""The tasks of our own ask what lm-evaluation-harness' files of the same names ask, and score it alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals.tasks.test_prompt import ARC, BOOLQ, HELLASWAG, MMLU, PIQA
from loomwork.evals.tasks.documents import read_documents
from loomwork.evals.tasks.find import find_task
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.task import Task
from loomwork.evals.tasks.task_file import load_task

TRUTHFUL = [
    {"question": f"Is it {i}?", "mc1_targets": {"choices": ["Yes.", f"No {i}."], "labels": [1, 0]},
     "mc2_targets": {"choices": ["Yes.", f"No {i}.", "So."], "labels": [1, 1, 0]}} for i in range(9)
]  # fmt: skip
GSM8K = [
    {"question": f"Ann has {i}, and a half.", "answer": f"She has <<{i}>>.\n#### {1000 * i:,}"} for i in range(1, 10)
]
BOTH = [
    ("arc", "arc/arc_challenge.yaml", ARC),
    ("boolq", "super_glue/boolq/default.yaml", BOOLQ),
    ("piqa", "piqa/piqa.yaml", PIQA),
    ("hellaswag", "hellaswag/hellaswag.yaml", HELLASWAG),
    ("mmlu", "mmlu/default/mmlu_abstract_algebra.yaml", [row | {"subject": "abstract_algebra"} for row in MMLU]),
    ("truthfulqa_mc1", "truthfulqa/truthfulqa_mc1.yaml", TRUTHFUL),
    ("truthfulqa_mc2", "truthfulqa/truthfulqa_mc2.yaml", TRUTHFUL),
    ("gsm8k", "gsm8k/gsm8k.yaml", GSM8K),
]


def metrics(task: Task) -> set[tuple[Any, ...]]:
    """What a setting of none or no says is what it says where it is not given."""
    given = [(m, {k: v for k, v in m.settings.items() if v}) for m in task.metrics]
    return {(m.name, m.aggregation, m.higher_is_better, json.dumps(s, sort_keys=True)) for m, s in given}


@pytest.mark.parametrize(("name", "file", "rows"), BOTH, ids=[name for name, _, _ in BOTH])
def test_the_same_is_asked_and_scored_alike(name, file, rows, shipped, make_dataset):
    own, theirs = find_task(name), load_task(shipped / file, trust=True)
    assert isinstance(own, Task)
    data = make_dataset(rows)
    for shots in (0, own.num_fewshot) if name.startswith("truthful") else (0, own.num_fewshot, 2):
        made = []
        for task in (own, theirs):
            some = read_documents(task, data, num_fewshot=0)
            prompts = Prompts(task, some.evaluated[:4], some.evaluated[4:], num_fewshot=shots)
            made.append([(item.requests, item.choices, item.gold) for item in prompts])
        assert made[0] == made[1]
    assert own.num_fewshot == theirs.num_fewshot
    assert own.output_type == theirs.output_type != "generate_until" or own.generation == theirs.generation
    assert own.pipelines == theirs.pipelines
    assert metrics(own) == metrics(theirs)
