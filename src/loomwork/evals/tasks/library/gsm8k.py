"""GSM8K: grade-school sums, as lm-evaluation-harness asks them: five solved ones before each.

Documents: the official JSON lines with `question` and `answer`, that ends in "#### 18".
Source: Cobbe et al. (2021), Training Verifiers to Solve Math Word Problems; https://github.com/openai/grade-school-math
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Generation, Metric, Pipeline, Shots, Source, Step, Task

NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"

TASK = Task(
    name="gsm8k",
    output_type="generate_until",
    source=Source("openai/gsm8k", "main"),
    training_split="train",
    test_split="test",
    doc_to_text="Question: {{question}}\nAnswer:",
    doc_to_target="answer",
    shots=Shots(split="train"),
    num_fewshot=5,
    generation=Generation(until=("Question:", "</s>", "<|im_end|>"), max_tokens=256),
    pipelines=(
        Pipeline("strict-match", (Step("regex", {"regex_pattern": r"#### (\-?[0-9\.\,]+)"}), Step("take_first"))),
        Pipeline(
            "flexible-extract", (Step("regex", {"regex_pattern": NUMBER, "group_select": -1}), Step("take_first"))
        ),
    ),
    metrics=(
        Metric(
            "exact_match",
            settings={"ignore_case": True, "regexes_to_ignore": [",", r"\$", "(?s).*#### ", r"\.$"]},
        ),
    ),
)
