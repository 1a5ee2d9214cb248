"""A task in one short file: of four answers, which is this question's? The others are other questions' own."""

from loomwork.evals.tasks.task import Metric, Source, Task


def with_choices(docs):
    """Each document with its own answer and three others, its own in turn at each place."""
    made = []
    for i, doc in enumerate(docs):
        others = [d["completion"] for d in docs[i + 1 :] + docs[:i] if d["completion"] != doc["completion"]]
        choices = others[:: max(1, len(others) // 3)][:3]
        choices.insert(i % 4, doc["completion"])
        made.append({**doc, "choices": choices, "right": i % 4})
    return made


TASK = Task(
    name="which_answer",
    output_type="multiple_choice",
    source=Source("the dataset that is given"),
    test_split="data",
    prepare=with_choices,
    doc_to_text="prompt",
    doc_to_choice="choices",
    doc_to_target="right",
    target_delimiter="",
    metrics=(Metric("acc_mutual_info"), Metric("acc")),
)
