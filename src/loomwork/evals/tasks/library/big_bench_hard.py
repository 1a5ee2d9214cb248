"""BIG-Bench Hard, any of its tasks: documents with `input` and `target`, as the official files have under `examples`.

The question alone, with no description and no solved examples: lm-evaluation-harness has those in a file for each task.

Source: Suzgun et al. (2022), Challenging BIG-Bench Tasks; https://github.com/suzgunmirac/BIG-Bench-Hard
"""

from __future__ import annotations

from loomwork.evals.tasks.task import Generation, Metric, Pipeline, Source, Step, Task

TASK = Task(
    name="big_bench_hard",
    output_type="generate_until",
    source=Source("SaylorTwift/bbh", field="examples"),
    test_split="test",
    doc_to_text="Q: {{input}}\nA:",
    doc_to_target="target",
    generation=Generation(until=("Q:", "</s>", "<|im_end|>"), max_tokens=256),
    pipelines=(
        Pipeline("whole", (Step("remove_whitespace"), Step("take_first"))),
        Pipeline(
            "the answer is",
            (Step("regex", {"regex_pattern": r"(?i)the answer is (\([A-Z]\)|[^\n.]+)"}), Step("take_first")),
        ),
    ),
    metrics=(Metric("exact_match", settings={"ignore_case": True, "regexes_to_ignore": [r"\.$"]}),),
)
