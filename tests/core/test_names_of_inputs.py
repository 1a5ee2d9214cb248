"""A baseline that does not exist yet is the first of its kind only where the recipe itself gives its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.job import opened
from loomwork.core.runner import run_recipe
from loomwork.core.step import find_step


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


def test_an_error_about_a_dataset_names_the_input_that_it_is(make_dataset) -> None:
    step = find_step("train.pretrain")
    given = make_dataset(train=[{"text": "a"}], other=[{"name": "b"}])
    place = {"path": str(given.path), "part": "other"}
    assert opened(step, "data", place | {"part": "train"}).role == "data"
    for held in (opened(step, "holdout", place), opened(step, "holdout", place | {"part": "train"}).select("other")):
        with pytest.raises(InputError, match=r"^holdout: dataset part 'other' has no column 'text'"):
            held.require("text")
    with pytest.raises(InputError, match=r"^dataset part 'other' has no column 'text'"):
        given.select("other").require("text")
