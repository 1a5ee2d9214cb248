"""BoolQ: yes or no, from a passage. Documents: the official JSON lines with `answer`, or SuperGLUE's with `label`.

Source: Clark et al. (2019), BoolQ: Exploring the surprising difficulty of natural yes/no questions;
https://github.com/google-research-datasets/boolean-questions
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Metric, Row, Source, Task


def right(doc: Row) -> int:
    found = doc["answer"] if "answer" in doc else doc["label"]
    return int(found if isinstance(found, bool | int) else str(found).lower() in ("true", "1", "yes"))


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
