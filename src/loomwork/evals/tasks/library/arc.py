"""ARC, the Easy or the Challenge set: school science with three to five answers.

Documents: the official JSON lines, where `question` holds the stem and its choices, or the hub's.
Source: Clark et al. (2018), Think you have solved question answering? Try ARC; https://allenai.org/data/arc
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Metric, Row, Source, Task


def question(doc: Row) -> str:
    asked = doc["question"]
    return f"Question: {asked if isinstance(asked, str) else asked['stem']}\nAnswer:"


def choices(doc: Row) -> list[str]:
    if isinstance(doc["question"], str):
        return list(doc["choices"]["text"])
    return [choice["text"] for choice in doc["question"]["choices"]]


def right(doc: Row) -> int:
    if isinstance(doc["question"], str):
        return list(doc["choices"]["label"]).index(doc["answerKey"])
    return [choice["label"] for choice in doc["question"]["choices"]].index(doc["answerKey"])


TASK = Task(
    name="arc",
    output_type="multiple_choice",
    source=Source("allenai/ai2_arc", "ARC-Challenge"),
    training_split="train",
    validation_split="validation",
    test_split="test",
    doc_to_text=question,
    doc_to_choice=choices,
    doc_to_target=right,
    metrics=(Metric("acc_norm"), Metric("acc")),
)
