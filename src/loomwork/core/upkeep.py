"""Looking after a home: collect what nothing needs, and verify every byte."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loomwork.core import schema as t
from loomwork.core.errors import InputError
from loomwork.core.forget import FORGET, without_rows
from loomwork.core.home import Home
from loomwork.core.lease import renewed
from loomwork.core.ledger import is_stale
from loomwork.core.queries import SUPERSEDED
from loomwork.core.runner import GC, RECIPE
from loomwork.core.step import Card

# ---- collect

KEPT_SECONDS = 30 * 86_400.0
CLOCKS_SECONDS = 1.0  # by how much a file system's clock may lie behind this process's


@dataclass(frozen=True)
class Garbage:
    """What `loom gc` found: artifacts that nothing needs, their bytes, and how many are needed."""

    artifacts: tuple[str, ...]
    bytes: int
    kept: int
    leftovers: int


def collect_garbage(home: Home, *, apply: bool = False) -> Garbage:
    """Find, and with `apply` delete, the artifacts that nothing needs.

    Needed are: what a name points at, what the last finished run of each recipe made, what a running run reads or may
    just have made, all that those came from, and the verdicts that ever moved a name. A version without forgotten rows
    does not need the one that had them.
    While it deletes, no recipe's run begins (they wait); those that run already go on.

    Raises:
        InputError: another gc is at work.
    """
    if not apply:
        return _collect(home, "")
    own = home.ledger.begin(GC, GC, {}, {}, name=GC, unless=GC)
    if own is None:
        raise InputError("another loom gc is at work in this home", "wait for it")
    try:
        with renewed(home.ledger.beat, own):
            found = _collect(home, own)
        home.ledger.finish(own, None, Card(), outcome={"artifacts": len(found.artifacts), "bytes": found.bytes})
    except BaseException as error:
        home.ledger.fail(own, repr(error))
        raise
    return found


def _collect(home: Home, own: str) -> Garbage:
    """The same. `own`: the run of gc itself, if it is to delete."""
    ledger, store = home.ledger, home.store
    here = {a: _changed(store.path(a).parent) for a in store.ids()}
    half_done = _half_done(home)  # listed before the ledger is asked who lives: see remove_leftovers
    live = [r for r in ledger.live_runs() if r["id"] != own]
    # A running step publishes before it is recorded: what is newer than the oldest lease is left alone. A file's time
    # may lie behind the clock by the system's tick, and by more on another machine's disk.
    oldest = min((r["started"] - CLOCKS_SECONDS for r in live), default=time.time() + 1)
    needed = _with_lineage(home, _roots(home, [r["id"] for r in live])) | _verdicts(home)
    doomed = [a for a, changed in here.items() if a not in needed and changed < oldest]
    size = sum(p["bytes"] for a in doomed if not store.faults(a) for p in store.manifest(a)["parts"].values())
    leftovers = [p for p in half_done if _is_of_none(p, live)]
    gone = doomed
    if own:
        gone = [a for a in doomed if _changed(store.path(a).parent) < oldest]  # not opened since
        with ledger.writing() as connection:  # before the bytes go: what is killed between is no loss
            for artifact_id in gone:
                connection.execute(
                    t.artifact.update().where(t.artifact.c.id == artifact_id).values(collected=time.time())
                )
            # what is lost already, and nobody needs, is not to be missed for ever
            missing = sa.select(t.artifact.c.id, t.artifact.c.created).where(t.artifact.c.collected.is_(None))
            for row in connection.execute(missing).mappings().all():
                lost = row["id"] not in here and row["id"] not in needed and row["created"] < oldest
                if lost and not store.url and not store.path(row["id"]).parent.exists():
                    connection.execute(
                        t.artifact.update().where(t.artifact.c.id == row["id"]).values(collected=time.time())
                    )
        store.remove(gone)
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
    return Garbage(tuple(gone), size, len(here) - len(gone), len(leftovers))


def _changed(folder: Path) -> float:
    """When an artifact was published or last opened (seconds since the epoch); never if it is gone."""
    try:
        return folder.stat().st_ctime
    except FileNotFoundError:
        return math.inf


Made = tuple[str, str | None]  # an artifact, and the run that made it where that is known


def _roots(home: Home, live: list[str]) -> set[Made]:
    roots: set[Made] = {(n["artifact"], n["run"]) for n in home.ledger.names()}
    done = sa.select(t.run.c.name, t.run.c.outcome).where(t.run.c.step == RECIPE, t.run.c.status == "done")
    newest = sa.select(sa.func.max(t.run.c.started)).where(t.run.c.step == RECIPE, t.run.c.status == "done")
    newest = newest.where(t.run.c.name != FORGET).group_by(t.run.c.name)
    for run in home.ledger.rows(done.where(t.run.c.started.in_(newest), t.run.c.name != FORGET)):
        steps = json.loads(run["outcome"] or "{}").get("steps", {}).values()
        roots |= {(s["artifact"], s["run"]) for s in steps if s["artifact"]}
    for run_id in live:
        roots |= {(e["artifact"], e["made_by"]) for e in home.ledger.edges(run_id)}
    return roots


def _verdicts(home: Home) -> set[str]:
    """What moved a name, now or earlier: it is part of the name's history."""
    return {r["verdict"] for r in home.ledger.rows(sa.select(t.name.c.verdict).where(t.name.c.verdict.is_not(None)))}


