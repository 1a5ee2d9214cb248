"""Steps: plain typed functions from artifacts to one artifact. The signature is the only schema.

    @step(makes="dataset", uses=["numba"], heavy=True)
    def near_dedup(data: Dataset, *, threshold: float = 0.8, out: Path) -> Card:
        \"\"\"Drop near-duplicate documents, keeping the longest of each group.\"\"\"

Artifact-typed parameters are inputs (also `T | None`, `list[T]` and `dict[str, T]`); keyword-only ones are
settings; `out` is an empty folder. The function itself is not changed: call it in a test like any other.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from loomwork.core.artifact import Artifact
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.hints import Shape, artifact_type, nested
from loomwork.core.score import Score
from loomwork.core.secret import require_no_secret

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOMS = ("data", "train", "compress", "evals", "serve")  # the packages that hold steps
PLUGINS = "loomwork.steps"  # entry-point group of other packages' steps
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Card:
    """What a step tells of its run: it goes into the ledger, not into the artifact.

    Args:
        metrics: plain numbers (counts, bytes, seconds).
        scores: measured qualities, each with its interval.
        notes: sentences for people.
        incomplete: why the same call may come to more another time: it is then done again, and is no hit.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete: str = ""


@dataclass(frozen=True)
class Files:
    """Marks a setting that is a path: Annotated[Path, Files("*.py", skip=("test",))].

    The digest of the matching files enters the cache key, not the path. A glob in the path itself is expanded.

    Args:
        pattern: which files below a folder count.
        skip: folder and file names that are left out, with all below them.
    """

    pattern: str = "*"
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """Marks a setting that names code: Annotated[str, Names("loomwork.metrics.retrieval")].

    Args:
        package: where a public function or class of that name, or a module, is looked up; "" for the user's own
            `module:function`.
    """

    package: str


@dataclass(frozen=True)
class Calls:
    """Marks a setting that lists calls of code by name, as core/calls.py says: rules: [c4, {length: {min_words: 50}}].

    Args:
        package: each of its modules has a function of the module's name.
        what: what such a function is called in messages ("rule").
        given: the function's parameters that the step gives.
    """

    package: str
    what: str = "function"
    given: tuple[str, ...] = ()


@dataclass(frozen=True)
class Secret:
    """Marks a setting that names an environment variable which holds a key: Annotated[str | None, Secret()].

    Its name enters the ledger, an id of its value the cache key (core/secret.py), the value nothing.
    """


@dataclass(frozen=True)
class Revision:
    """Marks a setting that says which state of an outside source is read: Annotated[str | None, Revision("path")].

    Without a value the source is read anew each run, unless it is on this disk: then the digest of its files counts.

    Args:
        source: the setting that names the source, if there may be none, or if it may be a path.
        local: whether the source may be a path on this disk.
        fixed: matches the values that mean one state for ever ("[0-9a-f]{40}"). With another, a branch's name, the
            source is read anew each run too. "": all do.
    """

    source: str = ""
    local: bool = True
    fixed: str = ""


@dataclass(frozen=True)
class Reads:
    """Marks a setting that leads to files which it does not name itself: those that a task file includes, say.

    Args:
        files: "module:function". It gets the value and all settings, and returns the paths; their digest enters the
            key. Whatever it refuses is an error before the first step runs.
    """

    files: str

    def paths(self, value: Any, settings: Mapping[str, Any]) -> list[str]:
        """The files, as the function finds them."""
        module, _, function = self.files.partition(":")
        return [str(path) for path in getattr(importlib.import_module(module), function)(value, settings)]


@dataclass(frozen=True)
class TrainedOn:
    """Marks an input that the runner fills in where it is not given: all datasets that went into making a model.

    seen: Annotated[list[Dataset] | None, TrainedOn("model")] = None

    The ledger knows them (core/training_data.py); they are inputs like any others, in the key and in the lineage.

    Args:
        model: the input that takes the model.
    """

    model: str


@dataclass(frozen=True)
class Group:
    """Marks a parameter that is a frozen dataclass of settings: training: Annotated[Training, Group()] = Training().

    Its fields are settings of the step like any others, so that steps can share them; the parameter's default gives
    their defaults.
    """


