"""Recipes within recipes: a step that uses another recipe's file stands for that recipe's steps.

    steps:
      corpus: {use: clean-corpus.yaml, raw: $raw, threshold: 0.7}

Its steps are put in under its name (`corpus.dedup`). `inputs: [raw]` in the inner recipe says which references it takes
from outside; the other keys change its settings. `$corpus` is the inner recipe's `result:`, or its last step;
`$corpus.dedup` is any step of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loomwork.core.errors import RecipeError, did_you_mean
from loomwork.core.lined_yaml import Lined, load_lined

SUFFIXES = (".yaml", ".yml")


@dataclass
class Names:
    """What `$name` may mean in one recipe file.

    Args:
        steps: local step name -> full name, results of inner recipes included.
        inputs: names taken from outside -> (full step name, part), or text that is no step.
        settings: values.
    """

    steps: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Scope:
    """One step as it is written, with what names mean there.

    Args:
        lined: the file that it stands in.
        local: its name there.
        names: what `$name` means there.
    """

    lined: Lined
    local: str
    names: Names

    @classmethod
    def top(cls, scopes: dict[str, Scope], lined: Lined) -> Scope:
        """The scope of the recipe itself, for its gate and names."""
        return cls(lined, "", next(s.names for s in scopes.values() if s.lined is lined) if scopes else Names())

    @property
    def at(self) -> tuple[str, ...]:
        return ("steps", self.local)

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lined.value["steps"][self.local]
        return found

    def error(self, what: str, hint: str = "", *inner: str) -> RecipeError:
        """An error that points at this step, or at one of its keys."""
        return self.lined.error(what, hint, (*self.at, *inner) if self.local else inner)

    def step(self, name: str) -> tuple[str, str] | None:
        """(full step name, part) of a local step or of an input from outside."""
        if name in self.names.steps:
            return self.names.steps[name], ""
        given = self.names.inputs.get(name)
        return given if isinstance(given, tuple) else None

    def setting(self, name: str) -> Any:
        """The value of a setting, or the text of an input from outside that is no step."""
        if name in self.names.settings:
            return self.names.settings[name]
        given = self.names.inputs.get(name)
        return None if isinstance(given, tuple) else given

    def targets(self) -> list[str]:
        return [*self.names.steps, *self.names.inputs, *self.names.settings]

    def substitute(self, value: Any, key: str) -> Any:
        """A setting's value with `$name` replaced by the value of that setting of the recipe."""
        if isinstance(value, list):
            return [self.substitute(v, key) for v in value]
        if isinstance(value, dict):
            return {k: self.substitute(v, key) for k, v in value.items()}
        if not (isinstance(value, str) and value.startswith("$")):
            return value
        name = value[1:]
        if name in self.names.settings:
            return self.names.settings[name]
        if self.step(name.partition("/")[0]):
            what = f"step {self.local!r}: {key} is a setting, and {value} is the result of a step"
            raise self.error(what, "a step's results can only be inputs", key)
        what = f"step {self.local!r}: {key}: {value} is no setting of the recipe"
        raise self.error(what, did_you_mean(name, self.names.settings), key)


def expand(lined: Lined, check: Callable[[Lined], None]) -> dict[str, Scope]:
    """All steps of a recipe by full name, inner recipes expanded.

    Args:
        lined: the outermost recipe.
        check: refuses a file that is no recipe.

    Raises:
        RecipeError: a recipe uses itself, or an inner one is not given what it needs.
    """
    scopes: dict[str, Scope] = {}
    settings = lined.value.get("settings") or {}
    _expand(lined, "", Names(settings=settings), check, scopes, [str(Path(lined.file).resolve())])
    return scopes


def _expand(
    lined: Lined, prefix: str, names: Names, check: Callable[[Lined], None], scopes: dict[str, Scope], files: list[str]
) -> str:
    """Add the steps of one recipe. Returns the full name of its result."""
    _refuse_double_names(lined, names)
    inner: list[str] = []
    for local, spec in lined.value["steps"].items():
        names.steps[local] = prefix + local
        if spec["use"].endswith(SUFFIXES):
            inner.append(local)
    for local in lined.value["steps"]:
        scope = Scope(lined, local, names)
        if local in inner:
            before = set(scopes)
            names.steps[local] = _inner(scope, prefix + local + ".", check, scopes, files)
            names.steps |= {full.removeprefix(prefix): full for full in scopes if full not in before}
        else:
            scopes[prefix + local] = scope
    result = lined.value.get("result")
    if result:
        target = str(result).removeprefix("$")
        if target not in names.steps:
            raise lined.error(f"result: {result} is no step", did_you_mean(target, names.steps), ("result",))
        return names.steps[target]
    return names.steps[list(lined.value["steps"])[-1]]


def _inner(
    scope: Scope, prefix: str, check: Callable[[Lined], None], scopes: dict[str, Scope], files: list[str]
) -> str:
    spec = scope.spec
    path = Path(scope.lined.file).parent / spec["use"]
    if str(path.resolve()) in files:
        circle = " -> ".join(Path(f).name for f in [*files, str(path)])
        raise scope.error(f"step {scope.local!r}: recipes use each other in a circle: {circle}", "", "use")
    lined = load_lined(path)
    check(lined)
    wanted = [str(n) for n in lined.value.get("inputs") or []]
    settings = dict(lined.value.get("settings") or {})
    names = Names(settings=settings)
    for key, value in spec.items():
        if key in wanted:
            names.inputs[key] = _outer(scope, key, value)
        elif key in settings:
            settings[key] = scope.substitute(value, key)
        elif key != "use":
            what = f"step {scope.local!r}: {spec['use']} has no input or setting {key!r}"
            raise scope.error(what, did_you_mean(key, [*wanted, *settings]), key)
    missing = [n for n in wanted if n not in names.inputs]
    if missing:
        raise scope.error(
            f"step {scope.local!r}: {spec['use']} needs the input {missing[0]!r}", f"add {missing[0]}: $step"
        )
    return _expand(lined, prefix, names, check, scopes, [*files, str(path.resolve())])


def _outer(scope: Scope, key: str, value: Any) -> Any:
    """What an input of an inner recipe is outside: (full step, part), or the text of a name, an id or a path."""
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    target, _, part = value[1:].partition("/")
    found = scope.step(target)
    if found:
        return found[0], part or found[1]
    if scope.setting(target) is not None:
        return scope.setting(target)
    raise scope.error(
        f"step {scope.local!r}: {key}: {value} refers to nothing", did_you_mean(target, scope.targets()), key
    )


def _refuse_double_names(lined: Lined, names: Names) -> None:
    for local in lined.value["steps"]:
        if local in names.settings or local in names.inputs:
            what = f"${local} could be the step or the {'setting' if local in names.settings else 'input'} of that name"
            raise lined.error(what, "rename one of them", ("steps", local))
