"""What the engines' libraries mean for cache keys."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from loomwork.core.step import find_step
from loomwork.models.engines import library_versions


def test_an_upgrade_of_a_library_is_another_version(monkeypatch):
    before = library_versions()
    real = importlib.metadata.version
    assert f"torch {real('torch')}" in before
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == "openvino" else real(name))
    assert "openvino 9.9" in library_versions() != before


def test_a_library_that_is_missing_is_no_error(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert library_versions() == "openvino none, tokenizers none, torch none"


@pytest.mark.parametrize("name", ["data.index", "evals.retrieval"])
def test_steps_that_work_without_a_model_need_no_optional_library(name):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    always = {line.partition("==")[0] for line in project["dependencies"]}
    step = find_step(name)
    assert set(step.uses) <= always
    assert step.version == library_versions()
