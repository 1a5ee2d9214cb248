"""Settings that call code by name, each call with settings of its own: `rules: [c4, {length: {min_words: 50}}]`.

A function that is called so lies in a module of its own name. Its keyword-only parameters are its settings, checked
as a step's are; `Files` and `Names` mark them as they mark a step's.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.files import digest_files, list_files
from loomwork.core.fingerprint import object_parts
from loomwork.core.step import Calls, Files, Names, Step

Call = tuple[str, dict[str, Any]]  # the name of a function, and its settings


@dataclass(frozen=True)
class Callee(Step):
    """What the signature of a function says that a setting calls by name.

    Args:
        given: the parameters that the step gives, which are no settings.
        needs: distributions whose versions enter the cache key, from `USES` in its module.
    """

    given: tuple[str, ...] = ()
    needs: tuple[str, ...] = field(default=())

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Its parameters' types. What it returns is left out: that may need a library which is imported later."""
        hints = {n: h for n, h in self.function.__annotations__.items() if n != "return"}
        around = types.SimpleNamespace(__annotations__=hints, __globals__=self.function.__globals__)
        return typing.get_type_hints(around, include_extras=True)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its keyword-only parameters that the step does not give."""
        own = [n for n, p in self.signature.parameters.items() if p.kind is p.KEYWORD_ONLY and n not in self.given]
        return {n: self.signature.parameters[n] for n in own}


def callees(package: str) -> list[str]:
    """The names that a setting may call: the public modules of a package."""
    folder = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_"))


def find_callee(marker: Calls, name: str) -> Callee:
    """The function of that name, imported without importing any other.

    Raises:
        InputError: there is none; the nearest names are given.
    """
    known = callees(marker.package)
    if name not in known:
        raise InputError(f"there is no {marker.what} {name!r}", did_you_mean(name, known, show=30))
    module = importlib.import_module(f"{marker.package}.{name}")
    function: Callable[..., Any] = getattr(module, name)
    return Callee(function, makes="", name=name, given=marker.given, needs=tuple(getattr(module, "USES", ())))


def checked_calls(marker: Calls, values: Sequence[Any]) -> list[dict[str, dict[str, Any]]]:
    """The calls with all their settings, as JSON values: [{"length": {"min_words": 50, "max_words": None}}].

    Args:
        marker: where the functions lie.
        values: each a name, or {name: settings}.

    Raises:
        InputError: an unknown name or setting, or a value that does not fit; says which, and what would.
    """
    if not values:
        raise InputError(f"at least one {marker.what} is needed", "known: " + ", ".join(callees(marker.package)))
    return [{name: _validated(marker, name, given)} for name, given in (_split(marker, v) for v in values)]


def with_types(marker: Calls, call: Mapping[str, dict[str, Any]]) -> tuple[Callee, dict[str, Any]]:
    """One checked call: the function, and its settings with the types that its signature says.

    Raises:
        InputError: as for `checked_calls`.
    """
    name, given = _split(marker, call)
    callee = find_callee(marker, name)
    model = callee.settings_model(**_validated(marker, name, given))
    return callee, {setting: getattr(model, setting) for setting in callee.settings}


def without_paths(marker: Calls, values: Sequence[Any]) -> tuple[list[Any], bool]:
    """The calls with their paths left out, for the cache key, and whether there were any."""
    found, had = [], False
    for name, settings in (_split(marker, v) for v in values):
        paths = [s for s, _, _ in _paths(find_callee(marker, name), settings)]
        found.append({name: {s: v for s, v in settings.items() if s not in paths}})
        had = had or bool(paths)
    return found, had


def call_files(marker: Calls, values: Sequence[Any], digests: Path) -> dict[str, str]:
    """The digests of the files that the calls' settings mean: {"0.terms.file": digest}."""
    found = {}
    for i, (name, settings) in enumerate(_split(marker, v) for v in values):
        for setting, path, files in _paths(find_callee(marker, name), settings):
            found[f"{i}.{name}.{setting}"] = digest_files(path, files, digests)
    return found


def call_code(marker: Calls, values: Sequence[Any]) -> tuple[dict[str, str], list[str]]:
    """The code that the calls reach, by name and digest, and the distributions that they need."""
    code: dict[str, str] = {}
    needs: list[str] = []
    for name, settings in (_split(marker, v) for v in values):
        callee = find_callee(marker, name)
        code |= object_parts(marker.package, name)
        for setting, value in settings.items():
            names = callee.marker(setting, Names)
            if names and value is not None:
                code |= object_parts(names.package, value)
        needs += callee.needs
    return code, needs


def in_words(message: str) -> str:
    """pydantic's message without the words that tell a person nothing: "should be greater than 0"."""
    message = re.sub(r"^(Input|List|Tuple|Dictionary|Value error,) ", "", message)
    return re.split(r", unable| after validation", message)[0]


def _split(marker: Calls, value: Any) -> Call:
    """The name and the settings of one call."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or len(value) != 1:
        what = f"{value!r} is no {marker.what}"
        raise InputError(what, f"write the {marker.what}'s name, or its name with its settings: {{name: {{a: 1}}}}")
    ((name, settings),) = value.items()
    if settings is not None and not isinstance(settings, Mapping):
        known = ", ".join(find_callee(marker, name).settings) or "none"
        raise InputError(f"{name}: {settings!r} is not a mapping of settings", f"its settings: {known}")
    return str(name), dict(settings or {})


def _validated(marker: Calls, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    callee = find_callee(marker, name)
    for setting in given:
        if setting not in callee.settings:
            known = list(callee.settings)
            hint = did_you_mean(setting, known, show=20) if known else f"{name} has no settings"
            raise InputError(f"{name} has no setting {setting!r}", hint)
    try:
        settings: dict[str, Any] = callee.settings_model(**given).model_dump(mode="json")
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        setting = str(fault["loc"][0])
        if fault["type"] == "missing":
            raise InputError(f"{name} needs the setting {setting!r}", f"{name}: {{{setting}: ...}}") from None
        told = f"{name}: {setting} is {given.get(setting)!r}; {in_words(fault['msg'])}"
        raise InputError(told) from None
    for setting, path, files in _paths(callee, settings):
        try:
            list_files(path, files)
        except InputError as error:
            raise InputError(f"{name}: {setting}: {error.what}", error.hint) from None
    for setting, value in settings.items():
        names = callee.marker(setting, Names)
        if names and value is not None:
            object_parts(names.package, value)
    return settings


def _paths(callee: Callee, settings: Mapping[str, Any]) -> Iterator[tuple[str, str, Files]]:
    for setting, value in settings.items():
        files = callee.marker(setting, Files) if setting in callee.settings else None
        if files and value is not None:
            yield setting, value, files