@dataclass(frozen=True)
class Input:
    """One artifact-typed parameter."""

    name: str
    type: type[Artifact]
    shape: Shape


Parts = Callable[[Mapping[str, Any]], Collection[str] | None]  # of a step's settings
Checks = Callable[[Mapping[str, Any], Collection[str]], None]  # of a call's arguments, and the inputs that it names


@dataclass(frozen=True)
class Step:
    """What the signature of a step function says. Get one with `find_step` or `function.step`."""

    function: Callable[..., Any]
    makes: str
    uses: tuple[str, ...] = ()
    heavy: bool = False
    version: str = ""
    measures: bool = False
    parallel: bool = False
    name: str = ""
    parts: Parts | None = None
    checks: Checks | None = None

    @cached_property
    def hints(self) -> dict[str, Any]:
        own = typing.get_type_hints(self.function, include_extras=True)
        for name in [n for n, hint in own.items() if _mark(hint, Group)]:
            inside = typing.get_type_hints(typing.get_args(own[name])[0], include_extras=True)
            if twice := inside.keys() & own.keys():
                raise TypeError(f"step {self.name}: {sorted(twice)} of the group {name!r} are settings already")
            own |= inside
        return own

    @cached_property
    def groups(self) -> dict[str, type]:
        """Its parameters that are dataclasses of settings."""
        return {n: typing.get_args(self.hints[n])[0] for n in self.signature.parameters if self.marker(n, Group)}

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """Its artifact-typed parameters, by name."""
        found: dict[str, Any] = {}
        for name in self.signature.parameters:
            kind = artifact_type(self.hints.get(name))
            if kind:
                found[name] = Input(name, *kind)
        return found

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def settings(self) -> dict[str, inspect.Parameter]:
        """Its keyword-only parameters that are neither inputs nor `out`; a group's fields in the group's place."""
        found: dict[str, Any] = {}
        for n, p in self.signature.parameters.items():
            if n in self.groups:
                names = [f.name for f in fields(self.groups[n])]
                found |= {f: inspect.Parameter(f, p.KEYWORD_ONLY, default=getattr(p.default, f)) for f in names}
            elif p.kind is p.KEYWORD_ONLY and n not in self.inputs and n != "out":
                found[n] = p
        return found

    def arguments(self, settings: object) -> dict[str, Any]:
        """What to call the function with.

        Args:
            settings: an instance of `settings_model`.
        """
        given = {n: getattr(settings, n) for n in self.settings}
        for name, kind in self.groups.items():
            given[name] = kind(**{f.name: given.pop(f.name) for f in fields(kind)})
        return given

    @cached_property
    def settings_model(self) -> type[BaseModel]:
        """A pydantic model of the settings: unknown names and wrong types are errors."""
        from pydantic import AfterValidator, ConfigDict, create_model

        types: dict[str, Any] = {}
        sources = {m.source for n in self.settings if (m := self.marker(n, Revision))}
        for n, p in self.settings.items():
            hint = self.hints.get(n, Any)
            if self.marker(n, Files) or n in sources:
                hint = Annotated[hint, AfterValidator(_without_secrets)]
            types[n] = (hint, ... if p.default is p.empty else p.default)
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
        return create_model(self.name or self.function.__name__, __config__=config, **types)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.function) or "").split("\n", 1)[0]

    def marker(self, setting: str, kind: type) -> Any:
        """The mark of that kind (`Files`, `Names`, ...) of a setting or input; a `Path` counts as `Files()`."""
        if (setting, kind) not in self._marks:
            self._marks[setting, kind] = _mark(self.hints.get(setting), kind)
        return self._marks[setting, kind]

    @cached_property
    def _marks(self) -> dict[tuple[str, type], Any]:
        return {}


def _mark(around: Any, kind: type) -> Any:
    hints = list(nested(around))
    for hint in hints:
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, kind):
                return extra
    return Files() if kind is Files and Path in hints else None


