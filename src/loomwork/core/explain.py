"""Why a step ran or would run, and what differs between two runs or two artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loomwork.core import key as keys
from loomwork.core.artifact import Artifact
from loomwork.core.call import get_ready, look_up, needed_steps
from loomwork.core.errors import InputError, LoomError, did_you_mean
from loomwork.core.home import Home
from loomwork.core.recipe import Recipe
from loomwork.core.runner import RECIPE
from loomwork.core.schedule import why_not_a_hit

Record = dict[str, Any]


@dataclass(frozen=True)
class Why:
    """Why a step would run, or would not.

    Args:
        verdict: "hit", "would run", or "depends" (on a step before it that would run).
        reasons: what is different from its last finished run.
    """

    step: str
    verdict: str
    reasons: list[str]
    run: str = ""
    artifact: str = ""


def plan(home: Home, recipe: Recipe) -> dict[str, Why]:
    """For each step of a recipe: a hit, or why it would run. Runs nothing."""
    found: dict[str, Why] = {}
    for name, call in recipe.steps.items():
        upstream = [n for n in needed_steps(call) if found[n].verdict != "hit"]
        if upstream:
            found[name] = Why(name, "depends", [f"it reads {u}, which {found[u].verdict}" for u in upstream])
            continue
        try:
            ready = get_ready(home, call, {n: (found[n].artifact, found[n].run) for n in needed_steps(call)})
        except LoomError as error:
            found[name] = Why(name, "would run", [error.what])
            continue
        known = look_up(home, ready.key)
        if known.hit:
            found[name] = Why(name, "hit", [], known.hit["run"], known.hit["artifact"])
        else:
            reasons = [known.why] if known.lost else why_not_a_hit(home, recipe.name, call, ready.parts)
            found[name] = Why(name, "would run", reasons)
    return found


@dataclass(frozen=True)
class LastRun:
    """The newest run of a step, and what made it different from the one before."""

    run: str
    started: float
    status: str
    reasons: list[str]


def why_it_ran(home: Home, name: str) -> LastRun:
    """Why the last run of a recipe's step was not a hit.

    Raises:
        InputError: no run has that name.
    """
    runs = home.ledger.last_runs(name=name)
    if not runs:
        known = [r["name"] for r in home.ledger.last_runs(limit=500) if r["name"]]
        raise InputError(f"no step {name!r} has run here", did_you_mean(name, known))
    last, recipe = runs[0], _recipe_of(home, runs[0])
    same = (r for r in runs[1:] if r["status"] == "done" and r["step"] == last["step"])
    earlier = next((r for r in same if _recipe_of(home, r) == recipe), None)
    reasons = keys.differences(earlier["parts"], last["parts"]) if earlier else ["it had not been run before"]
    return LastRun(last["id"], last["started"], last["status"], reasons or ["its result had not been kept"])


def _recipe_of(home: Home, run: Record) -> str:
    """The recipe that a run was for: other recipes may have steps of the same name."""
    parent = home.ledger.run(run["parent"] or "")
    return str(parent["name"]) if parent else ""


@dataclass
class Difference:
    """What differs between two things, in lines, under headings."""

    a: str
    b: str
    sections: dict[str, list[str]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        return not any(self.sections.values())


def diff(home: Home, a: str, b: str, made_by: Sequence[str] = ("", "")) -> Difference:
    """What differs between two runs, two recipe runs, or two artifacts (by id, or by name).

    Args:
        made_by: of two artifacts, the run that made each; "" for the last that made these bytes.

    Raises:
        InputError: one of them is unknown, or they are of different sorts.
    """
    runs = [find_run(home, x) for x in (a, b)]
    if runs[0] and runs[1]:
        if RECIPE in (runs[0]["step"], runs[1]["step"]):
            return _diff_recipes(home, runs[0], runs[1])
        return _diff_runs(home, runs[0], runs[1])
    if runs[0] or runs[1]:
        raise InputError(f"{a} and {b} cannot be compared: one is a run and one is not")
    return _diff_artifacts(home, home.find(a), home.find(b), made_by)


def step_run(home: Home, name: str) -> Record | None:
    """The run that a step's name means: what it came to in the newest run of a recipe that has it, a hit's too; else
    the newest run of that name, or of that step."""
    own = next(iter(home.ledger.last_runs(name=name, limit=1) or home.ledger.last_runs(step=name, limit=1)), None)
    for whole in home.ledger.last_runs(step=RECIPE, limit=50):
        found = whole["outcome"].get("steps", {}).get(name, {})
        if own is not None and own["started"] >= whole["started"]:
            return own
        if found.get("run"):
            return home.ledger.run(found["run"])
    return own


def find_run(home: Home, text: str) -> Record | None:
    """The run that an id, or the first letters of one, means."""
    from loomwork.core import schema as t

    if len(text) < 6 or set(text) - set("0123456789abcdef"):
        return None
    rows = home.ledger.rows(t.run.select().where(t.run.c.id.startswith(text)).limit(2))
    return home.ledger.run(rows[0]["id"]) if len(rows) == 1 else None


def _diff_recipes(home: Home, a: Record, b: Record) -> Difference:
    result = Difference(a["id"], b["id"])
    old, new = a["parts"].get("settings", {}), b["parts"].get("settings", {})
    result.sections["settings"] = [
        f"{k}: {old.get(k)} -> {new.get(k)}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)
    ]
    steps_a, steps_b = a["outcome"].get("steps", {}), b["outcome"].get("steps", {})
    lines = []
    for name in dict.fromkeys([*steps_a, *steps_b]):
        one, two = steps_a.get(name, {}), steps_b.get(name, {})
        if one.get("artifact") == two.get("artifact") and one.get("run") == two.get("run"):
            continue
        lines.append(f"{name}: {_what(one)} -> {_what(two)}")
        if one.get("run") and two.get("run"):
            was, now = home.ledger.run(one["run"]), home.ledger.run(two["run"])
            if was and now:
                lines += [f"    {line}" for line in keys.differences(was["parts"], now["parts"])]
                lines += [f"    {line}" for line in _numbers(home, one["run"], two["run"])]
    result.sections["steps"] = lines
    return result


def _what(step: Record) -> str:
    return (step.get("artifact") or step.get("status") or "(none)")[:12]


def _diff_runs(home: Home, a: Record, b: Record) -> Difference:
    result = Difference(a["id"], b["id"])
    result.sections["key"] = keys.differences(a["parts"], b["parts"])
    result.sections["numbers"] = _numbers(home, a["id"], b["id"])
    return result


def _numbers(home: Home, a: str, b: str) -> list[str]:
    """Metrics and scores that differ, single values only."""
    old, new = ({m["name"]: m["value"] for m in home.ledger.metrics(r) if m["point"] == 0} for r in (a, b))
    return [
        f"{n}: {old.get(n, '(none)')} -> {new.get(n, '(none)')}"
        for n in sorted({*old, *new})
        if old.get(n) != new.get(n)
    ]


def _diff_artifacts(home: Home, a: str, b: str, made_by: Sequence[str]) -> Difference:
    result = Difference(a, b)
    old, new = home.store.open(a, Artifact).manifest, home.store.open(b, Artifact).manifest
    if old["kind"] != new["kind"]:
        result.sections["kind"] = [f"{old['kind']} -> {new['kind']}"]
    lines = []
    for part in sorted({*old["parts"], *new["parts"]}):
        one, two = old["parts"].get(part), new["parts"].get(part)
        if one and two and one["sha256"] != two["sha256"]:
            shared = len({f["sha256"] for f in one["files"].values()} & {f["sha256"] for f in two["files"].values()})
            lines.append(
                f"{part}: {one['bytes']} -> {two['bytes']} bytes, {shared} of {len(two['files'])} files shared"
            )
        elif not one or not two:
            lines.append(f"{part}: {'only in ' + (a if one else b)[:12]}")
    result.sections["parts"] = lines
    found = [run or next((m["id"] for m in home.ledger.makers(x)), "") for x, run in zip((a, b), made_by, strict=True)]
    if found[0] != found[1]:
        was, now = (home.ledger.run(run) for run in found)
        if was and now:
            result.sections["made by"] = keys.differences(was["parts"], now["parts"])
            result.sections["numbers"] = _numbers(home, was["id"], now["id"])
    return result
