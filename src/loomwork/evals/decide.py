"""A gate that asks no more documents than it needs: it looks after every few, and stops once it knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt
from pydantic import AfterValidator, Field, ValidationInfo

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, Stopped, did_you_mean
from loomwork.core.ranges import Count, Seed
from loomwork.core.score import Ruling, write_verdict
from loomwork.core.step import Card, Files, Reads, step
from loomwork.evals._mean_score import model_digest
from loomwork.evals.run_task import SHOTS_SEED, USES, functions_of_answers_only, labelled, scorer_of

if TYPE_CHECKING:
    from loomwork.evals.tasks.documents import Documents
    from loomwork.evals.tasks.task import Task
    from loomwork.models.engines import Scorer
    from loomwork.stats.cluster import Floats

Outcome = Literal["pass", "refuse", "undecided"]


@dataclass(frozen=True)
class Look:
    """What the documents asked so far say.

    Args:
        asked: how many.
        difference: of the means, positive where the candidate is better.
        low, high: of a confidence sequence: all looks together are wrong in 2 alpha of all samples.
        for_pass, for_refuse: the largest e-values so far, against "at or below the limit" and "above the limit".
    """

    asked: int
    difference: float
    low: float
    high: float
    for_pass: float
    for_refuse: float

    def outcome(self, alpha: float) -> Outcome:
        if self.for_pass >= 1 / alpha:
            return "pass"
        return "refuse" if self.for_refuse >= 1 / alpha else "undecided"


def absolute_margin(given: str | float) -> float:
    """A margin in units of the metric.

    Raises:
        InputError: it is none, or relative, or no metric could reach it.
    """
    from loomwork.stats.paired import Margin

    try:
        margin = Margin.parse(given)
    except InputError as error:
        raise InputError(error.what, "write 0.01, in units of the metric") from None
    if margin.relative:
        raise InputError(
            f"the margin {given} moves with the baseline's score, which is not known before all documents are asked",
            "give an absolute one (0.01), or use evals.compare",
        )
    if not margin.value < 1:
        raise InputError(f"a margin of {given}, where the metric lies between 0 and 1", "write 0.01")
    return margin.value


def readable_margin(given: str | float) -> str | float:
    try:
        absolute_margin(given)
    except InputError as error:
        raise ValueError(f"cannot be taken: {error.what}; {error.hint}") from None
    return given


def one_margin(better_than: Any, others: ValidationInfo) -> Any:
    """One of the two is given."""
    if "not_worse_than" not in others.data:  # it is faulty itself
        return better_than
    if better_than is None and others.data["not_worse_than"] is None:
        raise ValueError("or not_worse_than is needed: better_than: 0, or not_worse_than: 0.01")
    if better_than is not None and others.data["not_worse_than"] is not None:
        raise ValueError("and not_worse_than are two margins, and one is taken")
    return better_than


Readable = Annotated[str | float, AfterValidator(readable_margin)]


@step(makes="verdict", uses=USES, heavy=True)
def decide(
    candidate: Model,
    baseline: Model | None = None,
    data: Dataset | None = None,
    examples: Dataset | None = None,
    *,
    task: Annotated[str, Reads("loomwork.evals.tasks.find:files_of")],
    metric: str = "",
    not_worse_than: Readable | None = None,
    better_than: Annotated[Readable | None, Field(validate_default=True), AfterValidator(one_margin)] = None,
    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05,
    look_every: Annotated[int, Ge(1)] = 50,
    num_fewshot: Count | None = None,
    labels: Annotated[Path | None, Files()] = None,
    trust: bool = False,
    max_tokens: Annotated[int, Ge(2)] | None = None,
    shots_seed: int = SHOTS_SEED,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Ask two models the documents of a task in random order, some at a time, until their difference is decided.

    The evidence is an e-process, which may be looked at as often as one likes: where the candidate is truly at or
    below the limit it passes in at most alpha of all samples, at whichever look; where it is truly above, it is
    refused in at most alpha. For right-or-wrong metrics without a margin it is a beta mixture over the documents on
    which the two differ (stats/sequential.py), else betting (stats/betting.py). evals.compare, which asks all
    documents, decides a little more; this one stops early where the difference is clear.

    - pass, refuse: the evidence reached 1 / alpha. Here "refuse" is a proof that the limit is not reached.
    - undecided: all documents were asked, and it did not.
    - first: there is no baseline.
    Two that are one model are decided without a document, and a document that is repeated is asked once.

    Documents count as independent: where several belong to one source, use evals.run_task with `cluster` and
    evals.compare. What the models were trained on is not looked through; evals.run_task does that.

    Args:
        candidate: the model that is judged.
        baseline: the model it is compared with.
        data: the documents, where the task names none that are here.
        examples: the documents that examples are drawn from, as for evals.run_task.
        task: one of ours, a task file, or a Python file, as for evals.run_task, but no group of tasks.
        metric: one that single documents have, between 0 and 1 ("acc", "exact_match"...); "" takes the task's first.
        not_worse_than: the loss that is accepted (0.01).
        better_than: the gain that is demanded (0 or more). One of the two must be given.
        alpha: the error rate of "pass", and of "refuse".
        look_every: documents between two looks.
        num_fewshot: examples before each question; by default as the task says.
        labels: a file with one label a line, for documents that have none.
        trust: whether Python code of the task may run.
        max_tokens: the most tokens that a model reads at once.
        shots_seed: of the examples that are drawn.
        seed: of the order of the documents.

    Raises:
        InputError: the margins are none, both or relative, or the task or metric is not one that can be looked at.
    """
    import numpy as np

    limit = _limit(not_worse_than, better_than)
    if baseline is None:
        ruling = Ruling("first", "there is nothing to compare it with yet", alpha, {}, model_digest(candidate))
        write_verdict(out, ruling)
        return Card(notes=[f"first: {ruling.reason}"])
    if model_digest(candidate) == model_digest(baseline):
        ruling = _of_one_model(limit, alpha, model_digest(candidate))
        write_verdict(out, ruling)
        return Card(notes=[f"{ruling.decision}: {ruling.reason}"])
    one, documents = _read(task, data, examples, labels, num_fewshot, trust=trust)
    name, turn = _metric(one, metric)
    different = list({i: n for n, i in reversed(list(enumerate(documents.ids)))}.values())  # the first of equal ones
    total, repeated = len(different), len(documents.ids) - len(different)
    order = np.array(different)[np.random.default_rng(seed).permutation(total)]
    scorers = [scorer_of(model, max_tokens) for model in (candidate, baseline)]
    found: list[Floats] = []
    failed, unlabelled, look = 0, 0, None
    for part in np.array_split(order, range(look_every, total, look_every)):
        if context().stop_requested:
            raise Stopped(f"stopped after {sum(map(len, found))} of {total} documents; the answers are kept")
        pair = [_values(one, name, _some(documents, part), s, num_fewshot, shots_seed) for s in scorers]
        differences = turn * (pair[0][0] - pair[1][0])
        unlabelled += pair[0][1]
        answered = np.isfinite(differences)
        failed += int((~answered).sum())
        found.append(differences[answered])
        look = _look(np.concatenate(found), limit, alpha)
        for side, evidence in (("pass", look.for_pass), ("refuse", look.for_refuse)):
            context().metric(f"evidence to {side}", float(np.log10(max(evidence, 1e-300))), look.asked)
        context().progress(look.asked + failed, total, "documents", f"difference {look.difference:+.3f}")
        if look.outcome(alpha) != "undecided":
            break
    if look is None or not look.asked:
        raise InputError(f"task {one.name}: no document was answered by both models")
    reason = _reason(name, look, limit, alpha, total)
    numbers = {"difference": look.difference, "low": look.low, "high": look.high, "limit": limit}
    counts = {"n": float(look.asked), "documents": float(total), "failed": float(failed)}
    counts |= {"e_value_pass": look.for_pass, "e_value_refuse": look.for_refuse}
    ruling = Ruling(look.outcome(alpha), reason, alpha, numbers | counts, model_digest(candidate))
    write_verdict(out, ruling)
    notes = [f"{ruling.decision}: {reason}", "contamination is unknown: it was not looked for"]
    if repeated:
        notes.append(f"{repeated} documents are repetitions of others: each was asked once, for it is evidence once")
    if unlabelled:
        notes.append(
            f"{unlabelled} of the documents asked have a label that is none of their choices: both are wrong there"
        )
    if failed:
        notes.append(f"{failed} documents were not answered by both models and are left out")
    return Card(metrics=dict(ruling.numbers), notes=notes)


