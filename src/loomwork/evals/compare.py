"""A gate: is the candidate's score not worse, or better, than the baseline's by a margin?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Lt
from pydantic import AfterValidator

from loomwork.core.errors import InputError
from loomwork.core.score import Ruling, Score, Scores, write_verdict
from loomwork.core.step import Card, step
from loomwork.evals._pairing import clusters_in, order_of, paired_items, same_measurement, same_system

if TYPE_CHECKING:
    import pyarrow as pa

    from loomwork.stats.paired import Decision, Margin, Paired

SEVERITY = ("pass", "undecided", "refuse")


def readable_margin(given: str | float) -> str | float:
    """A margin that can be read."""
    from loomwork.stats.paired import Margin

    try:
        Margin.parse(given)
    except InputError as error:
        raise ValueError(f"is no margin: {error.hint}") from None
    return given


@step(makes="verdict", uses=["numpy", "scipy"])
def compare(
    candidate: Scores,
    baseline: Scores | None = None,
    *,
    metric: str = "",
    not_worse_than: Annotated[str | float, AfterValidator(readable_margin)] | None = None,
    better_than: Annotated[str | float, AfterValidator(readable_margin)] | None = None,
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
    are weighted (a ratio of sums).

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
    if not margins:
        raise InputError("evals.compare needs a margin", "give not_worse_than: 0.01, or better_than: 0")
    score = candidate.score(metric)
    if baseline is None:
        reason = f"{score.name} is {score} and there is nothing to compare it with yet"
        numbers = {"candidate": score.value, "n": float(score.n), "n_clusters": float(score.n_clusters)}
        ruling = Ruling("first", reason, alpha, numbers, _subject(score))
    else:
        ruling = _rule(score, baseline.score(score.name), candidate.items(), baseline.items(), margins, alpha)
    write_verdict(out, ruling)
    return Card(metrics=dict(ruling.numbers), notes=[f"{ruling.decision}: {ruling.reason}"])


def _rule(
    candidate: Score, baseline: Score, items: pa.Table, others: pa.Table, margins: dict[str, Margin], alpha: float
) -> Ruling:
    from loomwork.stats import paired

    same_measurement(candidate, baseline)
    turn = 1.0 if candidate.direction == "higher is better" else -1.0
    if f"{candidate.name}:sums" in items.column_names:
        return _rule_on_sums(candidate, baseline, items, others, margins, alpha, turn)
    data = paired_items(items, others, candidate.name)
    ours, theirs = turn * data.pop("candidate"), turn * data.pop("baseline")
    data["same_system"] = same_system(candidate, baseline)
    found = paired.paired_difference(ours, theirs, alpha=alpha, **data)
    tests = {"not worse than": paired.not_worse_than, "better than": paired.better_than}
    decisions = {n: tests[n](ours, theirs, margin, alpha=alpha, **data) for n, margin in margins.items()}
    return _ruling(candidate, baseline, found, decisions, margins, alpha)


def _rule_on_sums(
    candidate: Score,
    baseline: Score,
    items: pa.Table,
    others: pa.Table,
    margins: dict[str, Margin],
    alpha: float,
    turn: float,
) -> Ruling:
    """The same for a metric that is no mean of its items, such as F1: it is computed anew for each resample."""
    from loomwork.evals._sums import sums_of
    from loomwork.stats.paired_sums import decide_sums

    ours, theirs = sums_of(items, candidate.name), sums_of(others, candidate.name)
    if ours is None or theirs is None:
        raise InputError(
            f"the baseline's items have no column '{candidate.name}:sums', which the candidate's have",
            "score both models with the same version of the step",
        )
    metric = ours[1]
    order = order_of(items, others)
    clusters = clusters_in(items)
    tests: list[Any] = list(margins)
    results = {
        name: decide_sums(
            ours[0],
            theirs[0][order],
            lambda sums: turn * metric(sums),
            margins[name],
            name,
            clusters=clusters,
            alpha=alpha,
            same_system=same_system(candidate, baseline),
        )
        for name in tests
    }
    found = next(iter(results.values()))[0]
    return _ruling(candidate, baseline, found, {n: d for n, (_, d) in results.items()}, margins, alpha)


def _ruling(
    candidate: Score,
    baseline: Score,
    found: Paired,
    decisions: dict[str, Decision],
    margins: dict[str, Margin],
    alpha: float,
) -> Ruling:
    """The worst of the decisions, with its numbers."""
    name, decision = max(decisions.items(), key=lambda d: (SEVERITY.index(d[1].outcome), d[1].p_value))
    numbers = {
        "candidate": candidate.value,
        "baseline": baseline.value,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "standard_error": found.standard_error,
        "margin": decision.margin,
        "p_value": decision.p_value,
        "n": float(found.n),
        "n_clusters": float(found.n_clusters),
        "minimum_detectable_effect": found.minimum_detectable_effect,
    }
    reason = _reason(candidate, found, name, str(margins[name]), decision, alpha)
    return Ruling(decision.outcome, reason, alpha, numbers, _subject(candidate))


def _reason(score: Score, found: Paired, test: str, margin: str, decision: Decision, alpha: float) -> str:
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
    return f"{change}; {meaning} ({test} {margin}); {power}"


def _subject(score: Score) -> str:
    return "" if score.model == "none" else score.model
