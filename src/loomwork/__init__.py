"""Loomwork: from raw text and a base model to a smaller, better, proven model behind an API.

    from loomwork import Card, Dataset, DatasetWriter, step      # to write a step
    from loomwork import open_home, run_recipe                   # to run recipes and look at what came of them

Names are imported when they are first used, so `import loomwork` is quick and brings no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loomwork.core.artifact import Artifact, Index, Model, Tokenizer
    from loomwork.core.context import context
    from loomwork.core.dataset import Dataset, DatasetWriter
    from loomwork.core.errors import LoomError
    from loomwork.core.home import Home, open_home
    from loomwork.core.recipe import load_recipe
    from loomwork.core.runner import Runner, run_recipe
    from loomwork.core.score import Interval, Ruling, Score, Scores, Verdict
    from loomwork.core.step import Card, Files, Names, find_step, step

__version__ = "0.1.0"

_HOMES = {
    "artifact": ("Artifact", "Index", "Model", "Tokenizer"),
    "context": ("context",),
    "dataset": ("Dataset", "DatasetWriter"),
    "errors": ("LoomError",),
    "home": ("Home", "open_home"),
    "recipe": ("load_recipe",),
    "runner": ("Runner", "run_recipe"),
    "score": ("Interval", "Ruling", "Score", "Scores", "Verdict"),
    "step": ("Card", "Files", "Names", "find_step", "step"),
}
_PLACES = {name: f"loomwork.core.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "Artifact",
    "Card",
    "Dataset",
    "DatasetWriter",
    "Files",
    "Home",
    "Index",
    "Interval",
    "LoomError",
    "Model",
    "Names",
    "Ruling",
    "Runner",
    "Score",
    "Scores",
    "Tokenizer",
    "Verdict",
    "context",
    "find_step",
    "load_recipe",
    "open_home",
    "run_recipe",
    "step",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'loomwork' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
