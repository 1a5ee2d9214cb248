"""BoolQ: yes or no, from a passage. Documents: the official JSON lines with `answer`, or SuperGLUE's with `label`.

Source: Clark et al. (2019), BoolQ: Exploring the surprising difficulty of natural yes/no questions;
https://github.com/google-research-datasets/boolean-questions
"""

from __future__ import annotations

from loomwork.core.errors import InputError
from loomwork.evals.tasks.task import Metric, Row, Source, Task

WORDS = {"true": 1, "1": 1, "yes": 1, "false": 0, "0": 0, "no": 0}


def right(doc: Row) -> int:
    found = doc["answer"] if "answer" in doc else doc["label"]
    if (word := str(found).lower()) not in WORDS:
        raise InputError(f"{found!r:.60} is no answer of BoolQ", "true or false")
    return WORDS[word]


TASK = Task(
    name="boolq",
    output_type="multiple_choice",
    source=Source("aps/super_glue", "boolq"),
    training_split="train",
    validation_split="validation",
    doc_to_text="{{passage}}\nQuestion: {{question}}?\nAnswer:",
    doc_to_choice=["no", "yes"],
    doc_to_target=right,
    metrics=(Metric("acc"),),
)
