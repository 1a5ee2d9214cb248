"""One step's documentation: its signature and docstring as data, and as text."""

from __future__ import annotations

import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

from loomwork.cli.text import columns, heading, paint
from loomwork.core.calls import Callee, callees, find_callee
from loomwork.core.errors import InputError
from loomwork.core.hints import keyed_types
from loomwork.core.step import Calls, Files, Names, Step, find_step

WIDEST_TYPE = 36  # characters; a longer one is told with what the setting is about
SECTION = re.compile(r"^(Args|Returns|Raises|Source|Sources):\s*$")


def describe(name: str) -> dict[str, Any]:
    """Everything that the signature and docstring of a step say, or of what a step calls: "data.filter.length".

    Raises:
        InputError: there is no such step.
    """
    try:
        step = find_step(name)
    except InputError:
        called = _called(name)
        if called is None:
            raise
        around, setting, callee = called
        call = f"{setting}: [{{{callee.name}: {{{', '.join(f'{n}: ...' for n in _needed(callee))}}}}}]"
        place = {"makes": "", "inputs": [], "call": "", "recipe": call, "called_by": around.name}
        return _described(callee) | {"step": name} | place
    except Exception as error:  # the user's module may raise anything when it is imported
        raise InputError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    return _described(step)


def _needed(callee: Callee) -> list[str]:
    """The settings that have no default; if all have one, the first of them, as an example."""
    return [n for n, p in callee.settings.items() if p.default is p.empty] or list(callee.settings)[:1]


def _called(name: str) -> tuple[Step, str, Callee] | None:
    """The step, its setting, and the function that a name like "data.filter.length" means."""
    around, _, inner = name.rpartition(".")
    try:
        step = find_step(around)
    except InputError:
        return None
    marked = {setting: step.marker(setting, Calls) for setting in step.settings}
    return next(((step, setting, find_callee(marker, inner)) for setting, marker in marked.items() if marker), None)


def _described(step: Step) -> dict[str, Any]:
    body, arguments, rest = read_docstring(inspect.getdoc(step.function) or "")
    for group in step.groups.values():
        arguments = read_docstring(inspect.getdoc(group) or "")[1] | arguments
    inputs = [
        {"name": n, "kind": i.type.kind or "any artifact", "shape": i.shape, "about": arguments.get(n, "")}
        for n, i in step.inputs.items()
    ]
    settings = [
        {
            "name": n,
            "type": type_name(step.hints.get(n, Any)),
            "required": p.default is p.empty,
            "default": None if p.default is p.empty else _plain(p.default),
            "about": arguments.get(n, ""),
            **_marks(step, n),
            **_keys(step.hints.get(n)),
        }
        for n, p in step.settings.items()
    ]
    return {
        "step": step.name,
        "summary": step.summary,
        "about": body,
        "makes": step.makes,
        "inputs": inputs,
        "settings": settings,
        "sections": rest,
        "uses": list(step.uses),
        "heavy": step.heavy,
        "measures": step.measures,
        "file": inspect.getsourcefile(step.function) or "",
        "call": example_call(step),
        "recipe": example_line(step),
    }


