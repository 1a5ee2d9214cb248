"""What the words of a recipe mean: `$step`, `$setting`, names, artifacts, paths, and the steps of other recipes."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loomwork.core.artifact import digest
from loomwork.core.errors import RecipeError, did_you_mean
from loomwork.core.files import STANDARD_INPUT
from loomwork.core.recipe_faults import Faults
from loomwork.core.recipe_yaml import Tree, from_python, plain_value, read_tree
from loomwork.core.remote import is_url

KEYS = ("recipe", "settings", "inputs", "steps", "result", "gate", "name", "report", "ask")
Kind = Literal["step", "name", "artifact", "path"]
WORD = re.compile(r"[A-Za-z_][\w-]*")
STEP = re.compile(r"\$([A-Za-z_][\w.-]*)(?:/(.+))?")
SETTING = re.compile(r"\$([A-Za-z_][\w-]*)")
LABELLED = re.compile(r"\$([A-Za-z_][\w-]*)(@.*)")
NAME = re.compile(r"([\w.-]+@[\w.-]+)(?:/(.+))?")
ARTIFACT = re.compile(r"([0-9a-f]{8,64})(?:/(.+))?")


@dataclass(frozen=True)
class Reference:
    """What an input, a gate or a name points at.

    Args:
        kind: a step of this recipe, a movable name, or an artifact; `load_recipe` makes a step that reads of a path.
        target: the step's name, `name@label`, the id or its first letters, or the path.
        part: the chosen part, "" for all.
    """

    kind: Kind
    target: str
    part: str = ""

    def __str__(self) -> str:
        return ("$" if self.kind == "step" else "") + self.target + (f"/{self.part}" if self.part else "")


def read_recipe(path: Path) -> tuple[Any, str]:
    """A recipe file's tree, and the digest of its text."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        near = [str(path.parent / p.name) for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        near += [str(p) for p in Path("recipes").glob("*.yaml")]
        hint = did_you_mean(str(path), near, show=4) if near else ""
        raise RecipeError(f"cannot be read: {error.strerror}", hint or f"looked in {Path.cwd()}", path) from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 text: {error.reason} at byte {error.start}", "", path) from None
    return read_tree(text, str(path)), digest(text)


def outside(text: str) -> Reference | None:
    """The reference of `name@label`, an artifact's id, a path that is there, a glob or a URL; None of anything else."""
    patterns: dict[Kind, re.Pattern[str]] = {"artifact": ARTIFACT, "name": NAME}
    for kind, pattern in patterns.items():
        found = pattern.fullmatch(text)
        if found:
            return Reference(kind, found[1], found[2] or "")
    if text == STANDARD_INPUT or glob.has_magic(text) or is_url(text) or Path(text).expanduser().exists():
        return Reference("path", text)
    return None


