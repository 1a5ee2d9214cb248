"""The cache key of a step call: readable parts, and the sha256 of them. Equal keys mean equal work."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from loomwork.core.artifact import digest
from loomwork.core.calls import call_code, call_files, without_paths
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.files import ANEW, digest_files
from loomwork.core.fingerprint import code_parts, object_parts
from loomwork.core.secret import secret_id
from loomwork.core.step import Calls, Files, Names, Reads, Revision, Secret, Step

Parts = dict[str, Any]
SHOWN_CHARACTERS = 60
BESIDE = ("paths", "processes")  # of the parts: kept with a run, and not in its key
READ = ":files"  # after a setting's name: what it leads to


def key_parts(
    step: Step,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    digests: Path,
    forgotten: Iterable[str] = (),
) -> Parts:
    """All that decides the bytes a step makes.

    Args:
        step: the step.
        settings: its settings, validated, as JSON values.
        inputs: digest of what it reads, by role ("data", "models.naive").
        digests: the folder where digests of source files are kept.
        forgotten: ids (hex) of rows that must not come in again, for a step that reads from outside.

    Returns: parts for `make_key`. `paths` is there for people and for `remake`; it does not enter the key.
    """
    plain: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    needs = _uses(step)
    for name, value in settings.items():
        calls = step.marker(name, Calls)
        reads = step.marker(name, Reads)
        if reads and value is not None:
            paths |= {name: value, name + READ: reads.paths(value, settings)}
        elif step.marker(name, Files) and value is not None:
            paths[name] = value
        elif calls:
            plain[name], has_paths = without_paths(calls, value)
            needs += call_code(calls, value)[1]
            if has_paths:
                paths[name] = value
        else:
            plain[name] = value
    anew = {}
    for name, value in list(plain.items()):
        revision = step.marker(name, Revision)
        source = plain.get(revision.source) if revision else None
        if not revision or (revision.source and not source):  # nothing outside is read
            continue
        if value is None and source and revision.local and Path(source).exists():
            paths[revision.source] = plain.pop(revision.source)
        elif value is None or (revision.fixed and not re.fullmatch(revision.fixed, value)):
            anew[name] = uuid.uuid4().hex
    parts: Parts = {
        "step": step.name,
        "makes": step.makes,
        "version": step.version,
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",  # its Unicode tables, its parser, its zlib
        "code": code_of(step, settings),
        "settings": plain,
        "files": digest_paths(step, paths, digests),
        "inputs": dict(inputs),
        "uses": {name: installed_version(name, step.name) for name in sorted({*needs})},
        "paths": paths,
    }
    if step.heavy:
        parts["device"], parts["precision"] = device(), precision()
    secrets = {n: secret_id(v) for n, v in plain.items() if step.marker(n, Secret) and v is not None}
    if secrets:
        parts["secrets"] = secrets
    if anew:
        parts["anew"] = anew
    gone = sorted(forgotten)
    if gone:
        parts["forgotten"] = digest(gone)
    return parts


def same_code(parts: Parts) -> str:
    """The part of a key that calls of one step share, whatever their settings and inputs."""
    shared = ("step", "version", "python", "code", "uses", "device", "precision")
    return digest({name: parts[name] for name in shared if name in parts})[:24]


def code_of(step: Step, settings: Mapping[str, Any]) -> dict[str, str]:
    """The code parts of a call: of the step's function, and of all that its settings name.

    Raises:
        InputError: the function's source is not what this process imported: it would run the old one under the new key.
    """
    code = code_parts(step.function.__module__, step.function.__qualname__)
    if _IMPORTED.setdefault(step.function, code) != code:
        raise InputError(
            f"the code of {step.name} was edited after this process imported it",
            "run it again in a new process; in a notebook restart, or importlib.reload the module",
        )
    code = dict(code)
    for name, value in settings.items():
        if calls := step.marker(name, Calls):
            code |= call_code(calls, value)[0]
        elif names := step.marker(name, Names):
            for one in value if isinstance(value, list) else [value]:
                code |= object_parts(names.package, one) if one is not None else {}
    return code


_IMPORTED: dict[Callable[..., Any], dict[str, str]] = {}  # a step's function -> its code when it was first looked at


def _uses(step: Step) -> list[str]:
    """The distributions that decide what a step writes: its own, and what writes datasets."""
    return sorted({*step.uses, "pyarrow"}) if step.makes == "dataset" else list(step.uses)


def digest_paths(step: Step, paths: Mapping[str, Any], digests: Path) -> dict[str, str]:
    """The digest of the files that each setting which is a path, or a list of them, means now."""
    found: dict[str, str] = {}
    for name, value in paths.items():
        calls, marker = step.marker(name, Calls), step.marker(name, Files)
        if name + READ in paths:
            continue
        if calls:
            found |= {f"{name}.{place}": sha for place, sha in call_files(calls, value, digests).items()}
            continue
        values = value if isinstance(value, list) else [value]
        each = [digest_files(v, marker or Files(), digests) for v in values]
        found[name] = next((d for d in each if d.startswith(ANEW)), "") or digest(each)
    return found


def make_key(parts: Parts) -> str:
    """sha256 of the parts that decide the bytes."""
    return digest({name: value for name, value in parts.items() if name not in BESIDE})


def differences(old: Parts, new: Parts) -> list[str]:
    """What changed between two keys, one line each: "settings.threshold: 0.8 -> 0.7". Code comes last; of two
    different steps nothing is said of it.
    """
    a, b = _flat(old), _flat(new)
    changed = [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]
    if a.get("step") != b.get("step"):
        changed = [name for name in changed if not name.startswith("code.")]
    lines = []
    for name in sorted(changed, key=lambda name: (name.startswith("code."), name != "step", name)):
        was, now = _apart(*(_short(x.get(name), name in x) for x in (a, b)))
        group, _, rest = name.partition(".")
        if group == "code":
            verb = "is new" if name not in a else "is no longer used" if name not in b else "changed"
            lines.append(f"code of {rest} {verb}")
        elif group == "files":
            setting = rest.removesuffix(READ)
            then, since = (x.get("paths", {}).get(setting) for x in (old, new))
            other = f": {_short(then, True)} -> {_short(since, True)}" if then != since and then and since else ""
            lines.append(f"the files of {setting} changed{other}")
        elif group == "inputs":
            lines.append(f"input {rest}: {was} -> {now}")
        elif group == "secrets":
            lines.append(f"the key that {rest} names changed")
        elif group == "anew":
            if name in b:
                value = b.get(f"settings.{rest}")
                why = "is not given" if value is None else f"{_short(value, True)!r} may move"
                lines.append(f"its source is read anew each run, as {rest} {why}")
        elif group == "forgotten":
            lines.append("rows were forgotten")
        else:
            lines.append(f"{name}: {was} -> {now}")
    return lines


def _flat(parts: Parts) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in parts.items():
        if name in BESIDE:
            continue
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat


def _short(value: Any, present: bool) -> str:
    text = str(value)
    if not present:
        return "(none)"
    return text[:12] if len(text) == 64 and " " not in text else text


def _apart(was: str, now: str) -> tuple[str, str]:
    """Two long values cut to where they differ."""
    if max(len(was), len(now)) <= SHOWN_CHARACTERS:
        return was, now
    same = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    start = max(0, same - SHOWN_CHARACTERS // 3)

    def cut(text: str) -> str:
        end = start + SHOWN_CHARACTERS
        return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")

    return cut(was), cut(now)


@functools.cache
def installed_version(distribution: str, needed_by: str) -> str:
    """The installed version of a distribution.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependency(f"step {needed_by}", distribution) from None


@functools.cache
def device() -> str:
    """Where models run: LOOMWORK_DEVICE, else a CUDA device if its driver is loaded, else "cpu"."""
    return os.environ.get("LOOMWORK_DEVICE") or ("cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu")


PRECISIONS = ("float32", "bfloat16", "float16")


@functools.cache
def precision() -> str:
    """The number format models train in: LOOMWORK_PRECISION, else bfloat16 where the hardware has it."""
    chosen = os.environ.get("LOOMWORK_PRECISION")
    if chosen in PRECISIONS:
        return chosen
    if chosen:
        raise InputError(f"LOOMWORK_PRECISION is {chosen!r}", f"set it to {' or '.join(PRECISIONS)}")
    if device().startswith("cuda"):
        return "bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
