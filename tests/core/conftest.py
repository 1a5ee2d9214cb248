"""Fixtures of the core's tests: recipes and a user's modules, written into a folder."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from loomwork.core.home import Home
from loomwork.core.recipe import Recipe, load_recipe
from tests.core.recipe_files import Load, S
from tests.core.user_package import Files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.syspath_prepend(tmp_path)
    made = Files(tmp_path)
    made.write(init="")
    return made


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(text, name=text2): write r.yaml, and other files beside it, and load the first. @ stands for our steps."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str, settings: dict[str, Any] | None = None, **others: str) -> Recipe:
        for name, content in {"r": text, **others}.items():
            (tmp_path / f"{name}.yaml").write_text(textwrap.dedent(content).replace("@:", S), "utf-8")
        return load_recipe("r.yaml", settings)

    return write_and_load


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / ".loom")


@pytest.fixture
def lines(tmp_path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("apple\nbanana\ncherry\n")
    return path
