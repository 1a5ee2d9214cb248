"""A step whose settings come in groups, for tests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from loomwork.core.step import Card, Files, Group, step


@dataclass(frozen=True)
class Speed:
    """How fast.

    Args:
        rate: of change.
        shape: of the curve.
        table: where speeds are written.
    """

    rate: Annotated[float, Gt(0)] = 0.1
    shape: Literal["straight", "bent"] = "straight"
    table: Annotated[Path | None, Files()] = None


@dataclass(frozen=True)
class Size:
    """How much.

    Args:
        rows: at once.
    """

    rows: Annotated[int, Ge(1)] = 16


@step(makes="note")
def draw(
    *,
    name: str = "x",
    speed: Annotated[Speed, Group()] = Speed(rate=0.5),
    size: Annotated[Size, Group()] = Size(),
    out: Path,
) -> Card:
    """Write down what was given.

    Args:
        name: of the drawing.
    """
    given = asdict(speed) | asdict(size) | {"name": name, "twice": type(speed).__name__ + type(size).__name__}
    (out / "given.json").write_text(json.dumps(given, default=str))
    return Card({"rows": float(size.rows)})
