"""PIQA: which of two ways reaches a goal? Documents: the official JSON lines with `labels` beside them, or the hub's.

Source: Bisk et al. (2020), PIQA: Reasoning about physical commonsense in natural language; https://yonatanbisk.com/piqa
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Metric, Source, Task

TASK = Task(
    name="piqa",
    output_type="multiple_choice",
    source=Source("baber/piqa"),
    training_split="train",
    validation_split="validation",
    doc_to_text="Question: {{goal}}\nAnswer:",
    doc_to_choice="{{[sol1, sol2]}}",
    doc_to_target=lambda doc: int(doc["label"]),
    metrics=(Metric("acc_norm"), Metric("acc")),
)
