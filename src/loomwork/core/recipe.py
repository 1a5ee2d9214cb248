"""Recipes: YAML, or a Python dict of the same shape, checked whole before the first step runs.

    recipe: docs
    settings: {seed: 7}
    steps:
      raw:   {use: data.read, path: corpus/*.jsonl}
      split: {use: data.split, data: $raw, seed: $seed}
    gate: $verdict
    name: {docs@champion: $model}

An input is `$step`, `$step/part`, `name@label`, an artifact id, or a path of files that `data.read` reads. In a
setting, `$word` stands for a value of `settings:`; `$$word` is the text "$word". `$word@label` is the name that the
setting gives.

`use: other.yaml` takes in the steps of another recipe as `sub.step`. Its `inputs:` and `settings:` are the keys of
the call, `$sub` is its `result:` (or its last step) and `$sub.step` any step. Its gates count; its `name:`, `report:`
and `ask:` are for when it runs alone.
"""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loomwork.core.artifact import digest
from loomwork.core.errors import InputError, RecipeError, did_you_mean
from loomwork.core.recipe_faults import Faults
from loomwork.core.recipe_parts import check_parts
from loomwork.core.recipe_scope import NAME, Reference, Scope, read_recipe
from loomwork.core.recipe_settings import checked_settings
from loomwork.core.recipe_yaml import Tree, from_python, plain_value
from loomwork.core.step import Input, Step, find_step

__all__ = ["Recipe", "Reference", "StepCall", "load_recipe"]
READ = "data.read"  # reads the files of an input that is a path
TOKENIZER = "tokenizer.json"
ADAPTER = "adapter_config.json"  # of peft
TAKE = "train.base"  # takes the folder of a model in, where an input is one
TAKE_TOKENIZER = "train.read_tokenizer"


@dataclass(frozen=True)
class StepCall:
    """One step of a recipe, ready to be run when its inputs are.

    Args:
        name: its name in the recipe.
        use: the public name of the step.
        inputs: by role: a Reference, a list or dict of them, or None.
        settings: all of them, validated, as JSON values.
        line: where it stands in the recipe's file.
    """

    name: str
    use: str
    step: Step
    inputs: dict[str, Any]
    settings: dict[str, Any]
    line: int = 0

    def references(self) -> Iterator[tuple[str, Reference]]:
        """Its inputs one by one, with their roles: "data", "models.naive" of several by name, "parts.0" of a list."""
        for role, value in self.inputs.items():
            if isinstance(value, Reference):
                yield role, value
            elif isinstance(value, dict):
                yield from ((f"{role}.{name}", one) for name, one in value.items())
            elif value is not None:
                yield from ((f"{role}.{i}", one) for i, one in enumerate(value))


@dataclass(frozen=True)
class Recipe:
    """A recipe that has been checked.

    Args:
        steps: in an order in which each comes after what it needs.
        gates: the steps whose verdicts decide.
        names: what each `name@label` shall point at if they pass.
        report: where to write the report, or None.
        ask: questions to ask at the end.
        text: digest of the recipe as it was written.
    """

    name: str
    settings: dict[str, Any]
    steps: dict[str, StepCall]
    gates: list[str] = field(default_factory=list)
    names: dict[str, Reference] = field(default_factory=dict)
    report: str | None = None
    ask: list[str] = field(default_factory=list)
    file: str = ""
    text: str = ""

    def until(self, wanted: Iterable[str]) -> Recipe:
        """The same up to some of its steps, with all that they need: no gate decides, and no name moves.

        Raises:
            InputError: there is no such step.
        """
        left, kept = list(wanted), set[str]()
        while left:
            name = left.pop()
            if name not in self.steps:
                raise InputError(f"there is no step {name!r} in the recipe", did_you_mean(name, list(self.steps)))
            if name not in kept:
                kept.add(name)
                left += [r.target for _, r in self.steps[name].references() if r.kind == "step"]
        steps = {name: call for name, call in self.steps.items() if name in kept}
        return replace(self, steps=steps, gates=[], names={}, report=None, ask=[])