def step(
    *,
    makes: str,
    uses: list[str] | tuple[str, ...] = (),
    heavy: bool = False,
    version: str = "",
    measures: bool = False,
    parallel: bool = False,
    parts: Parts | None = None,
    checks: Checks | None = None,
) -> Callable[[Function], Function]:
    """Declare a function a step.

    Args:
        makes: the kind of artifact it writes into `out`.
        uses: distributions whose versions enter the cache key.
        heavy: run it in a spawned process (torch, Numba, minutes of work).
        version: covers what the code fingerprint cannot see.
        measures: what it writes depends on the clock, so `loom remake` does not expect equal bytes.
        parallel: it can run in several processes that share its work through torch.distributed. Each is called with
            the same inputs and settings; what the first one writes is the result. Such a step is heavy.
        parts: tells of its settings which parts it will make ("checkpoint-*" for a pattern), or None where that cannot
            be known, so that a recipe which names another is refused before it runs.
        checks: raises InputError for settings that do not go together, which a recipe is told of before it runs.
    """

    def declare(function: Function) -> Function:
        heavier = heavy or parallel
        name = step_name(function)
        found = Step(function, makes, tuple(uses), heavier, version, measures, parallel, name, parts, checks)
        for name, parameter in found.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or parameter.kind is parameter.VAR_POSITIONAL:
                raise TypeError(f"step {found.name}: *{name} is not allowed, the signature is the schema")
        function.step = found  # type: ignore[attr-defined]
        return function

    return declare


def step_name(function: Callable[..., Any]) -> str:
    """`data.near_dedup` for loomwork/data/near_dedup.py:near_dedup, `module:function` for other people's code."""
    module = function.__module__.split(".")
    if module[0] == "loomwork" and len(module) == 3 and module[1] in ROOMS:
        return (
            f"{module[1]}.{function.__name__}"
            if module[2] == function.__name__
            else f"{module[1]}.{module[2]}.{function.__name__}"
        )
    return f"{function.__module__}:{function.__name__}"


def find_step(name: str) -> Step:
    """The step of that name, imported without importing any other.

    Args:
        name: `room.step` of ours, `module:function` of the user's, or a plug-in's entry-point name.

    Raises:
        InputError: there is none; the nearest names are given.
    """
    module, _, function = _locate(name)
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise InputError(
                f"no step {name!r}: there is no module {module!r}", did_you_mean(name, step_names())
            ) from None
        raise
    declared = getattr(found, "step", None)
    if not isinstance(declared, Step):
        raise InputError(f"no step {name!r}", did_you_mean(name, step_names()))
    return declared


def _locate(name: str) -> tuple[str, str, str]:
    if ":" in name:
        return name.partition(":")[0], ":", name.partition(":")[2]
    pieces = name.split(".")
    if len(pieces) in (2, 3) and pieces[0] in ROOMS and importlib.util.find_spec(f"loomwork.{pieces[0]}.{pieces[1]}"):
        return f"loomwork.{pieces[0]}.{pieces[1]}", ".", pieces[-1]
    from importlib.metadata import entry_points

    for entry in entry_points(group=PLUGINS, name=name):
        return entry.module, ":", entry.attr
    raise InputError(f"no step {name!r}", did_you_mean(name, step_names()))


def step_names() -> list[str]:
    """The names of our steps and of the installed plug-ins, found by path; nothing is imported but the rooms."""
    import ast
    from importlib.metadata import entry_points

    names = [e.name for e in entry_points(group=PLUGINS)]
    base = Path(__file__).parent.parent
    for room in ROOMS:
        for module in pkgutil.iter_modules([str(base / room)]):
            path = base / room / f"{module.name}.py"
            if not path.is_file():
                continue
            for node in ast.parse(path.read_bytes()).body:
                if isinstance(node, ast.FunctionDef) and any("step(" in ast.unparse(d) for d in node.decorator_list):
                    names.append(
                        f"{room}.{node.name}" if node.name == module.name else f"{room}.{module.name}.{node.name}"
                    )
    return sorted(names)


def _without_secrets(value: Any) -> Any:
    """A setting of paths, none of which is a URL that holds a secret."""
    for path in value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]:
        if isinstance(path, str | Path) and ":/" in str(path):
            require_no_secret(str(path))
    return value