def _limit(not_worse_than: str | float | None, better_than: str | float | None) -> float:
    """What the difference must lie above."""
    given = [(sign, m) for sign, m in ((-1.0, not_worse_than), (1.0, better_than)) if m is not None]
    if len(given) != 1:
        raise InputError(
            f"evals.decide takes one margin, and {len(given)} are given", "not_worse_than: 0.01, or better_than: 0"
        )
    sign, margin = given[0]
    return sign * absolute_margin(margin)


def _of_one_model(limit: float, alpha: float, subject: str) -> Ruling:
    """A model against itself: the difference is 0, and needs no document."""
    numbers = {"difference": 0.0, "low": 0.0, "high": 0.0, "limit": limit, "n": 0.0}
    said = f"the two are one model; its gain over itself is 0, {'above' if limit < 0 else 'not above'} the limit of"
    return Ruling("pass" if limit < 0 else "refuse", f"{said} {limit:+.4f}", alpha, numbers, subject)


def _read(
    task: str,
    data: Dataset | None,
    examples: Dataset | None,
    labels: Path | None,
    num_fewshot: int | None,
    *,
    trust: bool,
) -> tuple[Task, Documents]:
    from loomwork.evals.tasks.documents import read_documents
    from loomwork.evals.tasks.find import find_task
    from loomwork.evals.tasks.task import Task

    found = find_task(task, trust=trust)
    if not isinstance(found, Task):
        raise InputError(f"{task} is a group of tasks", "give one of them, or use evals.run_task and evals.compare")
    functions_of_answers_only(found)
    return found, labelled(read_documents(found, data, examples, num_fewshot=num_fewshot), labels)