def load_recipe(
    source: str | Path | Mapping[str, Any], settings: Mapping[str, Any] | None = None, *, file: str = ""
) -> Recipe:
    """Read and check a recipe. Nothing is run.

    Args:
        source: a YAML file, or the same as a dict.
        settings: overrides: {"seed": 8} of `settings:`, {"steps.split.holdout": 0.2} of a step's own.
        file: for a dict, the file that its messages name and its sub-recipes are relative to.

    Raises:
        RecipeError: it cannot run; says why, with file and line, and tells all faults that can be found at once.
    """
    if isinstance(source, Mapping):
        tree, text = from_python(source, file), digest(repr(source))
    else:
        tree, text = read_recipe(Path(source))
        file = str(source)
    changes = {k: v for k, v in (settings or {}).items() if k.startswith("steps.")}
    own = {k: v for k, v in (settings or {}).items() if k not in changes}
    with Faults(file) as faults:
        return _checked(Scope(tree, file, settings=own, changes=changes, faults=faults), text)


def _checked(scope: Scope, text: str) -> Recipe:
    """The recipe of a scope. Its faults are in the scope's; where there are any, it is not to be used."""
    tree, file, faults = scope.tree, scope.file, scope.faults
    if scope.inputs:
        hint = (
            "it is for use in another recipe: {use: "
            + (Path(file).name or "recipe.yaml")
            + f", {scope.inputs[0]}: $step}}"
        )
        raise scope.tree.error(f"this recipe needs {', '.join(scope.inputs)}", hint, "inputs")
    _check_changes(scope)
    calls: dict[str, StepCall] = {}
    trees: dict[str, Tree] = {}
    for around, name, keys in scope.all():
        with faults.caught():
            for call in _calls(around, name, keys):
                calls[call.name], trees[call.name] = call, keys
    _check_kinds(calls, trees, faults)
    check_parts(calls, trees, faults)
    if not faults.found:
        _check_settings(calls, trees, faults)
    steps = calls
    with faults.caught():
        steps = _in_order(calls, trees)
    return Recipe(
        name=str(plain_value(tree.get("recipe")) or (Path(file).stem if file else "recipe")),
        settings=scope.settings,
        steps=steps,
        gates=[gate for found in _scopes(scope) for gate in _gates(found, steps)],
        names=_names(scope),
        report=str(tree["report"]) if tree.get("report") else None,
        ask=_questions(scope),
        file=file,
        text=text,
    )


def _check_changes(scope: Scope) -> None:
    known = {f"steps.{s.prefix}{name}" for s in _scopes(scope) for name in (*s.calls, *s.broken)}
    for key in scope.changes:
        step = key.rpartition(".")[0]
        if step not in known:
            scope.faults.add(RecipeError(f"--set {key}: there is no such step", did_you_mean(step, known), scope.file))


def _scopes(scope: Scope) -> Iterator[Scope]:
    yield scope
    for sub in scope.subs.values():
        yield from _scopes(sub)


# -- one call


def _calls(scope: Scope, name: str, keys: Tree) -> Iterator[StepCall]:
    """The call of a step, after those that read the files of its inputs."""
    full = scope.prefix + name
    try:
        step = find_step(keys["use"])
    except InputError as error:
        raise keys.error(f"step {full!r}: {error.what}", error.hint, "use") from None
    except Exception as error:  # the user's module may raise anything when it is imported
        what = f"step {full!r}: {keys['use']} cannot be imported: {type(error).__name__}: {error}"
        raise keys.error(what, "", "use") from error
    known = [*step.inputs, *step.settings]
    for key in keys:
        if key != "use" and key not in known:
            what = f"step {full!r}: {step.name} has no input or setting {key!r}"
            scope.faults.add(keys.error(what, did_you_mean(key, known), key))
    inputs: dict[str, Any] = {}
    readers: list[StepCall] = []
    for role, wanted in step.inputs.items():
        with scope.faults.caught():
            value = _given(scope, full, keys, wanted, step)
            inputs[role] = _with_readers(value, wanted, f"{full}.{role}", keys, role, readers, scope.faults)
    yield from readers
    yield StepCall(full, step.name, step, inputs, _settings(scope, full, keys, step), keys.line)


