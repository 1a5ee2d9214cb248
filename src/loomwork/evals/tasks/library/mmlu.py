"""MMLU, any of its subjects or all in one: four answers, of which the model gives the letter.

Documents: the official CSV files, which have no header (question, four answers, letter), or the hub's `question`,
`choices` and `answer`. The examples of five shots are the first ones of the part `dev`.
Source: Hendrycks et al. (2021), Measuring massive multitask language understanding; https://github.com/hendrycks/test
"""

from __future__ import annotations

from loomwork.core.errors import InputError
from loomwork.evals.tasks.task import Metric, Row, Shots, Source, Task

LETTERS = ("A", "B", "C", "D")
SUBJECT = (  # where the documents say it, as the hub's do
    "{% if subject is defined and subject %}The following are multiple choice questions (with answers) about "
    "{{subject.replace('_', ' ')}}.\n\n{% endif %}"
)
NOT_THEIRS = ("source", "encoding", "subject")  # the first two are of data.read
AS_IT_IS = "read it with `loom call data.read path=FILE.csv header=no`, and give the artifact in its place"


def parts(doc: Row) -> tuple[str, list[str], int]:
    """Question, answers, and the number of the right one.

    Raises:
        InputError: the columns are others, or their names are a question: a file without header was read with one.
    """
    if "choices" in doc:
        return doc["question"], list(doc["choices"]), int(doc["answer"])
    fields = {name: value for name, value in doc.items() if name not in NOT_THEIRS}
    if len(fields) != 2 + len(LETTERS):
        what = f"MMLU has question, four answers and letter, and the columns are {', '.join(fields)}"
        raise InputError(what, "or `question`, `choices` and `answer`, as the hub has them")
    *names, last = fields
    if last.strip() in LETTERS:
        raise InputError(
            f"the columns have the names of a question, {names[0][:60]!r}: the file has no header", AS_IT_IS
        )
    question, *answers, letter = map(str, fields.values())
    if letter.strip() not in LETTERS:
        raise InputError(f"the last column, {last!r}, is not the letter of an answer: {letter!r:.60}", "A, B, C or D")
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
