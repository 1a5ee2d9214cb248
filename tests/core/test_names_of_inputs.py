"""A baseline that does not exist yet is the first of its kind only where the recipe itself gives its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe


def recipe(lines: Path, baseline: str) -> dict:
    steps = {
        "raw": {"use": "data.read", "path": str(lines)},
        "gate": {"use": "data.expect", "data": "$raw", "baseline": baseline},
    }
    return {"recipe": "r", "steps": steps, "gate": "$gate", "name": {"corpus@latest": "$raw"}}


def test_a_misspelt_baseline_is_refused_and_the_name_of_the_recipe_is_not(tmp_path: Path) -> None:
    lines = tmp_path / "a.txt"
    lines.write_text("one")
    home = Home(tmp_path / ".loom")
    for _ in range(2):  # before the name is there, and after
        with pytest.raises(InputError, match=r"(?s)baseline is corpsu@latest.*did you mean 'corpus@latest'"):
            run_recipe(recipe(lines, "corpsu@latest"), home=home)
        assert not run_recipe(recipe(lines, "corpus@latest"), home=home).failed
    assert home.find("corpus@latest")
