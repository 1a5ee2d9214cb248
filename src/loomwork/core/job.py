"""One call of a step as plain data, and the function that carries it out, in any process on any machine."""

from __future__ import annotations

import contextlib
import errno
import inspect
import math
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from loomwork.core.artifact import Artifact, digest
from loomwork.core.context import Context, Event, use_context
from loomwork.core.errors import InputError, LoomError, Stopped, without_secrets
from loomwork.core.key import code_of
from loomwork.core.memory import begin_peak_memory, peak_memory_bytes
from loomwork.core.processes import environment_size, process_group
from loomwork.core.score import Score
from loomwork.core.step import Card, Step, find_step
from loomwork.core.store import Store

Place = dict[str, str]  # {"path": folder, "part": name}


@dataclass(frozen=True)
class Job:
    """A step call that is ready to run: every input is an open folder, every setting validated JSON.

    Args:
        run: the run's id in the ledger.
        step: the step's public name.
        heavy: it wants a process of its own.
        settings: JSON values.
        inputs: by parameter: a place, a list or dict of places, or None.
        folder: for the output while it is written; removed afterwards.
        work, kept, log, stop_file: see core/context.py.
        store, store_url: where the result is published.
        processes: how many carry it out together.
        rank: of this one among them. The first one, 0, makes the result; what the others write is thrown away.
    """

    run: str
    step: str
    heavy: bool
    key: str
    settings: dict[str, Any]
    inputs: dict[str, Any]
    folder: str
    work: str
    kept: str
    log: str
    stop_file: str
    store: str
    store_url: str = ""
    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1
    forgotten: list[str] = field(default_factory=list)
    processes: int = 1
    rank: int = 0
    code: str = ""  # the digest of the code that the key is of; "" where it was just looked at in this process

    def of_rank(self, rank: int) -> Job:
        """The same for one of its processes."""
        return replace(self, rank=rank, folder=f"{self.folder}.{rank}" if rank else self.folder)


@dataclass(frozen=True)
class Outcome:
    """What a job came to.

    Args:
        artifact: the id of what it made, "" if it failed.
        error: why it failed, "" if it did not. `stopped`: because the user asked. `died`: its process did.
        metrics, scores, notes, incomplete: its card.
    """

    artifact: str = ""
    bytes: int = 0
    error: str = ""
    stopped: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete: str = ""
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    died: bool = False

    @property
    def card(self) -> Card:
        return Card(self.metrics, [Score.from_json(s) for s in self.scores], self.notes, self.incomplete)


def carry_out(job: Job, report: Callable[[Event], None]) -> Outcome:
    """Run a job and publish what it made. Never raises: what goes wrong is in the outcome, and in the job's log."""
    out = Path(job.folder)
    usage = _Usage()
    try:
        step = find_step(job.step)
        if job.code and digest(code_of(step, job.settings)) != job.code:
            raise InputError("its code was edited after the recipe's run began", "run it again")
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        card = checked(call(step, job, out, report))
        artifact_id, size = ("", 0) if job.rank else publish(Store(Path(job.store), job.store_url), out, step)
    except Stopped as stop:
        return Outcome(error=str(stop), stopped=True, **usage.spent())
    except KeyboardInterrupt:
        return Outcome(error="interrupted", stopped=True, **usage.spent())
    except BaseException as error:
        traceback.print_exc()
        return Outcome(error=explain(error), **usage.spent())
    finally:
        shutil.rmtree(out, ignore_errors=True)
    scores = [asdict(s) for s in card.scores]
    return Outcome(artifact_id, size, "", False, card.metrics, scores, card.notes, card.incomplete, **usage.spent())


