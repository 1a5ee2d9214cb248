"""MMLU, any of its subjects or all in one: four answers, of which the model gives the letter.

Documents: the official CSV files, which have no header (question, four answers, letter), or the hub's `question`,
`choices` and `answer`. The examples of five shots are the first ones of the part `dev`.
Source: Hendrycks et al. (2021), Measuring massive multitask language understanding; https://github.com/hendrycks/test
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Metric, Row, Shots, Source, Task

LETTERS = ("A", "B", "C", "D")
SUBJECT = (  # where the documents say it, as the hub's do
    "{% if subject is defined and subject %}The following are multiple choice questions (with answers) about "
    "{{subject.replace('_', ' ')}}.\n\n{% endif %}"
)


def parts(doc: Row) -> tuple[str, list[str], int]:
    """Question, answers, and the number of the right one."""
    if "choices" in doc:
        return doc["question"], list(doc["choices"]), int(doc["answer"])
    question, *answers, letter = [str(v) for n, v in doc.items() if n not in ("source", "subject")][:6]
    return question, answers, LETTERS.index(letter.strip())


def question(doc: Row) -> str:
    asked, answers, _ = parts(doc)
    lines = [f"{letter}. {answer}" for letter, answer in zip(LETTERS, answers, strict=True)]
    return "\n".join([asked.strip(), *lines, "Answer:"])


TASK = Task(
    name="mmlu",
    output_type="multiple_choice",
    source=Source("cais/mmlu", "all"),
    test_split="test",
    shots=Shots(sampler="first_n", split="dev"),
    description=SUBJECT,
    doc_to_text=question,
    doc_to_choice=list(LETTERS),
    doc_to_target=lambda doc: parts(doc)[2],
    metrics=(Metric("acc"),),
)
