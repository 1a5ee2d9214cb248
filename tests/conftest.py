"""Shared fixtures. Real data lies outside the repository; where it is absent the skips are printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loomwork.core.artifact import Artifact
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.step import Card

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real test data."""
    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}: set LOOMWORK_TEST_DATA")
    return DATA


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """make_dataset(rows, holdout=rows2): a dataset of lists of dicts, parts by keyword."""
    made = iter(range(1000))

    def make(rows: list[dict[str, Any]] | None = None, **parts: list[dict[str, Any]]) -> Dataset:
        out = tmp_path / f"dataset{next(made)}"
        out.mkdir()
        with DatasetWriter(out) as writer:
            for part, content in ({"data": rows} if rows is not None else {} | parts).items():
                writer.write(content, part=part)
        return Dataset(out)

    return make


@pytest.fixture
def run_step(tmp_path: Path) -> Callable[..., tuple[Any, Card]]:
    """run_step(function, data=..., setting=...): call a step with a fresh `out`; returns its artifact and card."""
    made = iter(range(1000))
    kinds = {cls.kind: cls for cls in Artifact.__subclasses__()}

    def run(function: Callable[..., Any], **arguments: Any) -> tuple[Any, Card]:
        out = tmp_path / f"out{next(made)}"
        out.mkdir()
        card = function(**arguments, out=out)
        kind = kinds.get(function.step.makes, Artifact)
        return kind(out), card or Card()

    return run