class Scope:
    """One recipe's own names: its settings, its steps and, below it, the recipes that it uses.

    Args:
        tree: the recipe.
        file: its file, "" for a dict.
        prefix: what the names of its steps begin with ("sub.").
        call: the call that uses it, and the scope of that call.
        settings: overrides of `settings:`.
        changes: overrides of steps' own keys, by "steps.NAME.KEY".
        faults: hears what is wrong, and the rest is read.

    Attributes:
        broken: names of steps that are not known for what they are; a reference to one is no fault of its own.
    """

    def __init__(
        self,
        tree: Any,
        file: str,
        *,
        prefix: str = "",
        call: tuple[str, Tree, Scope] | None = None,
        settings: Mapping[str, Any] | None = None,
        changes: Mapping[str, Any],
        faults: Faults,
    ) -> None:
        if not isinstance(tree, Tree):
            raise RecipeError("a recipe is a mapping with `steps:`", "", file, 1)
        self.tree, self.file, self.prefix, self.call, self.changes = tree, file, prefix, call, changes
        self.faults, self.broken = faults, set[str]()
        for key in tree:
            if key not in KEYS:
                faults.add(tree.error(f"unknown key {key!r}", did_you_mean(key, KEYS), key))
        self.settings: dict[str, Any] = plain_value(self.mapping("settings"))
        inputs = plain_value(tree.get("inputs")) or []
        if not isinstance(inputs, list):
            raise tree.error("inputs: is a list of words", "inputs: [raw]", "inputs")
        self.inputs = [str(i) for i in inputs]
        self.calls = self._steps()
        for key, value in (settings or {}).items():
            if key not in self.settings:
                known = [*self.settings, *(f"steps.{n}." for n in self.calls)]
                what = f"--set {key}: the recipe has no such setting"
                faults.add(RecipeError(what, did_you_mean(key, known), file))
            self.settings[key] = value
        self.subs: dict[str, Scope] = {}
        for name, keys in self.calls.items():
            if _is_recipe(keys["use"]):
                self.broken.add(name)
                with faults.caught():
                    self.subs[name] = self._sub(name, keys)
                    self.broken.remove(name)
        for name in sorted({*self.inputs, *self.calls}):
            if name in self.settings or (name in self.inputs and name in self.calls):
                what = f"{name!r} stands for two things: ${name} cannot tell which"
                faults.add(tree.error(what, "rename one", "steps"))

    def mapping(self, key: str) -> Tree:
        value = self.tree.get(key)
        if value is None or value == "":
            value = Tree({}, self.tree.file, self.tree.line_of(key))
        if not isinstance(value, Tree):
            raise self.tree.error(f"{key}: must be a mapping", "", key)
        return value

    def _steps(self) -> dict[str, Tree]:
        steps = self.mapping("steps")
        if not steps:
            raise self.tree.error("the recipe has no steps", "steps: {raw: {use: data.read, path: ...}}", "steps")
        found = {}
        for name, keys in steps.items():
            fault = None
            if not WORD.fullmatch(name):
                fault = f"{name!r} cannot be the name of a step", "take letters, digits, _ and -"
            elif not isinstance(keys, Tree) or not isinstance(keys.get("use"), str) or not keys["use"]:
                fault = f"step {name!r} does not say which step to use", f"{name}: {{use: data.read}}"
            if fault:
                self.faults.add(steps.error(*fault, name))
                self.broken.add(name)
                continue
            changed = f"steps.{self.prefix}{name}."
            extra = {k[len(changed) :]: v for k, v in self.changes.items() if k.startswith(changed)}
            extra = {k: from_python(v) for k, v in extra.items() if "." not in k}
            found[name] = Tree({**keys, **extra}, keys.file, steps.line_of(name), keys.lines)
        return found

    def _sub(self, name: str, keys: Tree) -> Scope:
        path = Path(self.file).parent / keys["use"]
        around: Scope | None = self
        while around is not None:
            if around.file and Path(around.file).resolve() == path.resolve():
                raise keys.error(f"step {name!r}: {path} uses itself", "", "use")
            around = around.call[2] if around.call else None
        if not path.is_file():
            raise keys.error(f"step {name!r}: there is no recipe {path}", f"looked from {Path.cwd()}", "use")
        sub = Scope(
            read_recipe(path)[0],
            str(path),
            prefix=f"{self.prefix}{name}.",
            call=(name, keys, self),
            changes=self.changes,
            faults=self.faults,
        )
        for key, value in keys.items():
            if key == "use" or key in sub.inputs:
                continue
            if key not in sub.settings:
                known = [*sub.inputs, *sub.settings]
                what = f"step {name!r}: {path} has no input or setting {key!r}"
                self.faults.add(keys.error(what, did_you_mean(key, known), key))
                continue
            with self.faults.caught():
                sub.settings[key] = self.value(name, keys, key, value)
        for role in sub.inputs:
            if role not in keys:
                self.faults.add(keys.error(f"step {name!r}: {path} needs the input {role!r}", f"{role}: $step"))
                sub.broken.add(role)
        return sub

    def all(self) -> Iterator[tuple[Scope, str, Tree]]:
        """All steps, those of sub-recipes included, in the order in which they are written."""
        for name, keys in self.calls.items():
            if name in self.subs:
                yield from self.subs[name].all()
            elif name not in self.broken:
                yield self, name, keys

    def value(self, step: str, keys: Tree, key: str, value: Any) -> Any:
        """A setting's value, with `$setting` put in."""
        if isinstance(value, list):
            return [self.value(step, keys, key, v) for v in value]
        if isinstance(value, Mapping):
            return {k: self.value(step, keys, key, v) for k, v in value.items()}
        found = SETTING.fullmatch(value) if isinstance(value, str) else None
        if found and found[1] in self.settings:
            return self.settings[found[1]]
        if found:
            if found[1] in self.calls:
                raise keys.error(
                    f"step {step!r}: {key} is a setting, and {value} is the result of a step", "give it a value", key
                )
            raise keys.error(f"step {step!r}: {key}: no setting {value}", did_you_mean(found[1], self.settings), key)
        if isinstance(value, str) and value.startswith("$$"):
            return value[1:]
        return plain_value(value)

    def labelled(self, where: Tree, key: str, text: str) -> str:
        """`$setting@label` with the setting's value put in; any other text as it is."""
        found = LABELLED.fullmatch(text)
        if not found:
            return text
        if found[1] not in self.settings:
            raise where.error(f"{key}: no setting ${found[1]}", did_you_mean(found[1], self.settings), key)
        return f"{self.settings[found[1]]}{found[2]}"

    def step_reference(self, where: Tree, key: str, text: str) -> Reference:
        """The reference of `$step` or `$step/part`."""
        found = STEP.fullmatch(text)
        if not found:
            raise where.error(f"{key}: {text!r} is not a reference", "write $step or $step/part", key)
        target, part = found[1], found[2] or ""
        first, _, inner = target.partition(".")
        if first in self.broken:
            return Reference("step", self.prefix + target, part)
        if first in self.inputs and not inner and self.call:
            _, keys, around = self.call
            given = around.reference(keys, first, keys[first])
            return Reference(given.kind, given.target, part or given.part)
        if first in self.subs:
            sub = self.subs[first]
            return (
                sub.step_reference(where, key, f"${inner}" + (f"/{part}" if part else ""))
                if inner
                else sub.result(part)
            )
        if first in self.calls and not inner:
            return Reference("step", self.prefix + first, part)
        if first in self.settings:
            raise where.error(f"{key}: {text} is a setting, and a step is needed here", "", key)
        known = [*self.calls, *self.inputs]
        raise where.error(f"{key}: there is no step {target!r}", did_you_mean(target, known), key)

    def result(self, part: str) -> Reference:
        if self.broken:  # the last step, or the one that is named, may be among them
            return Reference("step", self.prefix.rstrip("."), part)
        text = str(self.tree.get("result") or f"${list(self.calls)[-1]}")
        if SETTING.fullmatch(text) and text[1:] in self.inputs:
            raise self.tree.error("result: must be a step of this recipe", "", "result")
        found = self.step_reference(self.tree, "result", text)
        return Reference(found.kind, found.target, part or found.part)

    def reference(self, where: Tree, key: str, text: Any) -> Reference:
        """The reference of `$step`, `name@label`, `$setting@label`, an artifact id or a path.

        Raises:
            RecipeError: it is none of these.
        """
        text = str(text) if isinstance(text, str | int) else text
        if not isinstance(text, str):
            raise where.error(f"{key}: {plain_value(text)!r} is not a reference", "write $step or name@label", key)
        text = self.labelled(where, key, text)
        if text.startswith("$"):
            return self.step_reference(where, key, text)
        found = outside(text)
        if found is not None:
            return found
        hint = "give a path that is there, name@label, an artifact's id, or in a recipe $step"
        if text.split("/")[0] in self.calls:
            hint = f"did you mean ${text}?"
        raise where.error(f"{key}: {text!r} is not a reference, and no such file", hint, key)


def _is_recipe(use: str) -> bool:
    return use.endswith((".yaml", ".yml"))
