"""Small steps for tests of the runner: real datasets, nothing heavy imported."""

from __future__ import annotations

import os
import time
from pathlib import Path

from loomwork.core.artifact import Artifact, Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, Stopped
from loomwork.core.score import Ruling, Verdict, write_json, write_verdict
from loomwork.core.step import Card, step

FACTOR = 2


@step(makes="dataset")
def read_lines(*, path: Path, out: Path) -> Card:
    """One row a line."""
    with DatasetWriter(out) as writer:
        lines = path.read_text().splitlines()
        writer.write([{"text": t, "source": f"{path.name}:{i}"} for i, t in enumerate(lines)])
    return Card({"rows": writer.counts["data"]})


@step(makes="dataset")
def upper(data: Dataset, *, keep: str = "", out: Path) -> Card:
    """Rows in upper case; those without `keep` are dropped."""
    with DatasetWriter(out) as writer:
        for table in data.tables():
            for row in table.to_pylist():
                if keep in row["text"]:
                    writer.write([{"text": row["text"].upper() * FACTOR}], origins=[row["row_id"]])
                else:
                    writer.drop([row], "without: " + keep)
    return Card({"rows": writer.counts["data"]})


@step(makes="model", heavy=True)
def train(data: Dataset, *, steps: int = 3, seconds: float = 0.0, out: Path) -> Card:
    """A 'model' that counts its rows, in steps that can be resumed."""
    running = context()
    state = running.work / "step"
    first = int(state.read_text()) if state.exists() else 0
    for i in range(first, steps):
        if running.stop_requested:
            raise Stopped(f"stopped at step {i}")
        time.sleep(seconds)
        running.metric("loss", 1 / (i + 1), i + 1)
        running.progress(i + 1, steps, "steps")
        aside = state.with_suffix(".new")
        aside.write_text(str(i + 1))
        aside.replace(state)
    write_json(out / "model.json", {"rows": len(data)})
    print("trained on", len(data), "rows")
    return Card({"resumed_at": first})


@step(makes="model", heavy=True)
def dies(data: Dataset, *, how: str = "kill", out: Path) -> Card:
    """A step whose process does not come back, or that raises."""
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "full":
        raise OSError(28, "No space left on device", "somewhere")
    raise InputError("it will not do", "do something else")


@step(makes="verdict")
def judge(model: Model, *, passes: bool = True, out: Path) -> Card:
    """A verdict as told."""
    decision = "pass" if passes else "refuse"
    write_verdict(out, Ruling(decision, f"told to {decision}", 0.05, {"difference": 0.1}, model.digest))
    return Card()


@step(makes="note")
def several(models: dict[str, Model], verdicts: list[Verdict], base: Artifact | None = None, *, out: Path) -> Card:
    """Takes inputs of every shape."""
    write_json(out / "note.json", {"models": sorted(models), "verdicts": len(verdicts), "base": bool(base)})
    return Card()


@step(makes="note")
def bad_card(*, how: str, out: Path) -> Card:
    """A card that cannot be kept."""
    (out / "a").write_text("a")
    context().metric("loss", float("nan"), 1)
    return {"nan": Card({"x": float("nan")}), "score": Card(scores=[0.5]), "text": Card({"x": "many"})}[how]


@step(makes="dataset")
def read_slowly(*, path: Path, out: Path) -> Card:
    """Reads a file that somebody changes meanwhile."""
    with DatasetWriter(out) as writer:
        path.write_text(path.read_text() + "more\n")
        writer.write([{"text": t} for t in path.read_text().splitlines()])
    return Card()


@step(makes="note")
def random_bytes(*, out: Path) -> Card:
    """Not the same twice."""
    (out / "bytes").write_bytes(os.urandom(8))
    return Card()


@step(makes="note", parallel=True)
def together(data: Dataset, *, how: str = "work", out: Path) -> Card:
    """Several processes that need each other."""
    import torch
    import torch.distributed as dist

    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    running = context()
    if how == "kill" and rank == 1:
        os.kill(os.getpid(), 9)
    if how == "raise" and rank == 1:
        raise InputError("the second one will not", "do something else")
    stop = torch.zeros(())
    summed = torch.tensor(float(rank + 1))
    if size > 1:
        dist.all_reduce(summed)
    running.metric("rank", rank, 1)
    while how == "wait" and not stop:
        running.progress(1, 2)
        time.sleep(0.05)
        stop = torch.tensor(float(running.stop_requested))
        if size > 1:
            dist.all_reduce(stop)
    if stop:
        raise Stopped(f"stopped with {size}")
    write_json(out / "note.json", {"rows": len(data)})
    return Card({"sum": float(summed), "threads": running.threads, "rank": rank})


@step(makes="model")
def choose(candidates: dict[str, Model], verdict: Verdict, *, out: Path) -> Card:
    """The first candidate, its bytes as they are."""
    first = candidates[min(candidates)]
    (out / "model.json").write_bytes((first.path / "model.json").read_bytes())
    return Card()
