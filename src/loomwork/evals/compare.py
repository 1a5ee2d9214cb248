"""A gate: is the candidate's score not worse, or better, than the baseline's by a margin?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Lt
from pydantic import AfterValidator, Field, ValidationInfo

from loomwork.core.errors import InputError
from loomwork.core.score import Ruling, Score, Scores, write_verdict
from loomwork.core.step import Card, step
from loomwork.evals._pairing import paired_items, same_measurement, same_system
from loomwork.evals._sums import has_items, no_items

if TYPE_CHECKING:
    from loomwork.evals._pairing import Pairs
    from loomwork.stats.paired import Decision, Margin, Paired

SEVERITY = ("pass", "undecided", "refuse")
NO_MARGIN = "evals.compare needs a margin", "give not_worse_than: 0.01, or better_than: 0"


def readable_margin(given: str | float) -> str | float:
    """A margin that can be read."""
    from loomwork.stats.paired import Margin

    try:
        Margin.parse(given)
    except InputError as error:
        raise ValueError(f"is no margin: {error.hint}") from None
    return given


def a_margin(better_than: Any, others: ValidationInfo) -> Any:
    """One of the two is given, or both."""
    if better_than is None and others.data.get("not_worse_than", "") is None:
        raise ValueError("or not_worse_than is needed: better_than: 0, or not_worse_than: 0.01")
    return better_than


@step(makes="verdict", uses=["numpy", "scipy"])
def compare(
    candidate: Scores,
    baseline: Scores | None = None,
    *,
    metric: str = "",
    not_worse_than: Annotated[str | float, AfterValidator(readable_margin)] | None = None,
    better_than: Annotated[
        Annotated[str | float, AfterValidator(readable_margin)] | None,
        Field(validate_default=True),
        AfterValidator(a_margin),
    ] = None,
    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05,
    out: Path,
) -> Card:
    """Decide, paired over the same items, whether the candidate passes a margin; every bound is one-sided at alpha.

    The difference is turned so that positive means better. Its threshold is minus the margin for `not_worse_than`
    and plus the margin for `better_than`.
    - pass: the lower 1 - alpha bound of the difference lies above the threshold. A candidate that truly is at or
      below the threshold passes in at most alpha of all samples.
    - refuse: the difference as measured is at or below the threshold. This is not a proof that the candidate is
      worse; the reason says whether the upper bound is below the threshold too.
    - undecided: the difference as measured is above the threshold and its lower bound is not; more items could tell.
    - first: there is no baseline.
    With both margins the worse decision counts. Items with a cluster are resampled by cluster, items with a `weight`
    are weighted (a ratio of sums). Items that one of the two lacks (an endpoint did not answer, or they are not in its
    clean subset) are left out of both, and counted on each side.

    Args:
        candidate: scores of the model that is judged.
        baseline: scores of the model it is compared with, on the same items.
        metric: which score; "" takes the candidate's first.
        not_worse_than: the loss that is accepted: 0.01 is absolute, "1%" is of the baseline's value.
        better_than: the gain that is demanded, likewise.
        alpha: the error rate of "pass".

    Raises:
        InputError: no margin is given, or the two scores are not of the same items, data or metric.
    """
    from loomwork.stats.paired import Margin

    margins = {
        name: Margin.parse(text)
        for name, text in (("not worse than", not_worse_than), ("better than", better_than))
        if text is not None
    }
    if not margins:  # called as a function: a recipe is refused before it runs
        raise InputError(*NO_MARGIN)
    score = candidate.score(metric)
    if baseline is None:
        reason = f"{score.name} is {score} and there is nothing to compare it with yet"
        numbers = {"candidate": score.value, "n": float(score.n), "n_clusters": float(score.n_clusters)}
        ruling = Ruling("first", reason, alpha, numbers, _subject(score))
    else:
        ruling = _rule(score, baseline.score(score.name), candidate, baseline, margins, alpha)
    write_verdict(out, ruling)
    return Card(metrics=dict(ruling.numbers), notes=[f"{ruling.decision}: {ruling.reason}"])


def _rule(
    candidate: Score, baseline: Score, ours: Scores, theirs: Scores, margins: dict[str, Margin], alpha: float
) -> Ruling:
    items = ours.items()
    if not has_items(items, candidate.name):
        others = [s.name for s in ours.scores if has_items(items, s.name)]
        raise no_items(candidate.name, "the candidate's", others)
    same_measurement(candidate, baseline)
    pairs = paired_items(items, theirs.items(), candidate.name)
    tests: list[Any] = list(margins)
    results = {
        name: pairs.decide(
            name,
            margins[name],
            higher_is_better=candidate.direction == "higher is better",
            alpha=alpha,
            same_system=same_system(candidate, baseline),
        )
        for name in tests
    }
    found = next(iter(results.values()))[0]
    return _ruling(candidate, baseline, pairs, found, {n: d for n, (_, d) in results.items()}, margins, alpha)


def _ruling(
    candidate: Score,
    baseline: Score,
    pairs: Pairs,
    found: Paired,
    decisions: dict[str, Decision],
    margins: dict[str, Margin],
    alpha: float,
) -> Ruling:
    """The worst of the decisions, with its numbers."""
    name, decision = max(decisions.items(), key=lambda d: (SEVERITY.index(d[1].outcome), d[1].p_value))
    # Of other items than those compared, the two values would not differ by the difference.
    values = pairs.values() if any(pairs.missing[:2]) else (candidate.value, baseline.value)
    numbers = {
        "candidate": values[0],
        "baseline": values[1],
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "standard_error": found.standard_error,
        "margin": decision.margin,
        "p_value": decision.p_value,
        "n": float(found.n),
        "n_clusters": float(found.n_clusters),
        "missing_in_candidate": float(pairs.missing[0]),
        "missing_in_baseline": float(pairs.missing[1]),
        "missing_in_both": float(pairs.missing[2]),
        "minimum_detectable_effect": found.minimum_detectable_effect,
    }
    reason = _reason(candidate, pairs, found, name, str(margins[name]), decision, alpha)
    return Ruling(decision.outcome, reason, alpha, numbers, _subject(candidate))


def _reason(score: Score, pairs: Pairs, found: Paired, test: str, margin: str, decision: Decision, alpha: float) -> str:
    """One sentence with the numbers."""
    threshold = -decision.margin if test == "not worse than" else decision.margin
    percent = f"{100 * (1 - 2 * alpha):g} %"
    clusters = f" in {found.n_clusters} clusters" if score.cluster_unit != "item" else ""
    change = f"gain in {score.name} {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] ({percent} interval"
    change += f", {found.n} items{clusters}, plus is better), p = {decision.p_value:.3g} ({decision.method})"
    meaning = {
        "pass": f"its lower bound is above the limit of {threshold:+.4f}",
        "undecided": f"the lower bound is not above the limit of {threshold:+.4f}"
        + (", which moves with the baseline" if found.low > threshold else ""),
        "refuse": f"it is not above the limit of {threshold:+.4f}"
        + (", nor is its upper bound" if found.high <= threshold else ", though its upper bound is"),
    }[decision.outcome]
    power = (
        f"with this many items a true difference of {found.minimum_detectable_effect:.4f} from the limit is found "
        "4 times in 5"
    )
    left_out = pairs.left_out("the candidate", "the baseline")
    return "; ".join(part for part in (change, f"{meaning} ({test} {margin})", power, left_out) if part)


def _subject(score: Score) -> str:
    return "" if score.model == "none" else score.model
