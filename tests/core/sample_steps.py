"""Steps for tests of recipes: only their signatures matter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from loomwork.core.artifact import Artifact, Model
from loomwork.core.dataset import Dataset
from loomwork.core.score import Verdict
from loomwork.core.step import Card, Files, Names, step


@step(makes="dataset")
def make_rows(*, n: int = 3, out: Path) -> Card:
    """Make rows."""
    return Card()


@step(makes="dataset")
def from_files(
    *, path: Annotated[Path, Files("*.txt")], more: list[Path] | None = None, strict: bool = False, out: Path
) -> Card:
    """Read files."""
    return Card()


@step(makes="dataset")
def change(
    data: Dataset,
    *,
    rate: float = 0.1,
    margin: str = "",
    how: Literal["fast", "slow"] = "fast",
    columns: list[str] | None = None,
    weights: dict[str, float] | None = None,
    metric: Annotated[str, Names("loomwork.core.artifact")] = "digest",
    out: Path,
) -> Card:
    """Change rows."""
    return Card()


@step(makes="dataset")
def join(parts: list[Dataset], *, out: Path) -> Card:
    """Join datasets."""
    return Card()


@step(makes="model")
def fit(data: Dataset, base: Model | None = None, *, steps: int, out: Path) -> Card:
    """Fit a model."""
    return Card()


@step(makes="verdict")
def judge(models: dict[str, Model], *, alpha: float = 0.05, out: Path) -> Card:
    """Judge models."""
    return Card()


@step(makes="note")
def look(thing: Artifact, verdict: Verdict | None = None, *, out: Path) -> Card:
    """Look at anything."""
    return Card()


def no_step() -> None:
    """Not declared a step."""
