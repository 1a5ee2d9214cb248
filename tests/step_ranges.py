"""What the tests of settings' ranges share."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from annotated_types import BaseMetadata
from pydantic import AfterValidator

from loomwork.core.step import Step


def without_range(step: Step) -> list[str]:
    """The settings of a step that are numbers and do not say between which limits."""
    return [name for name in step.settings if any(_numbers(step.hints.get(name), limited=False))]


def _numbers(hint: Any, *, limited: bool) -> Iterator[Any]:
    """The numbers inside a hint that no mark around them limits."""
    marks = getattr(hint, "__metadata__", ())
    limited = limited or any(isinstance(m, BaseMetadata | AfterValidator) for m in marks)
    if hint in (int, float) and not limited:
        yield hint
    if typing.get_origin(hint) in (typing.Annotated, typing.Union, types.UnionType, list, tuple, dict):
        for inner in typing.get_args(hint):
            yield from _numbers(inner, limited=limited)