def _with_lineage(home: Home, roots: set[Made]) -> set[str]:
    """The roots and every artifact that they came from: along the runs that made them, for others may have made the
    same bytes of other things.
    """
    query = sa.select(t.edge).join(t.run, t.run.c.id == t.edge.c.run)
    edges = home.ledger.rows(query.where(t.run.c.step != without_rows.step.name))  # type: ignore[attr-defined]
    read: dict[str, list[Made]] = {}
    made_in: dict[str, list[str]] = {}
    for edge in edges:
        if edge["direction"] == "in":
            read.setdefault(edge["run"], []).append((edge["artifact"], edge["made_by"]))
        else:
            made_in.setdefault(edge["artifact"], []).append(edge["run"])
    superseded, stale = {e["subject"] for e in home.ledger.events(kind=SUPERSEDED)}, home.ledger.stale()
    needed, todo = set(roots), list(roots)
    while todo:
        artifact, known = todo.pop()
        for run in [known] if known else made_in.get(artifact, []):
            marked = artifact in superseded or is_stale(stale, artifact, run)
            for source in read.get(run, []):
                # What is not stale read no forgotten row: it can do without the version that has them.
                if source not in needed and (source[0] not in superseded or marked):
                    needed.add(source)
                    todo.append(source)
    return {artifact for artifact, _ in needed}


def _half_done(home: Home) -> list[Path]:
    """Work that was begun and not ended, what steps kept for later calls, and what was set aside as damaged."""
    root = home.store.root
    folders = [home.folder("work"), home.folder("kept"), home.folder("tmp"), root / "fetching", root / "quarantine"]
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return [p for p in found if p.is_dir() or p.parent.name != "work"] + list((root / "artifacts").glob(".*"))


def _is_of_none(path: Path, live: list[dict[str, Any]]) -> bool:
    """Whether no living run is at it, nor will be: a recipe's run may yet take up any work that was left half done."""
    place = path.parent.name
    if place == "tmp":
        return path.name.split(".")[0] not in {r["id"] for r in live}
    if place == "kept":  # what no call has written to for so long is of an earlier version, most likely
        newest = max((f.stat().st_mtime for f in path.rglob("*")), default=0.0)
        return newest < time.time() - KEPT_SECONDS and not live
    recipes = any(r["step"] == RECIPE for r in live)
    return place == "quarantine" or not (recipes or path.name in {r["key"] for r in live})


# ---- verify


@dataclass(frozen=True)
class Check:
    """What `loom verify` found.

    Args:
        checked: how many artifacts were hashed.
        damaged: artifact -> what is wrong with it. They have been moved to quarantine.
        lost: artifacts that finished runs made, that gc did not collect, and that are not in the store.
        unrecorded: artifacts that no run made: left by a run that was killed before it could record them. Harmless.
    """

    checked: int
    damaged: dict[str, list[str]]
    lost: list[str]
    unrecorded: list[str]

    @property
    def clean(self) -> bool:
        return not self.damaged and not self.lost


def verify(home: Home, *, progress: Callable[[int, int], None] = lambda done, total: None) -> Check:
    """Hash every byte in the store and compare with the manifests and with the ledger."""
    store, known = home.store, sa.select(t.artifact.c.id).where(t.artifact.c.collected.is_(None))
    before = {r["id"] for r in home.ledger.rows(known)}
    ids = list(store.ids())
    damaged = {}
    for done, artifact_id in enumerate(ids):
        faults = store.faults(artifact_id, deep=True)
        if faults and store.path(artifact_id).parent.exists():
            damaged[artifact_id] = faults
            store.quarantine(artifact_id)
        progress(done + 1, len(ids))
    # Runs and gc may be at work: lost is what was to be there before and is to be there still, and is not there.
    after = {r["id"] for r in home.ledger.rows(known)}
    missing = [a for a in before & after if a not in damaged and not store.path(a).parent.exists()]
    lost = [a for a in missing if not (store.url and store.has(a))]
    recorded = {r["id"] for r in home.ledger.rows(sa.select(t.artifact.c.id))}
    return Check(len(ids), damaged, sorted(lost), sorted(set(ids) - set(damaged) - recorded))
