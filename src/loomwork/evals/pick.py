"""The smallest model that passed its gate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from loomwork.core.artifact import Model
from loomwork.core.dataset import link_or_copy
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.score import Ruling, Verdict
from loomwork.core.step import Card, step


@step(makes="model")
def pick(
    candidates: dict[str, Model],
    verdicts: dict[str, Verdict],
    fallback: Model,
    *,
    by: Literal["bytes"] = "bytes",
    out: Path,
) -> Card:
    """Take the smallest candidate whose verdict passed, or the fallback where none did.

    The artifact has the chosen model's files and therefore its id.

    Args:
        candidates: models by name.
        verdicts: the verdict on each, by the same names.
        fallback: the model that needs no verdict, such as the one that was compressed.
        by: what "smallest" means: bytes of all files.

    Raises:
        InputError: a candidate has no verdict, or a verdict is on another model.
    """
    rulings = {name: verdict.ruling for name, verdict in verdicts.items()}
    _check(candidates, rulings)
    size = {name: _bytes_of(model) for name, model in candidates.items()}
    passed = sorted((n for n in candidates if rulings[n].passed), key=lambda n: (size[n], n))
    model = candidates[passed[0]] if passed else fallback
    taken, small = passed[0] if passed else "the fallback", _bytes_of(model)
    for part in model.manifest["parts"].values():
        for file in part["files"]:
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(model.path / file, out / file)
    notes = [f"took {taken}: {small:,} bytes, {small / _bytes_of(fallback):.0%} of the fallback's"]
    for name in sorted(candidates):
        if name != taken:
            word = "passed, but is larger" if rulings[name].passed else rulings[name].decision
            notes.append(f"{name} ({size[name]:,} bytes): {word}: {rulings[name].reason}")
    if len(candidates) > 1:
        risk = sum(ruling.alpha for ruling in rulings.values())
        notes.append(
            f"{len(candidates)} were judged: one that should not have passed did so in at most {risk:.0%} of samples"
        )
    metrics = {"bytes": float(small), "candidates": float(len(candidates)), "passed": float(len(passed))}
    return Card(metrics=metrics, notes=notes)


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
