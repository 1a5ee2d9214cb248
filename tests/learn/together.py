"""Training steps as test_distributed.py runs them, alone or as one of a group: python together.py RUNS.json."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from loomwork.core.artifact import Artifact, Model
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import LoomError, Stopped
from loomwork.core.processes import environment_rank, process_group
from loomwork.core.step import find_step


def carry_out(run: dict[str, Any]) -> dict[str, Any]:
    """Run one step; returns its curves and its card.

    Args:
        run: step, base, data, holdout, teacher, cached, settings; out, and work (shared by all processes). stop: after
            which step only the last process of the group hears of a request to stop, or 0.
    """
    step, settings = find_step(run["step"]), dict(run["settings"])
    for name, group in step.groups.items():
        given = {f.name: settings.pop(f.name) for f in fields(group) if f.name in settings}
        settings[name] = replace(step.signature.parameters[name].default, **given)
    curves: dict[str, dict[int, float]] = {}
    stop = Path(run["work"] + ".stop")

    def report(event: dict[str, Any]) -> None:
        if event["type"] == "metric":
            curves.setdefault(event["name"], {})[event["step"]] = event["value"]
            if event["name"] == "loss" and event["step"] == run["stop"]:
                stop.touch()

    rank = environment_rank()
    out = Path(f"{run['out']}.{rank}" if rank else run["out"])
    out.mkdir(parents=True)
    running = Context(
        work_folder=Path(run["work"]), threads=1, report=report, stop_file=stop if rank == run["hears"] else None
    )
    ended, metrics, notes = "", {}, []
    with use_context(running):
        inputs: dict[str, Any] = {n: Dataset(Path(run[n])) for n in ("data", "holdout") if run.get(n)}
        inputs |= {n: kind(Path(run[n])) for n, kind in (("teacher", Model), ("cached", Artifact)) if run.get(n)}
        try:
            card = step.function(Model(Path(run["base"])), **inputs, **settings, out=out)
            metrics, notes = card.metrics, card.notes
        except Stopped as error:
            ended = str(error)
        except LoomError as error:
            ended = "error: " + str(error)
    return {
        "curves": curves,
        "ended": ended,
        "metrics": metrics,
        "notes": notes,
        "wrote": sorted(map(str, out.rglob("*"))),
    }


if __name__ == "__main__":
    for number, run in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        with process_group("cpu", str(number)):
            told = carry_out(run)
        Path(f"{run['out']}.told.{environment_rank()}").write_text(json.dumps(told))
