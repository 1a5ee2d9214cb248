"""The faults of a recipe, gathered so that all are told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from loomwork.core.errors import RecipeError


class Faults:
    """Gathers faults while a recipe is checked. Use it as a context manager: at its end they are raised.

    Args:
        file: the recipe, whose faults are told before those of the files that it uses.
    """

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.found: list[RecipeError] = []

    def add(self, fault: RecipeError) -> None:
        """Keep a fault; one that is met at every use of a word is kept once."""
        if str(fault) not in map(str, self.found):
            self.found.append(fault)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Keep a fault that is raised, and go on after the block."""
        try:
            yield
        except RecipeError as fault:
            self.add(fault)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, raised: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(raised, RecipeError):  # what cannot be read further
            self.add(raised)
        elif raised:
            return
        if len(self.found) == 1 and self.found[0] is not raised:
            raise self.found[0]
        if len(self.found) > 1:
            in_order = sorted(self.found, key=lambda f: (f.file != self.file, f.file, f.line))
            told = "\n".join(str(fault) for fault in in_order)
            raise RecipeError(f"{len(self.found)} faults", told.replace("\n", "\n  "), self.file) from None
