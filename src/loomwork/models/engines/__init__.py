"""Engines: the libraries that compute what a model says. One module each, named in a model's `loomwork.json`.

A module offers `encoder(model, about, threads)`, `scorer(model, about, threads, settings)`, or both, and is imported
only when it is asked for. A new engine is a new module here; nothing else changes.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from loomwork.core.errors import InputError, MissingDependency, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from loomwork.models.scoring.requests import Request, Scoring


class EncoderEngine(Protocol):
    """Computes the vectors, `dim` numbers each, of one batch of texts of about the same length."""

    dim: int

    def embed(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Unit vectors of texts.

        Args:
            ids: int64 (batch, time), padded on the right with 0.
            lengths: int64 (batch), how many of them are real; at least 1 each.

        Returns: float32 (batch, dim).
        """


class Scorer(Protocol):
    """A causal language model that answers requests, wherever it runs."""

    def score(self, requests: Sequence[Request], *, keep: Path | None = None) -> Scoring:
        """Answer requests. No answer depends on the other requests or on their order, but for float noise.

        Args:
            requests: of any kinds; equal ones are asked once.
            keep: a file in which each answer is kept at once, and looked up first; None for none.
        """


def find_engine(name: str) -> ModuleType:
    """The engine of that name.

    Raises:
        InputError: there is none.
        MissingDependency: its library is not installed.
    """
    known = [m.name for m in pkgutil.iter_modules(__path__)]
    if name not in known:
        raise InputError(f"no engine {name!r}", did_you_mean(name, known))
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "loomwork":
            raise
        raise MissingDependency(f"the engine {name!r}", error.name or name, EXTRAS.get(name, "")) from error


def library_versions() -> str:
    """What a step that may run an encoder declares as its `version`: the vectors' bits depend on these libraries.

    Not as `uses`, which every call of the step would need: BM25 alone works without them.
    """
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)


LIBRARIES = ("openvino", "tokenizers", "torch")
EXTRAS = {"torch": "models", "openvino": "openvino"}  # of pyproject.toml
