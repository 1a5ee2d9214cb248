"""Making an artifact again: run its lineage once more, from its sources, and compare the bytes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loomwork.core import key as keys
from loomwork.core.call import reads_outside
from loomwork.core.errors import InputError, StepFailed
from loomwork.core.executor import Executor, LocalExecutor
from loomwork.core.home import Home
from loomwork.core.job import Job
from loomwork.core.lease import renewed
from loomwork.core.queries import SUPERSEDED
from loomwork.core.runner import GC
from loomwork.core.step import Card, Step, find_step

REMAKE = "remake"  # the step name of its runs in the ledger


@dataclass
class Remade:
    """One artifact that was made again.

    Args:
        artifact: the id it has in the ledger.
        new: the id of what came out this time.
        measures: its step writes what a clock says, so equal bytes are not expected.
        differences: what was not the same this time, from the cache key's parts.
        restored: the store had lost it, and has it again.
    """

    artifact: str
    step: str
    name: str
    new: str
    measures: bool
    seconds: float
    differences: list[str] = field(default_factory=list)
    restored: bool = False

    @property
    def equal(self) -> bool:
        return self.artifact == self.new


def remake(
    home: Home, artifact_id: str, *, only: bool = False, tell: Callable[[str], None] = lambda line: None
) -> list[Remade]:
    """Run an artifact's lineage again and compare every artifact on the way. What the store had lost it gets back.

    Args:
        only: run its own step only, on its inputs in the store.
        tell: hears which step runs.

    Returns: one entry an artifact, sources first.

    Raises:
        InputError: no run made it.
        StepFailed: a step could not be run again.
    """
    executor = LocalExecutor()
    done: dict[str, Remade] = {}
    # A run of its own, so that gc and other runs see that work is going on.
    run = home.ledger.begin(
        REMAKE, uuid.uuid4().hex, {"artifact": artifact_id, "only": only}, {}, name=REMAKE, unless=GC
    )
    if run is None:
        raise InputError("loom gc is at work in this home", "wait for it, and try again")
    try:
        with renewed(home.ledger.beat, run):
            _remake(home, executor, run, artifact_id, None, only, tell, done)
    except BaseException as error:
        home.ledger.fail(run, str(error))
        raise
    finally:
        executor.close()
    home.ledger.finish(run, None, Card({"remade": len(done), "equal": sum(m.equal for m in done.values())}))
    return list(done.values())


def _remake(
    home: Home,
    executor: Executor,
    own_run: str,
    artifact_id: str,
    run_id: str | None,
    only: bool,
    tell: Callable[[str], None],
    done: dict[str, Remade],
) -> None:
    if artifact_id in done:
        return
    if not home.store.has(artifact_id) and home.ledger.events(kind=SUPERSEDED, subject=artifact_id):
        raise InputError(
            f"{artifact_id[:12]} holds rows that were forgotten, and its bytes are gone: it is not made again",
            "run its recipe: it comes out without them",
        )
    makers = home.ledger.makers(artifact_id)
    record = home.ledger.run(run_id or (makers[0]["id"] if makers else ""))
    if record is None:
        raise InputError(f"no run in the ledger made {artifact_id[:12]}")
    edges = [e for e in home.ledger.edges(record["id"]) if e["direction"] == "in"]
    for edge in edges:
        if not only or not home.store.has(edge["artifact"]):
            _remake(home, executor, own_run, edge["artifact"], edge["made_by"], only, tell, done)
    tell(f"{record['name'] or record['step']} ({artifact_id[:12]})")
    started, missing = time.time(), not home.store.has(artifact_id)
    step = find_step(record["step"])
    new, changed = _run_again(home, executor, f"{own_run}.{len(done)}", step, record, edges)
    if new != artifact_id and home.ledger.artifact(new) is None:
        home.store.remove([new])
    done[artifact_id] = Remade(
        artifact_id,
        record["step"],
        record["name"],
        new,
        step.measures,
        time.time() - started,
        changed,
        restored=missing and new == artifact_id,
    )


def _run_again(
    home: Home, executor: Executor, name: str, step: Step, record: dict[str, Any], edges: list[dict[str, Any]]
) -> tuple[str, list[str]]:
    """Run a recorded run's step once more. Returns the id of what it made, and what is different now."""
    parts = record["parts"]
    settings = {**parts["settings"], **{n: v for n, v in parts.get("paths", {}).items() if n in step.settings}}
    outside = reads_outside(step, [e["role"] for e in edges])
    forgotten = home.ledger.events(kind="forgotten") if outside else []
    gone = [e["subject"] for e in forgotten if e["at"] < record["started"]]
    processes = parts.get("processes", 1)  # other sums, other bytes
    now = keys.key_parts(step, settings, parts["inputs"], digests=home.root / "digests", forgotten=gone)
    job = Job(
        run=name,
        step=record["step"],
        heavy=step.heavy,
        key=record["key"],
        settings=settings,
        inputs=inputs_of(home, step, edges),
        folder=str(home.folder("tmp") / name),
        work=str(home.folder("tmp") / f"{name}.work"),
        kept=str(home.folder("tmp") / f"{name}.work"),  # it is made again, not looked up
        log=str(home.folder("logs") / f"{time.strftime('%Y%m%d-%H%M%S')}-remake-{name}.log"),
        stop_file=str(home.folder("tmp") / f"{name}.stop"),
        store=str(home.store.root),
        store_url=home.store.url,
        device=parts.get("device", keys.device()),
        precision=parts.get("precision", keys.precision()),
        threads=max(1, (record["threads"] or 1) // processes),
        forgotten=gone,
        processes=processes,
    )
    outcome = executor.submit(job, lambda event: None).result()
    if outcome.error:
        raise StepFailed(f"{record['name'] or step.name} could not be run again: {outcome.error}", f"log: {job.log}")
    return outcome.artifact, keys.differences(parts, now)


def inputs_of(home: Home, step: Step, edges: list[dict[str, Any]]) -> dict[str, Any]:
    """A run's inputs as a job takes them, from its edges.

    Raises:
        LostArtifact, DamagedArtifact: one is not in the store.
    """
    inputs: dict[str, Any] = dict.fromkeys(step.inputs)
    for edge in edges:
        role, _, inner = edge["role"].partition(".")
        place = {"path": str(home.store.open(edge["artifact"]).path), "part": edge["part"]}
        shape = step.inputs[role].shape
        if shape == "list":
            inputs[role] = [*(inputs[role] or []), place]
        elif shape == "dict":
            inputs[role] = {**(inputs[role] or {}), inner: place}
        else:
            inputs[role] = place
    return inputs