def read_docstring(text: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """The body, the arguments, and the other sections of a docstring."""
    body: list[str] = []
    sections: dict[str, list[str]] = {}
    into = body
    for line in text.split("\n"):
        title = SECTION.match(line)
        if title:
            into = sections.setdefault(title[1], [])
        elif into is not body and line and not line.startswith(" "):
            into = body  # prose after a section
            into.append(line)
        else:
            into.append(line)
    arguments: dict[str, str] = {}
    current: list[str] = []
    for line in inspect.cleandoc("\n".join(sections.pop("Args", []))).split("\n"):
        start = re.match(r"([\w, ]+):\s*(.*)", line)
        if start and not line.startswith(" "):
            current = [n.strip() for n in start[1].split(",")]
            arguments |= dict.fromkeys(current, start[2])
        else:
            arguments |= {n: f"{arguments[n]} {line.strip()}".strip() for n in current}
    rest = {title: inspect.cleandoc("\n".join(lines)) for title, lines in sections.items()}
    return "\n".join(body).strip(), arguments, rest


def type_name(hint: Any) -> str:
    """A type as people write it: `list[str]`, `float | None`, `"a" or "b"`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(a) for a in arguments)
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin is not None:
        inner = ", ".join("..." if a is ... else type_name(a) for a in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    if hint is type(None):
        return "none"
    return "path" if hint is Path else getattr(hint, "__name__", str(hint))


def _marks(step: Step, setting: str) -> dict[str, Any]:
    files, names, calls = (step.marker(setting, kind) for kind in (Files, Names, Calls))
    found: dict[str, Any] = {}
    if calls:
        listed = [find_callee(calls, name) for name in callees(calls.package)]
        found |= {"calls": [{"name": c.name, "summary": c.summary} for c in listed], "type": f"list of {calls.what}s"}
    if files:
        found["files"] = files.pattern
    if names and names.package:
        found["names_from"] = names.package
        found["choices"] = choices(names.package)
    return found


def _keys(hint: Any) -> dict[str, Any]:
    """The keys of the mappings in a setting whose type says which there are, with what their docstring says."""
    found = []
    for kind in keyed_types(hint):
        about = read_docstring(inspect.getdoc(kind) or "")[1]
        hints = typing.get_type_hints(kind)
        found += [{"name": n, "type": type_name(t), "about": about.get(n, "")} for n, t in hints.items()]
    return {"keys": found} if found else {}


def choices(package: str) -> list[str]:
    """What a setting that names code may name: the public functions of a module, or the modules of a package."""
    import ast
    import importlib.util
    import pkgutil

    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(m.name for m in pkgutil.iter_modules(spec.submodule_search_locations) if m.name[0] != "_")
    source = importlib.util.find_spec(package)
    if source is None or source.origin is None:
        return []
    tree = ast.parse(Path(source.origin).read_bytes())
    return sorted(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | dict) or value is None else str(value)


def example_call(step: Step) -> str:
    """A command line that calls it."""
    words = ["loom call", step.name]
    for name, one in step.inputs.items():
        if one.shape == "optional":
            continue
        value = "corpus/*.jsonl" if one.type.kind == "dataset" else f"{one.type.kind or 'artifact'}-id"
        role = f"{name}.first" if one.shape == "dict" else name
        words.append(f'"{role}={value}"' if "*" in value else f"{role}={value}")
    given = [n for n, p in step.settings.items() if p.default is p.empty]
    words += [f"{n}=..." for n in given]
    words += [f"{n}={p.default}" for n, p in step.settings.items() if isinstance(p.default, int | float)][:1]
    return " ".join(words)


def example_line(step: Step) -> str:
    """A recipe's line that uses it."""
    pairs = [f"use: {step.name}"]
    for name, one in step.inputs.items():
        reference = {"list": "[$one, $two]", "dict": "{first: $one}"}.get(one.shape, "$before")
        if one.shape != "optional":
            pairs.append(f"{name}: {reference}")
    pairs += [f"{n}: ..." for n, p in step.settings.items() if p.default is p.empty]
    name = step.function.__name__
    return f"{name}: {{{', '.join(pairs)}}}"


def told(found: dict[str, Any]) -> str:
    """The documentation as text."""
    kind = f"makes {found['makes']}" if found["makes"] else f"for {found.get('called_by')}"
    kind += ", runs in a process of its own" if found["heavy"] else ""
    sections = [f"{heading(found['step'])}  {paint(kind, 'dim')}\n\n{found['about']}"]
    if found["inputs"]:
        shapes = {"one": "", "optional": ", optional", "list": ", any number", "dict": ", any number, by name"}
        rows = [(i["name"], i["kind"] + shapes[i["shape"]], i["about"]) for i in found["inputs"]]
        sections.append(f"{heading('Inputs')}\n{columns(rows, wrap=True)}")
    if found["settings"]:
        sections.append(f"{heading('Settings')}\n{columns([_setting(s) for s in found['settings']], wrap=True)}")
    for setting in found["settings"]:
        if setting.get("keys"):
            listed = [(f"{k['name']}: {k['type']}", k["about"]) for k in setting["keys"]]
            sections.append(f"{heading('Keys in ' + setting['name'])}\n{columns(listed, wrap=True)}")
        if setting.get("calls"):
            listed = [(c["name"], c["summary"]) for c in setting["calls"]]
            hint = f"  one of them whole: loom steps {found['step']}.{listed[0][0]}"
            sections.append(
                f"{heading(setting['name'].capitalize())}\n{columns(listed, wrap=True)}\n{paint(hint, 'dim')}"
            )
    sections += [f"{heading(title)}\n" + _indented(text) for title, text in found["sections"].items()]
    if found["uses"]:
        sections.append(f"{heading('Needs')}\n  {', '.join(found['uses'])}")
    if found["call"]:
        sections.append(f"{heading('Call it')}\n  {found['call']}")
    sections.append(f"{heading('In a recipe')}\n  {found['recipe']}")
    sections.append(paint(found["file"], "dim"))
    return "\n\n".join(sections)


def _setting(setting: dict[str, Any]) -> tuple[str, str, str]:
    about = setting["about"]
    if setting.get("files"):
        about += f" (files: {setting['files']})"
    if setting.get("choices"):
        about += f" (one of: {', '.join(setting['choices'])})"
    kind = setting["type"]
    if len(kind) > WIDEST_TYPE:
        about, kind = f"{about} ({kind})", "choice"
    default = "required" if setting["required"] else f"= {setting['default']!r}"
    return f"{setting['name']}: {kind}", default, about.strip()


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))
