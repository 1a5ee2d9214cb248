"""What the type hints of a step's signature say."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, Literal

from loomwork.core.artifact import Artifact

Shape = Literal["one", "optional", "list", "dict"]


def nested(hint: Any) -> Iterator[Any]:
    """A hint and all hints inside it: list[Path] | None, list[Path], Path, None."""
    yield hint
    for inner in typing.get_args(hint):
        yield from nested(inner)


def keyed_types(hint: Any) -> list[type]:
    """The types inside a setting's hint that say which keys a mapping has: TypedDicts and dataclasses."""
    from typing_extensions import is_typeddict

    kinds = [k for k in nested(hint) if is_typeddict(k) or (isinstance(k, type) and is_dataclass(k))]
    return list(dict.fromkeys(kinds))


def artifact_type(hint: Any) -> tuple[type[Artifact], Shape] | None:
    """(Dataset, "list") for list[Dataset]; None for a hint that is no artifact's."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if isinstance(hint, type) and issubclass(hint, Artifact):
        return hint, "one"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    shapes: dict[Any, Shape] = {list: "list", dict: "dict", typing.Union: "optional", types.UnionType: "optional"}
    if origin in shapes:
        for argument in arguments:
            if isinstance(argument, type) and issubclass(argument, Artifact):
                return argument, shapes[origin]
            if shapes[origin] == "optional" and typing.get_origin(argument) in (list, dict):  # list[T] | None
                return artifact_type(argument)
    return None
