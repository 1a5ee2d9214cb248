"""The smallest model that passed its gate."""

from __future__ import annotations

from pathlib import Path

from loomwork.core.artifact import Model, link_or_copy
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.score import Ruling, Verdict
from loomwork.core.step import Card, step


@step(makes="model")
def pick(
    candidates: dict[str, Model],
    verdicts: dict[str, Verdict],
    fallback: Model,
    *,
    out: Path,
) -> Card:
    """Take the smallest candidate (by the bytes of its files) whose verdict passed, or the fallback where none did.

    Several candidates are several chances to pass by luck, so their p-values are corrected by Holm's method: one that
    truly fails its margin is taken in at most alpha of all samples, however many were judged. Where alphas differ the
    smallest one holds. A verdict that passed and states no `p_value` counts as one of exactly its alpha.

    The artifact has the chosen model's files and therefore its id.

    Args:
        candidates: models by name.
        verdicts: the verdict on each, by the same names.
        fallback: the model that needs no verdict, such as the one that was compressed.

    Raises:
        InputError: a candidate has no verdict, or a verdict is on another model.
    """
    rulings = {name: verdict.ruling for name, verdict in verdicts.items()}
    _check(candidates, rulings)
    size = {name: _bytes_of(model) for name, model in candidates.items()}
    adjusted = _corrected(rulings)
    alpha = min((ruling.alpha for ruling in rulings.values()), default=0.0)
    passed = sorted((n for n in candidates if adjusted[n] <= alpha), key=lambda n: (size[n], n))
    model = candidates[passed[0]] if passed else fallback
    taken, small = passed[0] if passed else "the fallback", _bytes_of(model)
    for part in model.manifest["parts"].values():
        for file in part["files"]:
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(model.path / file, out / file)
    notes = [f"took {taken}: {small:,} bytes, {small / _bytes_of(fallback):.0%} of the fallback's"]
    for name in sorted(candidates):
        if name != taken:
            word: str = "passed, but is larger" if name in passed else rulings[name].decision
            if rulings[name].passed and name not in passed:
                word = f"passed alone, not among {len(candidates)} (corrected p = {adjusted[name]:.3g})"
            notes.append(f"{name} ({size[name]:,} bytes): {word}: {rulings[name].reason}")
    if len(candidates) > 1:
        notes.append(
            f"{len(candidates)} were judged, their p-values corrected by Holm's method: "
            f"one that should not have passed did so in at most {alpha:.0%} of samples"
        )
    metrics = {"bytes": float(small), "candidates": float(len(candidates)), "passed": float(len(passed))}
    return Card(metrics=metrics, notes=notes)


def _corrected(rulings: dict[str, Ruling]) -> dict[str, float]:
    """Holm's p-value of each candidate: of what failed it stays 1, of what had no baseline to be compared with 0."""
    from loomwork.stats.multiple import holm

    raw = {
        name: 0.0
        if ruling.decision == "first"
        else ruling.numbers.get("p_value", ruling.alpha)
        if ruling.passed
        else 1.0
        for name, ruling in rulings.items()
    }
    return dict(zip(raw, holm(list(raw.values())), strict=True))


def _check(candidates: dict[str, Model], rulings: dict[str, Ruling]) -> None:
    for name in sorted(set(candidates) ^ set(rulings)):
        what = "candidate has no verdict" if name in candidates else "verdict is on no candidate"
        raise InputError(f"{name!r}: this {what}", did_you_mean(name, set(candidates) & set(rulings)))
    for name, model in candidates.items():
        if rulings[name].subject != model.digest:
            raise InputError(
                f"the verdict {name!r} is on model {rulings[name].subject[:12] or 'none'}, not on {model.digest[:12]}",
                "give each candidate the verdict that evals.compare made from its own scores",
            )


def _bytes_of(model: Model) -> int:
    return sum(part["bytes"] for part in model.manifest["parts"].values())