def _metric(task: Task, wanted: str) -> tuple[str, float]:
    """The name of the metric, and 1, or -1 where lower is better."""
    names = [metric.name for metric in task.metrics]
    name = wanted or names[0]
    chosen = next((metric for metric in task.metrics if metric.name == name), None)
    if chosen is None:
        raise InputError(f"task {task.name} has no metric {wanted!r}", did_you_mean(wanted, names))
    return name, 1.0 if chosen.higher_is_better else -1.0


def _some(documents: Documents, chosen: Any) -> Documents:
    from dataclasses import replace

    rows = [documents.evaluated[i] for i in chosen]
    return replace(documents, evaluated=rows, ids=[documents.ids[i] for i in chosen])


def _values(
    task: Task, name: str, documents: Documents, scorer: Scorer, num_fewshot: int | None, shots_seed: int
) -> tuple[Floats, int]:
    """The metric of each document, NaN where it was not answered, and how many labels are none of the choices."""
    from loomwork.evals.tasks.asked import ask
    from loomwork.evals.tasks.measured import measure

    keep = context().kept / "answers.sqlite" if context().work_folder else None
    asked = ask(task, documents, scorer, num_fewshot=num_fewshot, seed=shots_seed, keep=keep)
    metric = next(m for m in task.metrics if m.name == name)
    values = [None if v is None else v.get((name, task.pipelines[0].name)) for v in asked.values]
    measured = measure(metric, name, values)
    if measured.sums is not None or measured.whole is not None or measured.within != (0.0, 1.0):
        raise InputError(
            f"{name} is not a mean of values between 0 and 1, one for each document",
            "evals.decide takes acc, exact_match and the like; evals.compare takes any",
        )
    return measured.values, asked.unlabelled


def _look(differences: Floats, limit: float, alpha: float) -> Look:
    """The evidence of differences in the order in which they came; each lies between -1 and 1."""
    import numpy as np

    from loomwork.stats.betting import log_wealth
    from loomwork.stats.confidence_sequence import betting_sequence
    from loomwork.stats.sequential import log_e_values

    if not len(differences):
        return Look(0, float("nan"), -1.0, 1.0, 1.0, 1.0)
    if limit == 0 and np.isin(differences, (-1, 0, 1)).all():
        wins, losses = np.cumsum(differences > 0), np.cumsum(differences < 0)
        logs = [log_e_values(wins, losses, side=side) for side in ("greater", "less")]
    else:
        logs = [log_wealth(differences, limit, -1.0), log_wealth(-differences, -limit, -1.0)]
    sequence = betting_sequence(differences, within=(-1.0, 1.0), level=1 - 2 * alpha)
    best = [float(np.exp(min(700.0, max(0.0, found.max())))) for found in logs]
    return Look(
        len(differences), float(differences.mean()), float(sequence.low[-1]), float(sequence.high[-1]), best[0], best[1]
    )


def _reason(name: str, look: Look, limit: float, alpha: float, total: int) -> str:
    """One sentence with the numbers."""
    percent = f"{100 * (1 - 2 * alpha):g} %"
    change = (
        f"gain in {name} {look.difference:+.4f} [{look.low:+.4f}, {look.high:+.4f}] ({percent} at every look, plus "
    )
    change += f"is better) after {look.asked:,} of {total:,} documents"
    need = f"{1 / alpha:g} was needed"
    meaning = {
        "pass": f"that it is above the limit of {limit:+.4f} has an e-value of {look.for_pass:.3g}; {need}",
        "refuse": f"that it is not above the limit of {limit:+.4f} has an e-value of {look.for_refuse:.3g}; {need}",
        "undecided": f"neither that it is above the limit of {limit:+.4f} nor that it is not is shown: e-values "
        f"{look.for_pass:.3g} and {look.for_refuse:.3g}; {need}",
    }[look.outcome(alpha)]
    return f"{change}; {meaning}"
