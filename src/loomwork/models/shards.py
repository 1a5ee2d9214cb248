"""Weights in several files, as large models have them, written as one."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path

from loomwork.core.errors import InputError, MissingDependency

INDEX = "model.safetensors.index.json"  # says which tensor lies in which file
SHARD = re.compile(r"[\w.-]+\.safetensors")  # a name, never a path


def join_shards(folder: Path, file: Path) -> None:
    """Write the tensors of a folder's shards into one safetensors file.

    They go from the mapped files straight to the new one, so that memory does not grow with the model. The file has the
    bytes that saving the whole model at once would give.

    Args:
        folder: has INDEX and the files that it names.
        file: to be written.

    Raises:
        InputError: the index is damaged, or it and the files do not fit one another.
        MissingDependency: safetensors or torch is not installed.
        OSError: the file cannot be written.
    """
    shards = _shards(folder)
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import save_file
    except ModuleNotFoundError as error:
        raise MissingDependency("a model with its weights in several files", error.name or "", "models") from None
    tensors = {}
    with ExitStack() as opened:
        for name, expected in shards.items():
            try:
                shard = opened.enter_context(safe_open(folder / name, "pt"))
            except (OSError, SafetensorError) as error:
                raise InputError(f"{folder / name} cannot be read: {error}", "get the file again") from None
            if set(shard.keys()) != expected:
                odd = sorted(set(shard.keys()) ^ expected)[0]
                raise InputError(f"{folder / name} does not hold what {INDEX} says: {odd!r}", "get both files again")
            tensors.update({key: shard.get_tensor(key) for key in expected})
        try:
            save_file(tensors, file, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(str(error)) from error  # the disk is full, say


def _shards(folder: Path) -> dict[str, set[str]]:
    """The tensors of each file, as the index says."""
    try:
        places = json.loads((folder / INDEX).read_bytes())["weight_map"].items()
        found: dict[str, set[str]] = {}
        for tensor, name in places:
            found.setdefault(name, set()).add(tensor)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(f"{folder / INDEX} is no index of weights", "get the file again") from None
    for name in found:
        if not SHARD.fullmatch(str(name)) or not (folder / name).is_file():
            raise InputError(f"{folder / INDEX} names {name!r}, which is no file beside it", "get all files again")
    return found
