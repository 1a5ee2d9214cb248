"""A task in one short file: of four first sentences, which is this function's? The others are of other modules."""

from loomwork.evals.tasks.task import Metric, Source, Task


def with_choices(docs):
    """Each document with its own sentence and three of other modules, its own in turn at each place."""
    made = []
    for i, doc in enumerate(docs):
        others = [d["query"] for d in docs[i + 1 :] + docs[:i] if d["module"] != doc["module"]]
        step = max(1, len(others) // 3)
        choices = (others[::step] * 3)[:3]
        choices.insert(i % 4, doc["query"])
        made.append({**doc, "choices": choices, "right": i % 4})
    return made


TASK = Task(
    name="which_summary",
    output_type="multiple_choice",
    source=Source("the dataset that is given"),
    test_split="holdout",
    prepare=with_choices,
    doc_to_text=lambda doc: doc["document"].partition(doc["query"])[0].strip(),
    doc_to_choice="choices",
    doc_to_target="right",
    metrics=(Metric("acc_mutual_info"), Metric("acc")),
)
