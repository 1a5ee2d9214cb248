"""What a task is: where its documents are, how one becomes a prompt, and what is measured of the answers.

The fields have the names of lm-evaluation-harness. A task file becomes one of these (task_file.py); a task in Python
is one, written down: a dataset, a prompt, a scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from loomwork.evals.tasks.scorers import SCORERS

OutputType = Literal["multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until"]
OUTPUT_TYPES: tuple[str, ...] = get_args(OutputType)
SamplerName = Literal["default", "first_n"]
SAMPLERS: tuple[str, ...] = get_args(SamplerName)
MAX_TOKENS = 256  # of an answer, where the task does not say

Row = Mapping[str, Any]
# A column's name, a Jinja template, a constant, or a function of the document.
Field = str | int | list[Any] | Mapping[str, Any] | Callable[..., Any] | None


@dataclass(frozen=True)
class Source:
    """Where the documents are.

    Args:
        path: "json", "csv" or "parquet" (with data_files), the folder of a Loomwork dataset, or an id of the hub.
        name: the configuration of a hub's dataset.
        data_files: for each split its files, relative to the task file or else to the current folder.
        field: the key under which a JSON file has its rows; "" where the file is the rows.
        revision: of a hub's dataset.
    """

    path: str
    name: str = ""
    data_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    field: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Shots:
    """How examples are shown before the question. What is None is as in the task.

    Args:
        sampler: "default" draws examples by seed, "first_n" takes the first ones.
        split: where examples come from; by default the training split, else the validation split, else the test split.
        samples: examples written in the task itself, or a function that returns them; used where there is no split.
    """

    sampler: SamplerName = "default"
    split: str | None = None
    samples: list[Row] | Callable[[], list[Row]] | None = None
    process_docs: Callable[..., Any] | None = None
    doc_to_text: Field = None
    doc_to_target: Field = None
    doc_to_choice: Field = None
    gen_prefix: str | None = None
    target_delimiter: str | None = None
    fewshot_delimiter: str | None = None


@dataclass(frozen=True)
class Metric:
    """One metric of a task.

    Args:
        name: in evals/tasks/scorers.py; of a function, its own name.
        aggregation: in metrics/aggregation.py, or a function of the items; "" is the scorer's own, or the mean.
        higher_is_better: None is as the scorer says, or true.
        settings: of the scorer.
        function: the scorer itself, where the task brings one.
    """

    name: str
    aggregation: str | Callable[..., Any] = ""
    higher_is_better: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        known = SCORERS.get(self.name) if self.function is None else None
        if self.aggregation == "":
            object.__setattr__(self, "aggregation", known.aggregation if known else "mean")
        if self.higher_is_better is None:
            object.__setattr__(self, "higher_is_better", known.higher_is_better if known else True)


@dataclass(frozen=True)
class Step:
    """One filter of an answer: its name in evals/tasks/answers.py, and its settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """Filters in a row; a task may have several, each scored on its own."""

    name: str
    steps: tuple[Step, ...]


TAKE_FIRST = Pipeline("none", (Step("take_first"),))


@dataclass(frozen=True)
class Generation:
    """How an answer is generated.

    Args:
        until: texts at which it ends.
        max_tokens: at which it ends, too.
        temperature, top_p: of sampling; temperature 0 is greedy.
    """

    until: tuple[str, ...] = ()
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Task:
    """A task. Whoever reads it checks it (checks.py).

    Args:
        process_docs: what is made of a split's documents; it gets a table of the library `datasets`, as in lm-eval.
        prepare: the same for a task in Python, of a list of dicts: one for each document, in their order.
        file: where it was read from.
        files: all files that it was read from: includes, and the Python files of functions.
    """

    name: str
    output_type: OutputType
    source: Source
    doc_to_text: Field
    doc_to_target: Field
    metrics: tuple[Metric, ...]
    doc_to_choice: Field = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    process_docs: Callable[..., Any] | None = None
    prepare: Callable[[list[Row]], list[Row]] | None = None
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    gen_prefix: str | None = None
    shots: Shots = Shots()
    num_fewshot: int = 0
    pipelines: tuple[Pipeline, ...] = (TAKE_FIRST,)
    generation: Generation = Generation()
    repeats: int = 1
    should_decontaminate: bool = False
    doc_to_decontamination_query: Field = None
    process_results: Callable[..., Mapping[str, Any]] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    alias: str = ""
    tags: tuple[str, ...] = ()
    file: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def evaluated_split(self) -> str | None:
        """The split that is evaluated: the test split, else the validation split."""
        return self.test_split if self.test_split is not None else self.validation_split

    @property
    def shots_split(self) -> str | None:
        """The split that examples are drawn from; None where they are written in the task, or there are none."""
        if self.shots.split is not None or self.shots.samples is not None:
            return self.shots.split
        return next((s for s in (self.training_split, self.validation_split, self.test_split) if s is not None), None)


@dataclass(frozen=True)
class Member:
    """A member of a group: the name of a task, group or tag, and what the group changes of it."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupMetric:
    """A mean over a group's members; `filters` None means all pipelines that have it."""

    metric: str
    filters: tuple[str, ...] | None = None
    weight_by_size: bool = True


@dataclass(frozen=True)
class Group:
    """Tasks that are run and shown together."""

    name: str
    members: tuple[Member | Group, ...]
    metrics: tuple[GroupMetric, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    alias: str = ""
    tags: tuple[str, ...] = ()
    file: Path | None = None
