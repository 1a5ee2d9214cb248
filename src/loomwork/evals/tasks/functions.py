"""Functions that a task file names with `!function`: loaded from the Python file beside it, and only when trusted."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from loomwork.core.errors import RecipeError, did_you_mean
from loomwork.core.recipe_yaml import Tagged

TAG = "!function"
ALLOW = "read that code; if you trust it, allow it with trust=true (in a recipe trust: true)"


def file_of(name: Tagged, folder: Path) -> Path:
    """The file that `!function utils.name` speaks of."""
    module, _, _ = name.rpartition(".")
    return folder / f"{module.replace('.', '/')}.py"


def refuse(name: Tagged, file: str) -> RecipeError:
    """The error for a function in a task file that is not trusted."""
    where = file_of(name, Path(file).parent)
    return RecipeError(f"`{TAG} {name}` runs the code of {where.name}", ALLOW, file, name.line)


def load_function(name: Tagged, file: str) -> Callable[..., Any]:
    """The function of a trusted task file.

    Raises:
        RecipeError: there is no such file or function, or the file fails when it is loaded.
    """
    path, word = file_of(name, Path(file).parent), name.rpartition(".")[2]
    if path.stem == "" or not path.is_file():
        raise RecipeError(f"`{TAG} {name}`: there is no file {path}", "it is sought beside the file", file, name.line)
    try:
        module = load_module(path)
    except Exception as error:  # whatever foreign code raises
        what = f"`{TAG} {name}`: loading {path} failed: {type(error).__name__}: {error}"
        raise RecipeError(what, "", file, name.line) from error
    found: Callable[..., Any] | None = getattr(module, word, None)
    if found is None:
        raise RecipeError(f"{path} has no {word!r}", did_you_mean(word, vars(module)), file, name.line)
    return found


def load_module(path: Path) -> ModuleType:
    """A Python file, run once until it changes."""
    return _module(path.resolve(), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _module(path: Path, _changed: int) -> ModuleType:
    name = f"loomwork_task_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