def _given(scope: Scope, full: str, keys: Tree, wanted: Input, step: Step) -> Any:
    """The references of one parameter, in the shape that it has."""
    role, value = wanted.name, keys.get(wanted.name)
    if value is None or plain_value(value) is None:
        if wanted.shape == "optional" or step.signature.parameters[role].default is None:
            return None
        raise keys.error(f"step {full!r}: {step.name} needs the input {role!r}", f"{role}: $step", role)
    if wanted.shape == "dict":
        if not isinstance(value, Mapping):
            raise keys.error(f"step {full!r}: {role} takes several by name", f"{role}: {{a: $step, b: $other}}", role)
        return {inner: scope.reference(keys, role, v) for inner, v in value.items()}
    if wanted.shape == "list":
        return [scope.reference(keys, role, v) for v in (value if isinstance(value, list) else [value])]
    if isinstance(value, list | Mapping):
        raise keys.error(f"step {full!r}: {role} takes one artifact, not several", f"{role}: $step", role)
    return scope.reference(keys, role, value)


def _with_readers(
    value: Any, wanted: Input, name: str, keys: Tree, role: str, readers: list[StepCall], faults: Faults
) -> Any:
    """The same references, each path replaced by a step that reads it."""
    if isinstance(value, list):
        return [_with_readers(v, wanted, f"{name}.{i}", keys, role, readers, faults) for i, v in enumerate(value)]
    if isinstance(value, dict):
        return {n: _with_readers(v, wanted, f"{name}.{n}", keys, role, readers, faults) for n, v in value.items()}
    if value is None or value.kind != "path":
        return value
    use, path = _reader(value.target, wanted, keys, role)
    reader = Tree({"use": use, "path": path}, keys.file, keys.line_of(role))
    step = find_step(use)
    checked = checked_settings(name, reader, step, {"path": path}, faults)
    readers.append(StepCall(name, step.name, step, {}, checked, reader.line))
    return replace(value, kind="step", target=name)


def _reader(target: str, wanted: Input, keys: Tree, role: str) -> tuple[str, str]:
    """The step that reads a path for an input, and the path for it.

    Files are data, a model's folder is a model, and so is an adapter's; a tokenizer may lie alone.
    """
    kind, folder = wanted.type.kind, Path(target).expanduser()
    if kind == "dataset":
        return READ, target
    if folder.name == TOKENIZER and folder.is_file():
        folder = folder.parent
    if (folder / TOKENIZER).is_file() and kind == "tokenizer":
        return TAKE_TOKENIZER, str(folder)
    if (folder / "config.json").is_file() and (kind == "model" or (folder / TOKENIZER).is_file()):
        return TAKE, str(folder)
    if kind == "model" and (folder / ADAPTER).is_file():
        return TAKE, str(folder)
    if (folder / TOKENIZER).is_file() and not kind:
        return TAKE_TOKENIZER, str(folder)
    if kind == "model" and folder.is_dir():
        hint = f"give the folder of a whole model: config.json, its weights and {TOKENIZER}"
        raise keys.error(f"{role} is {target}, a folder that has no config.json", hint, role)
    if kind:
        hint = "give an artifact's id, or a step that makes one" + (
            f", as {TAKE} of a model's folder does" if kind == "model" else ""
        )
        raise keys.error(f"{role} needs a {kind}, and {target} is a path", hint, role)
    return READ, target


def _settings(scope: Scope, full: str, keys: Tree, step: Step) -> dict[str, Any]:
    given: dict[str, Any] = {}
    written = [key for key in step.settings if key in keys]
    for key in written:
        with scope.faults.caught():
            given[key] = scope.value(full, keys, key, keys[key])
    unread = [key for key in written if key not in given]
    return checked_settings(full, keys, step, given, scope.faults, unread)


