"""The parts that references of a recipe name, checked where it is known which ones a step will make."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from loomwork.core.dataset import MAIN, SET_ASIDE
from loomwork.core.errors import did_you_mean

if TYPE_CHECKING:
    from loomwork.core.recipe import StepCall
    from loomwork.core.recipe_faults import Faults
    from loomwork.core.recipe_yaml import Tree


def check_parts(calls: Mapping[str, StepCall], trees: Mapping[str, Tree], faults: Faults) -> None:
    """Refuse `$step/part` where the step will have no such part.

    Args:
        calls: all steps of a recipe by name.
        trees: what it says of each.
        faults: hears what is wrong.
    """
    for call in calls.values():
        for role, reference in call.references():
            maker = calls.get(reference.target) if reference.kind == "step" else None
            known = _parts_of(maker) if maker and reference.part else None
            if known is not None and not any(fnmatch.fnmatchcase(reference.part, pattern) for pattern in known):
                hint = did_you_mean(reference.part, [name for name in known if "." not in name])
                what = f"step {call.name!r}: {reference}: {reference.target} makes no part {reference.part!r}"
                faults.add(trees[call.name].error(what, hint, role.partition(".")[0]))


def _parts_of(maker: StepCall) -> Collection[str] | None:
    """The parts that a call will make, patterns among them; None where that cannot be known."""
    if maker.step.parts:
        return maker.step.parts(maker.settings)
    ours = ":" not in maker.step.name
    return {MAIN, *SET_ASIDE} if ours and maker.step.makes == "dataset" else None
