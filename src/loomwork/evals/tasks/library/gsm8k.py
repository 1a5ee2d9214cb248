"""GSM8K: grade-school sums. The answer counts where its last number is the right one.

Documents: the official JSON lines with `question` and `answer`, that ends in "#### 18".
Source: Cobbe et al. (2021), Training Verifiers to Solve Math Word Problems; https://github.com/openai/grade-school-math
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Generation, Metric, Pipeline, Row, Source, Step, Task

NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"


def number(doc: Row) -> str:
    """The right number, without thousands' commas."""
    return str(doc["answer"]).rpartition("####")[2].strip().replace(",", "")


TASK = Task(
    name="gsm8k",
    output_type="generate_until",
    source=Source("openai/gsm8k", "main"),
    training_split="train",
    test_split="test",
    doc_to_text="Question: {{question}}\nAnswer:",
    doc_to_target=number,
    num_fewshot=0,
    generation=Generation(until=("Question:",), max_tokens=256),
    pipelines=(
        Pipeline("strict", (Step("regex", {"regex_pattern": r"#### (\-?[0-9\.\,]+)"}), Step("take_first"))),
        Pipeline("last number", (Step("regex", {"regex_pattern": NUMBER, "group_select": -1}), Step("take_first"))),
    ),
    metrics=(Metric("exact_match", settings={"regexes_to_ignore": [",", r"\$", r"\.$"]}),),
)
