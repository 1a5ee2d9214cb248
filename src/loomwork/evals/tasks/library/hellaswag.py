"""HellaSwag: which of four endings goes on? Documents: the official JSON lines, or the hub's.

Source: Zellers et al. (2019), HellaSwag: Can a machine really finish your sentence?; https://github.com/rowanz/hellaswag
Texts are cleaned as lm-evaluation-harness does it, so that numbers agree.
"""

from __future__ import annotations

import re

from loomwork.core.errors import InputError
from loomwork.evals.tasks.task import Metric, Row, Source, Task


def cleaned(text: str) -> str:
    """Without the marks of WikiHow's pages."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def question(doc: Row) -> str:
    return cleaned(f"{doc['activity_label']}: {doc['ctx_a']} {doc['ctx_b'].capitalize()}")


def endings(doc: Row) -> list[str]:
    if isinstance(doc["endings"], str):  # its letters would be taken for endings
        raise InputError(
            f"`endings` is a text, not a list of texts: {doc['endings']!r:.60}", "give JSON lines, not CSV"
        )
    return [cleaned(ending) for ending in doc["endings"]]


TASK = Task(
    name="hellaswag",
    output_type="multiple_choice",
    source=Source("Rowan/hellaswag"),
    training_split="train",
    validation_split="validation",
    doc_to_text=question,
    doc_to_choice=endings,
    doc_to_target=lambda doc: int(doc["label"]),
    metrics=(Metric("acc_norm"), Metric("acc")),
)
