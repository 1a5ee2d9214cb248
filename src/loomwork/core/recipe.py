"""A recipe: steps wired together, with gates and names at the end; checked whole before the first step runs.

    recipe: docs-search
    settings: {seed: 7}
    steps:
      raw:   {use: data.read, path: corpus/*.jsonl}
      split: {use: data.split, data: $raw, holdout: 0.1, seed: $seed}
    gate: $verdict
    name: {docs-search@champion: $small}

A dict of the same shape is a recipe too. What a reference may be: `$step`, `$step/part`, `name@label`, an artifact id
or its first 8 letters or more, or a path to files, which is short for a step that reads them. In the place of a
setting, `$name` is a value of `settings:`. A step may `use:` another recipe's file: see core/subrecipe.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loomwork.core.errors import InputError, LoomError, RecipeError, did_you_mean
from loomwork.core.files import list_files
from loomwork.core.lined_yaml import Lined, load_lined
from loomwork.core.step import Files, Input, Names, Step, find_step
from loomwork.core.subrecipe import Scope, expand

KEYS = ("recipe", "settings", "inputs", "steps", "result", "gate", "name", "report", "ask")
# What reads files where an input of this kind is given as a path: (step, the setting that takes it).
READERS = {"dataset": ("data.read", "path"), "model": ("train.base", "path")}
NAME = re.compile(r"[\w.-]+@[\w.-]+")
ARTIFACT_ID = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Reference:
    """What a step reads.

    Args:
        kind: "step" (of this recipe), "name" (name@label) or "artifact" (an id, or its beginning).
        target: the step's name, the name with its label, or the id.
        part: the one part that is read, "" for all.
    """

    kind: Literal["step", "name", "artifact"]
    target: str
    part: str = ""

    def __str__(self) -> str:
        return ("$" if self.kind == "step" else "") + self.target + (f"/{self.part}" if self.part else "")


@dataclass(frozen=True)
class StepCall:
    """One step of a recipe.

    Args:
        name: in the recipe.
        use: the step's public name.
        step: what it says of itself.
        inputs: by parameter: Reference, list or dict of them, or None.
        settings: validated, as JSON values, defaults filled in.
        line: where it stands.
    """

    name: str
    use: str
    step: Step
    inputs: dict[str, Any]
    settings: dict[str, Any]
    line: int = 0


@dataclass(frozen=True)
class Recipe:
    """A recipe that can run. `steps` is in an order in which each comes after what it reads."""

    name: str
    settings: dict[str, Any]
    steps: dict[str, StepCall]
    gates: list[str] = field(default_factory=list)
    names: dict[str, Reference] = field(default_factory=dict)
    report: str = ""
    ask: list[str] = field(default_factory=list)
    file: str = ""
    text: str = ""


def load_recipe(source: str | Path | Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Recipe:
    """Read and check a recipe.

    Args:
        source: a YAML file, or a dict of the same shape.
        settings: changes: of a recipe's setting ("seed"), or of one of a step ("steps.split.holdout").

    Raises:
        RecipeError: anything that can be seen to be wrong before the first step, with file and line.
    """
    if isinstance(source, Mapping):
        lined = Lined(json.loads(json.dumps(source, default=str)))
        text = json.dumps(lined.value, sort_keys=True)
    else:
        lined = load_lined(Path(source))
        text = Path(source).read_text("utf-8")
    check_shape(lined)
    override(lined, dict(settings or {}))
    if lined.value.get("inputs"):
        raise lined.error(
            "this recipe has `inputs:`, so it cannot run alone", "use it as a step of another recipe", ("inputs",)
        )
    scopes = expand(lined, check_shape)
    calls: dict[str, StepCall] = {}
    for full, scope in scopes.items():
        for call in _calls(full, scope):
            calls[call.name] = call
    _check_kinds(calls, scopes)
    top = Scope.top(scopes, lined)
    return Recipe(
        name=str(lined.value["recipe"]),
        settings=lined.value.get("settings") or {},
        steps=in_order(calls, scopes),
        gates=_gates(top, calls),
        names=_names(top, calls),
        report=str(lined.value.get("report") or ""),
        ask=[str(q) for q in lined.value.get("ask") or []],
        file=lined.file,
        text=text,
    )


def check_shape(lined: Lined) -> None:
    """Refuse what is no recipe at all: wrong types at the top, unknown keys, steps that are no mappings.

    Raises:
        RecipeError: says where.
    """
    value = lined.value
    if not isinstance(value, dict):
        raise lined.error("a recipe is a mapping with `recipe:` and `steps:`", "see recipes/quickstart.yaml")
    for key in value:
        if key not in KEYS:
            raise lined.error(f"unknown key {key!r}", did_you_mean(key, KEYS), (key,))
    if not value.get("recipe"):
        raise lined.error("a recipe needs a name", "begin it with `recipe: my-recipe`")
    for key, kind in (("settings", dict), ("steps", dict), ("name", dict), ("ask", list), ("inputs", list)):
        if value.get(key) is not None and not isinstance(value[key], kind):
            raise lined.error(f"`{key}:` is a {'mapping' if kind is dict else 'list'}", "", (key,))
    if not value.get("steps"):
        raise lined.error("a recipe needs steps", "steps: {raw: {use: data.read, path: corpus/*.jsonl}}", ("steps",))
    for name, step in value["steps"].items():
        if not isinstance(step, dict) or not isinstance(step.get("use"), str):
            raise lined.error(
                f"step {name!r} does not say what it uses", "write it as {use: data.clean, ...}", ("steps", name)
            )
        if not re.fullmatch(r"[\w-]+", name):
            raise lined.error(f"{name!r} is no name for a step", "letters, digits, - and _", ("steps", name))


def override(lined: Lined, settings: dict[str, Any]) -> None:
    """Put changes of settings in their places.

    Raises:
        RecipeError: there is no such setting or step.
    """
    known = lined.value.get("settings") or {}
    steps = lined.value["steps"]
    for key, value in settings.items():
        pieces = key.split(".")
        if key in known:
            known[key] = value
        elif len(pieces) == 3 and pieces[0] == "steps" and pieces[1] in steps:
            steps[pieces[1]][pieces[2]] = value
        else:
            choices = [*known, *(f"steps.{s}.{k}" for s, call in steps.items() for k in call if k != "use")]
            raise RecipeError(f"the recipe has no setting {key!r}", did_you_mean(key, choices), lined.file)


def _calls(full: str, scope: Scope) -> list[StepCall]:
    """The call of one step, after those that read files for it."""
    spec, at = scope.spec, scope.at
    use = spec["use"]
    try:
        step = find_step(use)
    except InputError as error:
        raise scope.error(f"step {scope.local!r}: {error.what}", error.hint, "use") from None
    known = ["use", *step.inputs, *step.settings]
    for key in spec:
        if key not in known:
            what = f"step {scope.local!r}: {use} has no input or setting {key!r}"
            raise scope.error(what, did_you_mean(key, known[1:]), key)
    inputs: dict[str, Any] = {}
    readers: list[StepCall] = []
    for role, wanted in step.inputs.items():
        inputs[role], more = _input(full, scope, use, wanted, step)
        readers += more
    settings = _settings(scope, step)
    line = scope.lined.line(*at)
    return [*readers, StepCall(full, step.name, step, inputs, settings, line)]


def _input(full: str, scope: Scope, use: str, wanted: Input, step: Step) -> tuple[Any, list[StepCall]]:
    """The references of one parameter, and the steps that read files for them."""
    role, given = wanted.name, scope.spec.get(wanted.name)
    readers: list[StepCall] = []

    def one(text: Any, *inner: str | int) -> Reference:
        if not isinstance(text, str):
            raise scope.error(
                f"step {scope.local!r}: {role} takes {_of_kind(wanted)}, not {text!r}",
                "give $step, name@label, an artifact id or a path",
                role,
            )
        name = ".".join([full, role, *map(str, inner)])
        found = reference(scope, text, wanted, role, name)
        if isinstance(found, StepCall):
            readers.append(found)
            return Reference("step", found.name)
        return found

    if given is None:
        if step.signature.parameters[role].default is step.signature.empty and wanted.shape != "optional":
            raise scope.error(
                f"step {scope.local!r}: {use} needs the input {role!r}, {_of_kind(wanted)}", f"add {role}: $step"
            )
        return None, []
    if wanted.shape == "dict":
        if not isinstance(given, dict):
            raise scope.error(f"step {scope.local!r}: {role} is a mapping of names to {wanted.type.kind}s", "", role)
        return {name: one(text, name) for name, text in given.items()}, readers
    if wanted.shape == "list":
        return [one(text, i) for i, text in enumerate(given if isinstance(given, list) else [given])], readers
    return one(given), readers


def reference(scope: Scope, text: str, wanted: Input | None, role: str, reader: str = "") -> Reference | StepCall:
    """What a text in the place of an input means.

    Args:
        wanted: the parameter, None where only a step or a name will do.
        reader: the name that a step would have that reads a path.

    Raises:
        RecipeError: it means nothing.
    """
    if text.startswith("$"):
        target, _, part = text[1:].partition("/")
        found = scope.step(target)
        if found:
            name, inner = found
            return Reference("step", name, part or inner)
        outer = scope.setting(target)
        if outer is not None:
            return reference(scope, str(outer), wanted, role, reader)
        raise scope.error(
            f"step {scope.local!r}: {text} refers to nothing", did_you_mean(target, scope.targets()), role
        )
    target, _, part = text.partition("/")
    if NAME.fullmatch(target):
        return Reference("name", target, part)
    if ARTIFACT_ID.fullmatch(target) and not Path(text).exists():
        return Reference("artifact", target, part)
    if wanted is None or wanted.type.kind not in READERS:
        raise scope.error(
            f"step {scope.local!r}: {text!r} is no reference", "give $step, name@label or an artifact id", role
        )
    use, setting = READERS[wanted.type.kind]
    step = find_step(use)
    _check_files(scope, role, text, step.marker(setting, Files))
    model = step.settings_model(**{setting: text})
    return StepCall(reader, use, step, {}, model.model_dump(mode="json"), scope.lined.line(*scope.at))


def _settings(scope: Scope, step: Step) -> dict[str, Any]:
    """The settings of a step: `$name` put in, types checked, defaults filled in."""
    from pydantic import ValidationError

    given = {k: scope.substitute(v, k) for k, v in scope.spec.items() if k != "use" and k not in step.inputs}
    try:
        settings: dict[str, Any] = step.settings_model(**given).model_dump(mode="json")
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if fault["type"] == "missing":
            raise scope.error(
                f"step {scope.local!r}: {step.name} needs the setting {key!r}", f"add {key}: ..."
            ) from None
        what = f"step {scope.local!r}: {key} is {given.get(key)!r}: {fault['msg'][0].lower() + fault['msg'][1:]}"
        raise scope.error(what, f"loom steps {step.name} shows its settings", key) from None
    for key in given:
        marker = step.marker(key, Files)
        if marker and settings[key] is not None:
            for path in settings[key] if isinstance(settings[key], list) else [settings[key]]:
                _check_files(scope, key, path, marker)
        names = step.marker(key, Names)
        if names and settings[key] is not None:
            _check_names(scope, key, settings[key], names)
    return settings


def _check_files(scope: Scope, key: str, path: str, marker: Files | None) -> None:
    try:
        list_files(path, marker)
    except InputError as error:
        raise scope.error(f"step {scope.local!r}: {key}: {error.what}", error.hint, key) from None


def _check_names(scope: Scope, key: str, value: Any, names: Names) -> None:
    from loomwork.core.fingerprint import object_parts

    for one in value if isinstance(value, list) else [value]:
        try:
            object_parts(names.package, one)
        except LoomError as error:
            raise scope.error(f"step {scope.local!r}: {key}: {error.args[0]}", error.args[1], key) from None


def _of_kind(wanted: Input) -> str:
    kind = wanted.type.kind or "artifact"
    return {"list": f"a list of {kind}s", "dict": f"a mapping of names to {kind}s"}.get(wanted.shape, f"a {kind}")


def _check_kinds(calls: dict[str, StepCall], scopes: dict[str, Scope]) -> None:
    """Every `$step` must make what is wanted where it is read."""
    for call in calls.values():
        for role, value in call.inputs.items():
            wanted = call.step.inputs[role].type.kind
            several = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            for one in several:
                if one is None or one.kind != "step" or not wanted:
                    continue
                makes = calls[one.target].step.makes
                if makes != wanted:
                    scope = scopes[call.name]
                    what = f"step {scope.local!r}: {role} needs a {wanted!r}, and {one} makes a {makes!r}"
                    fitting = [f"${n}" for n, c in calls.items() if c.step.makes == wanted]
                    raise scope.error(what, did_you_mean(str(one), fitting), role)


def in_order(calls: dict[str, StepCall], scopes: dict[str, Scope]) -> dict[str, StepCall]:
    """The calls, each after those that it reads; else in the order given.

    Raises:
        RecipeError: there is a cycle; it is named.
    """
    needs = {name: [r.target for r in references_of(call) if r.kind == "step"] for name, call in calls.items()}
    ordered: dict[str, StepCall] = {}
    for start in calls:
        path: list[str] = []
        todo = [(start, iter(needs[start]))] if start not in ordered else []
        path = [start] if todo else []
        while todo:
            name, rest = todo[-1]
            following = next((n for n in rest if n not in ordered), None)
            if following is None:
                ordered[name] = calls[name]
                todo.pop()
                path.pop()
            elif following in path:
                circle = [*path[path.index(following) :], following]
                raise scopes[following].error(f"steps need each other in a circle: {' -> '.join(reversed(circle))}")
            else:
                todo.append((following, iter(needs[following])))
                path.append(following)
    return ordered


def references_of(call: StepCall) -> list[Reference]:
    """All references of a call, those in lists and mappings included."""
    found: list[Reference] = []
    for value in call.inputs.values():
        found += value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return [r for r in found if r is not None]


def _gates(top: Scope, calls: dict[str, StepCall]) -> list[str]:
    given = top.lined.value.get("gate")
    gates = []
    for text in given if isinstance(given, list) else [given] if given else []:
        found = reference(top, str(text), None, "gate")
        assert isinstance(found, Reference)
        if found.kind != "step" or calls[found.target].step.makes != "verdict":
            verdicts = [f"${n}" for n, c in calls.items() if c.step.makes == "verdict"]
            raise top.lined.error(f"gate: {text} makes no verdict", did_you_mean(str(text), verdicts), ("gate",))
        gates.append(found.target)
    return gates


def _names(top: Scope, calls: dict[str, StepCall]) -> dict[str, Reference]:
    names = {}
    for name, text in (top.lined.value.get("name") or {}).items():
        if not NAME.fullmatch(name):
            raise top.lined.error(f"name: {name!r} needs a label", f"for example {name}@champion", ("name", name))
        found = reference(top, str(text), None, "name")
        assert isinstance(found, Reference)
        names[name] = found
    return names
