"""Which metrics there are, of which kind of task, and how each is brought together unless the task says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loomwork.evals.tasks.task import OutputType

GENERATED: tuple[OutputType, ...] = ("generate_until",)
CHOSEN: tuple[OutputType, ...] = ("multiple_choice",)
ROLLED: tuple[OutputType, ...] = ("loglikelihood_rolling",)


@dataclass(frozen=True)
class Scorer:
    """A metric that a task can name.

    Args:
        outputs: the kinds of task that have it.
        aggregation: in metrics/aggregation.py.
        settings: what its entry in `metric_list` may set.
    """

    outputs: tuple[OutputType, ...]
    aggregation: str = "mean"
    higher_is_better: bool = True
    settings: tuple[str, ...] = ()


SCORERS = {
    "acc": Scorer(("multiple_choice", "loglikelihood")),
    "acc_norm": Scorer(CHOSEN),
    "acc_bytes": Scorer(CHOSEN),
    "acc_mutual_info": Scorer(CHOSEN),
    "brier_score": Scorer(CHOSEN, higher_is_better=False),
    "f1": Scorer(CHOSEN, "f1"),
    "mcc": Scorer(CHOSEN, "matthews_corrcoef"),
    "exact_match": Scorer(
        ("multiple_choice", "generate_until"),
        settings=("regexes_to_ignore", "ignore_case", "ignore_punctuation", "ignore_numbers"),
    ),
    "bleu": Scorer(GENERATED, "bleu"),
    "chrf": Scorer(GENERATED, "chrf"),
    "chrf++": Scorer(GENERATED, "chrf++"),
    "ter": Scorer(GENERATED, "ter", higher_is_better=False),
    "perplexity": Scorer(("loglikelihood",), "perplexity", higher_is_better=False),
    "word_perplexity": Scorer(ROLLED, "weighted_perplexity", higher_is_better=False),
    "byte_perplexity": Scorer(ROLLED, "weighted_perplexity", higher_is_better=False),
    "bits_per_byte": Scorer(ROLLED, "bits_per_byte", higher_is_better=False),
}
# What a task has that names none (lm_eval/api/registry.py, DEFAULT_METRIC_REGISTRY).
DEFAULTS: dict[OutputType, tuple[str, ...]] = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "generate_until": ("exact_match",),
}
