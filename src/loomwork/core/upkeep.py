"""Looking after a home: collect what nothing needs, and verify every byte."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from loomwork.core import schema as t
from loomwork.core.forget import FORGET, SUPERSEDED, WITHOUT
from loomwork.core.home import Home
from loomwork.core.runner import RECIPE

# ---- collect

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
    just have made, and all that those came from. A version without forgotten rows does not need the one that had them.
    """
    ledger, store = home.ledger, home.store
    live = ledger.live_runs()
    # A running step publishes before it is recorded: what is newer than the oldest lease is left alone. A file's time
    # may lie behind the clock by the system's tick, and by more on another machine's disk.
    oldest = min((r["started"] - CLOCKS_SECONDS for r in live), default=time.time() + 1)
    needed = _with_lineage(home, _roots(home, [r["id"] for r in live]))
    here = list(store.ids())
    doomed = [a for a in here if a not in needed and store.path(a).parent.stat().st_ctime < oldest]
    size = sum(p["bytes"] for a in doomed if not store.faults(a) for p in store.manifest(a)["parts"].values())
    leftovers = _leftovers(home, {r["key"] for r in live}, {r["id"] for r in live})
    if apply:
        with ledger.writing() as connection:  # before the bytes go: what is killed between is no loss
            for artifact_id in doomed:
                connection.execute(
                    t.artifact.update().where(t.artifact.c.id == artifact_id).values(collected=time.time())
                )
        store.remove(a for a in doomed if store.path(a).parent.stat().st_ctime < oldest)
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
    return Garbage(tuple(doomed), size, len(here) - len(doomed), len(leftovers))


def _roots(home: Home, live: list[str]) -> set[str]:
    roots = {n["artifact"] for n in home.ledger.names()}
    seen: set[str] = set()
    for run in home.ledger.last_runs(step=RECIPE, limit=1000):
        if run["status"] == "done" and run["name"] not in (*seen, FORGET):
            seen.add(run["name"])
            roots |= {s["artifact"] for s in run["outcome"].get("steps", {}).values() if s["artifact"]}
    for run_id in live:
        roots |= {e["artifact"] for e in home.ledger.edges(run_id)}
    return roots


def _with_lineage(home: Home, roots: set[str]) -> set[str]:
    """The roots and every artifact that they came from."""
    query = sa.select(t.edge.c.run, t.edge.c.direction, t.edge.c.artifact).join(t.run, t.run.c.id == t.edge.c.run)
    edges = home.ledger.rows(query.where(t.run.c.name.notlike(WITHOUT + "%")))
    read: dict[str, list[str]] = {}
    made_in: dict[str, list[str]] = {}
    for edge in edges:
        if edge["direction"] == "in":
            read.setdefault(edge["run"], []).append(edge["artifact"])
        else:
            made_in.setdefault(edge["artifact"], []).append(edge["run"])
    superseded = {e["subject"] for e in home.ledger.events(kind=SUPERSEDED)}
    marked = superseded | home.ledger.stale().keys()
    needed, todo = set(roots), list(roots)
    while todo:
        artifact = todo.pop()
        for run in made_in.get(artifact, []):
            for source in read.get(run, []):
                # What is not stale read no forgotten row: it can do without the version that has them.
                if source not in needed and (source not in superseded or artifact in marked):
                    needed.add(source)
                    todo.append(source)
    return needed


def _leftovers(home: Home, live_keys: set[str], live_runs: set[str]) -> list[Path]:
    """Half-done work that no living run holds, and what was set aside as damaged."""
    work = [p for p in home.folder("work").iterdir() if p.is_dir() and p.name not in live_keys]
    temporary = [p for p in home.folder("tmp").iterdir() if p.name.split(".")[0] not in live_runs]
    half = [*(home.store.root / "artifacts").glob(".*"), *(home.store.root / "fetching").glob("*")]
    damaged = list((home.store.root / "quarantine").glob("*"))
    return [*work, *temporary, *half, *damaged]


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
    ids = list(home.store.ids())
    damaged = {}
    for done, artifact_id in enumerate(ids):
        faults = home.store.faults(artifact_id, deep=True)
        if faults:
            damaged[artifact_id] = faults
            home.store.quarantine(artifact_id)
        progress(done + 1, len(ids))
    known = {r["id"]: r for r in home.ledger.rows(sa.select(t.artifact))}
    present = set(ids) - set(damaged)
    lost = [a for a, r in known.items() if a not in present and a not in damaged and r["collected"] is None]
    lost = [a for a in lost if not (home.store.url and home.store.has(a))]
    return Check(len(ids), damaged, sorted(lost), sorted(present - set(known)))