# -- all calls together


def _check_kinds(calls: Mapping[str, StepCall], trees: Mapping[str, Tree], faults: Faults) -> None:
    for call in calls.values():
        for full, reference in call.references():
            role = full.partition(".")[0]
            wanted = call.step.inputs[role].type.kind
            maker = calls.get(reference.target) if reference.kind == "step" else None
            made = maker.step.makes if maker else wanted  # of a step that has faults of its own, nothing is known
            if wanted and made != wanted:
                what = f"step {call.name!r}: {role} needs a {wanted}, and {reference} makes a {made}"
                fitting = ", ".join(f"${n}" for n, c in calls.items() if c.step.makes == wanted and n != call.name)
                hint = f"these make one: {fitting}" if fitting else f"no step here makes a {wanted}"
                faults.add(trees[call.name].error(what, hint, role))


def _check_settings(calls: Mapping[str, StepCall], trees: Mapping[str, Tree], faults: Faults) -> None:
    """Ask each step whether its settings go together, and with the inputs that it is given."""
    for call in calls.values():
        if not call.step.checks:
            continue
        given = {role for role, reference in call.inputs.items() if reference is not None}
        try:
            call.step.checks(call.step.arguments(call.step.settings_model(**call.settings)), given)
        except InputError as error:
            faults.add(trees[call.name].error(f"step {call.name!r}: {error.what}", error.hint))


def _in_order(calls: dict[str, StepCall], trees: Mapping[str, Tree]) -> dict[str, StepCall]:
    """The calls so that each comes after what it needs, else as they are written."""
    needs = {
        name: [r.target for _, r in c.references() if r.kind == "step" and r.target in calls]
        for name, c in calls.items()
    }
    place = {name: i for i, name in enumerate(calls)}
    sorter = graphlib.TopologicalSorter(needs)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        what = "steps need each other in a circle: " + " -> ".join(circle)
        raise trees[circle[0]].error(what, "each waits for the one before it") from None
    order: list[str] = []
    ready: list[int] = []
    names = list(calls)
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, place[name])
        order.append(names[heapq.heappop(ready)])
        sorter.done(order[-1])
    return {name: calls[name] for name in order}


def _gates(scope: Scope, steps: Mapping[str, StepCall]) -> list[str]:
    given = scope.tree.get("gate") or []
    gates = []
    for text in given if isinstance(given, list) else [given]:
        with scope.faults.caught():
            found = scope.step_reference(scope.tree, "gate", str(text))
            if found.kind == "step" and found.target not in steps:
                continue  # a step that has faults of its own
            if found.kind != "step" or steps[found.target].step.makes != "verdict":
                made = f"makes a {steps[found.target].step.makes}" if found.kind == "step" else "is not a step"
                fitting = [f"${n}" for n, c in steps.items() if c.step.makes == "verdict"]
                hint = f"these do: {', '.join(fitting)}" if fitting else "evals.compare makes one"
                raise scope.tree.error(f"gate: {text} {made}, and a gate needs a verdict", hint, "gate")
            gates.append(found.target)
    return gates


def _names(scope: Scope) -> dict[str, Reference]:
    names = scope.mapping("name")
    found = {}
    for key, text in names.items():
        with scope.faults.caught():
            name = scope.labelled(names, key, key)
            match = NAME.fullmatch(name)
            if not match or match[2]:
                raise names.error(f"name: {name!r} is not a name", "write name@label, as in docs@champion", key)
            reference = scope.reference(names, key, text)
            if reference.kind == "path" or reference.part:
                raise names.error(f"name: {name} needs a whole artifact, not {reference}", "write $step", key)
            found[name] = reference
    return found


def _questions(scope: Scope) -> list[str]:
    asked = plain_value(scope.tree.get("ask")) or []
    return [str(q) for q in (asked if isinstance(asked, list) else [asked])]
