"""A project with a light recipe, and the `loom` command on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from loomwork.cli.main import app

HERE = Path(__file__).parent
PYTHONPATH = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
LINES = ["one two three", "four", "five six", "one two", "seven eight nine ten", "six"]
RECIPE = """\
recipe: words
settings: {limit: 0.5}
steps:
  raw:     {use: "sample_steps:lines", path: lines.txt}
  long:    {use: "sample_steps:longer", data: $raw, words: 2}
  model:   {use: "sample_steps:vocabulary", data: $long}
  measure: {use: "sample_steps:coverage", model: $model, data: $raw}
  verdict: {use: "sample_steps:at_least", scores: $measure, limit: $limit}
gate: $verdict
name: {words@champion: $model}
"""


@dataclass
class Project:
    """A folder with recipe.yaml and lines.txt, and `loom` in it."""

    folder: Path

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a verb in this process. Returns its standard output; fails on another exit code."""
        return self.result(*words, code=code).stdout

    def result(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, (words, result.exit_code, result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> Any:
        found = json.loads(self(*words, "--json", code=code))
        assert isinstance(found, dict)
        return found

    def spawn(self, *words: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        """The same in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", "from loomwork.cli.main import app; app()", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": PYTHONPATH, **environment},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, text: str, name: str = "recipe.yaml") -> None:
        (self.folder / name).write_text(text, "utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty home, with the recipe and its lines."""
    for name in ("LOOMWORK_HOME", "LOOMWORK_STORE", "LOOMWORK_LEDGER", "LOOMWORK_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(HERE))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    made = Project(folder)
    made.write("\n".join(LINES) + "\n", "lines.txt")
    made.write(RECIPE)
    return made


@pytest.fixture
def ran(project: Project) -> Project:
    """The same after one run."""
    project("run")
    return project


@pytest.fixture
def edit_recipe(project: Project) -> Callable[[str, str], None]:
    """edit_recipe(old, new): change the recipe's text."""

    def edit(old: str, new: str) -> None:
        text = (project.folder / "recipe.yaml").read_text("utf-8")
        assert old in text
        project.write(text.replace(old, new))

    return edit
