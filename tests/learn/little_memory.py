"""Two runs in a process with little memory: one with large parts, one with many weights. See test_training.py."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import torch

from loomwork.core.errors import LoomError
from tests.learn.small_runs import Line, Points, run

ROOM = 600 << 20  # bytes, beyond what this process has when it is ready


class Wide(Line):
    """4 MB of each token, and again on the way back."""

    def forward(self, part: Points) -> torch.Tensor:
        rows = part.rows * 3  # 192 of a whole batch: 800 MB
        wide = self.layer.bias.expand(len(rows), 1 << 20) * 2.0
        return (wide**2).mean() * len(part.rows) * part.share


class Many(torch.nn.Module):
    """250 MB of weights: gradients have room, a second state of AdamW has none."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(62 << 20))

    def forward(self, part: Points) -> torch.Tensor:
        return self.weights.sum() * part.share


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Line(), Path(folder) / "ready", steps=1)  # what torch loads for a run is loaded
        many = Many()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        found = run(Wide(), Path(folder) / "wide", steps=3)
        print(len(found.losses), found.part_tokens)
        try:
            run(many, Path(folder) / "many", steps=1, part_tokens=64)
        except LoomError as error:
            print(error.what)


if __name__ == "__main__":
    main()