def call(step: Step, job: Job, out: Path, report: Callable[[Event], None]) -> Card:
    """Call the step's function under the job's context."""
    context = Context(
        key=job.key,
        work_folder=Path(job.work),
        kept_folder=Path(job.kept),
        device=job.device if job.processes == 1 else job.device.partition(":")[0],  # each takes its own
        precision=job.precision,
        threads=job.threads,
        forgotten=frozenset(bytes.fromhex(r) for r in job.forgotten),
        report=report if job.rank == 0 else lambda event: None,
        stop_file=Path(job.stop_file),
    )
    arguments: dict[str, Any] = {name: opened(step, name, value) for name, value in job.inputs.items()}
    arguments |= step.arguments(step.settings_model(**job.settings))
    if "out" in step.signature.parameters:
        arguments["out"] = out
    if job.processes > 1 and environment_size() != job.processes:
        raise InputError(
            f"the executor started {environment_size()} processes for a step that is to run in {job.processes}",
            "leave --processes out, or take an executor that starts them: --on local",
        )
    together = process_group(job.device, job.run) if job.processes > 1 else contextlib.nullcontext()
    with use_context(context), together:
        card = step.function(**arguments)
    if card is not None and not isinstance(card, Card):
        raise LoomError(f"step {step.name} returned a {type(card).__name__}", "a step returns a Card, or nothing")
    return card or Card()


def checked(card: Card) -> Card:
    """A card that the ledger can keep: plain finite numbers, real scores, no name twice.

    Raises:
        InputError: says which entry it is.
    """
    for score in card.scores:
        if not isinstance(score, Score):
            raise InputError(f"the card's score {score!r} is not a Score", "build a core.score.Score with its interval")
    names = [s.name for s in card.scores]
    twice = next((n for n in [*names, *card.metrics] if [*names, *card.metrics].count(n) > 1), None)
    if twice:
        raise InputError(f"the card has {twice!r} twice", "a score and a metric need different names")
    metrics = {name: float(value) for name, value in card.metrics.items()}
    bad = next((n for n, v in metrics.items() if not math.isfinite(v)), None)
    if bad:
        raise InputError(f"the card's metric {bad!r} is {metrics[bad]}", "leave out what could not be measured")
    return Card(metrics, card.scores, [str(n) for n in card.notes], card.incomplete)


def opened(step: Step, role: str, value: Any) -> Any:
    """The artifacts of one parameter, opened as the type that the step declares."""
    kind: type[Artifact] = step.inputs[role].type
    if value is None:
        return None
    if isinstance(value, list):
        return [kind.open(v["path"], v["part"]) for v in value]  # which of several it is a step says itself
    if "path" in value and "part" in value and isinstance(value["path"], str):
        return kind.open(value["path"], value["part"]).given_as(role)
    return {name: kind.open(v["path"], v["part"]) for name, v in value.items()}


def publish(store: Store, out: Path, step: Step) -> tuple[str, int]:
    artifact_id, manifest = store.seal(out, step.makes)
    return artifact_id, sum(p["bytes"] for p in manifest["parts"].values())


def explain(error: BaseException) -> str:
    """An error as one message for people: ours as they are, others with the place that raised them."""
    if isinstance(error, LoomError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = error.filename or "while writing"
        return f"the disk is full ({place})\n  free some space (loom gc), or set LOOMWORK_HOME to another disk"
    if isinstance(error, MemoryError):
        return "out of memory\n  lower the batch size, or run fewer jobs at once (--jobs 1)"
    frames = [f for f in inspect.trace() if "loomwork/core/job" not in f.filename]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return without_secrets(f"{type(error).__name__}: {error}{place}")


@contextlib.contextmanager
def logged_to(path: str) -> Iterator[None]:
    """Send this process's standard output and error to a file, C libraries' prints included."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush(), sys.stderr.flush()
    keep = os.dup(1), os.dup(2)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 1), os.dup2(target, 2)
        yield
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os.dup2(keep[0], 1), os.dup2(keep[1], 2)
        for handle in (*keep, target):
            os.close(handle)


class _Usage:
    """CPU seconds and peak memory from here on."""

    def __init__(self) -> None:
        self.cpu = _cpu_seconds()
        self.started = time.time()
        begin_peak_memory()

    def spent(self) -> dict[str, Any]:
        return {"cpu_seconds": _cpu_seconds() - self.cpu, "peak_memory_bytes": peak_memory_bytes()}


def _cpu_seconds() -> float:
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
