"""Runs of training steps by name, alone and in a pair of processes: what the tests of both compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from loomwork.core.dataset import DatasetWriter
from loomwork.core.processes import local_group
from tests.learn import together

TOGETHER = Path(together.__file__)


class Runs:
    """Runs by name, alone and in a pair.

    Args:
        folder: what is written goes there.
        base: the model that a run begins with.
        data: datasets by the name of the step that learns them, and that with -holdout.
        inputs: other bases, teachers and datasets of some runs, by the run's name.
    """

    def __init__(
        self, folder: Path, base: Path, data: dict[str, Path], inputs: dict[str, dict[str, Path]] | None = None
    ) -> None:
        self.folder, self.base, self.data, self.inputs = folder, base, data, inputs or {}
        self.told: dict[str, dict[str, Any]] = {}

    def plan(
        self, name: str, step: str, settings: dict[str, Any], *, work: str = "", stop: int = 0, pair: bool
    ) -> dict[str, Any]:
        kind = step.split(".")[1]
        inputs = {name: str(path) for name, path in self.inputs.get(name.removeprefix("split-"), {}).items()}
        place = self.folder / ("pair" if pair else "alone")
        place.mkdir(exist_ok=True)
        return {
            "name": name,
            "step": step,
            "base": str(self.base),
            "data": str(self.data[kind]) if kind in self.data else "",
            "holdout": str(self.data[f"{kind}-holdout"]) if kind in self.data else "",
            **inputs,
            "settings": settings,
            "out": str(place / name),
            "work": str(self.folder / "work" / (work or f"{place.name}-{name}")),
            "stop": stop,
            "hears": (1 if pair else 0) if stop else -1,
        }

    def alone(self, name: str, *given: Any, **more: Any) -> dict[str, Any]:
        self.told[f"alone/{name}"] = told = together.carry_out(self.plan(name, *given, pair=False, **more))
        return told

    def pair(self, plans: list[dict[str, Any]]) -> None:
        file = self.folder / "runs.json"
        file.write_text(json.dumps(plans))
        path = os.pathsep.join([str(TOGETHER.parents[2]), *sys.path])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [sys.executable, str(TOGETHER), str(file)], env=environment | group, stderr=subprocess.PIPE
            )
            for group in local_group(2)
        ]
        errors = [process.communicate()[1].decode() for process in started]
        assert [process.returncode for process in started] == [0, 0], "\n".join(e[-2000:] for e in errors)
        for plan in plans:
            for rank in (0, 1):
                file = Path(f"{plan['out']}.told.{rank}")
                told = json.loads(file.read_text())
                told["curves"] = {n: {int(s): v for s, v in c.items()} for n, c in told["curves"].items()}
                self.told[f"pair/{plan['name']}/{rank}"] = told

    def losses(self, name: str, series: str = "loss") -> list[float]:
        return list(self.told[name]["curves"].get(series, {}).values())

    def weights(self, name: str, file: str = "model.safetensors") -> dict[str, Any]:
        return load_file(self.folder / name / file)


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    with DatasetWriter(folder) as writer:
        writer.write(rows)
    return folder


def same_learning(runs: Runs, name: str, *, sgd: bool) -> None:
    """Two processes have the losses, gradients and weights of one."""
    for series in ("loss", "gradient_norm"):
        one, two = runs.losses(f"alone/{name}", series), runs.losses(f"pair/{name}/0", series)
        assert len(one) == len(two) > 5
        # AdamW divides gradients that are nothing but rounding by their own size, and so moves by them.
        assert two == pytest.approx(one, rel=2e-5 if sgd else 1e-3)
    one, two = runs.weights(f"alone/{name}"), runs.weights(f"pair/{name}")
    assert one.keys() == two.keys()
    for n in one:
        assert two[n].shape == one[n].shape
        assert (two[n].float() - one[n].float()).abs().max() < (1e-4 if sgd else 2e-3), n
        assert (two[n].float() - one[n].float()).abs().mean() < 1e-5, n
