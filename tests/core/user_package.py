"""A user's package, written into a folder, fingerprinted, edited, and fingerprinted again."""

from __future__ import annotations

import itertools
import os
import textwrap
from pathlib import Path

from loomwork.core.fingerprint import code_parts

numbers = itertools.count()
clock = itertools.count(1_700_000_000)


class Files:
    """A user's package in a folder on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"user{next(numbers)}"

    def write(self, **modules: str) -> None:
        """write(step="...", tools__text="..."): PKG stands for the package's name."""
        for name, text in modules.items():
            path = self.folder / self.name / (name.replace("__", "/").replace("init", "__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).replace("PKG", self.name))
            now = next(clock)
            os.utime(path, (now, now))

    def parts(self, function: str = "run", module: str = "step") -> dict[str, str]:
        found = code_parts(f"{self.name}.{module}", function)
        return {k.removeprefix(self.name + "."): v for k, v in found.items()}
