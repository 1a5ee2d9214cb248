"""Lineage of artifacts, both ways, along the edges of runs: two runs may have made the same bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from loomwork.core.errors import InputError
from loomwork.core.home import Home

_UP = "SELECT e.made_by FROM walk JOIN edge e ON e.run = walk.run AND e.direction = 'in' WHERE e.made_by IS NOT NULL"
_DOWN = "SELECT e.run FROM walk JOIN edge e ON e.made_by = walk.run AND e.direction = 'in'"
_WALK = "WITH RECURSIVE walk(run) AS (SELECT CAST(:start AS VARCHAR) UNION {step}) "
_NODES = (
    "SELECT r.id, r.step, r.name, e.artifact, a.kind, r.started, r.ended FROM walk JOIN run r ON r.id = walk.run "
    "JOIN edge e ON e.run = r.id AND e.direction = 'out' JOIN artifact a ON a.id = e.artifact"
)
_EDGES = (
    "SELECT e.made_by, e.run, e.role, e.part FROM walk JOIN edge e ON e.run = walk.run AND e.direction = 'in' "
    "WHERE e.made_by IS NOT NULL"
)


@dataclass(frozen=True)
class Node:
    """A run and the artifact that it made."""

    run: str
    step: str
    name: str
    artifact: str
    kind: str
    seconds: float
    names: tuple[str, ...] = ()
    stale: bool = False


@dataclass
class Graph:
    """Runs as nodes by id; edges (from run, to run, role, part) point the way the data went."""

    start: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str, str, str]] = field(default_factory=list)


def lineage(home: Home, artifact_id: str, *, up: bool = True, down: bool = True) -> Graph:
    """The runs that an artifact came from, and those that came from it.

    Raises:
        InputError: the ledger knows no run that made it.
    """
    makers = home.ledger.makers(artifact_id)
    if not makers:
        raise InputError(f"no run in the ledger made {artifact_id[:12]}", "loom show lists what there is")
    start = makers[0]["id"]
    labels = labels_by_artifact(home)
    stale = {e["subject"] for e in home.ledger.events(kind="stale")}
    graph = Graph(start)
    edges: set[tuple[str, str, str, str]] = set()
    with home.ledger.engine.connect() as connection:
        for wanted, step in ((up, _UP), (down, _DOWN)):
            if not wanted:
                continue
            walk = _WALK.format(step=step)
            for run, name, label, artifact, kind, began, ended in connection.execute(
                sa.text(walk + _NODES), {"start": start}
            ):
                names = tuple(labels.get(artifact, ()))
                graph.nodes[run] = Node(
                    run, name, label, artifact, kind, (ended or began) - began, names, artifact in stale
                )
            edges |= {tuple(e) for e in connection.execute(sa.text(walk + _EDGES), {"start": start})}
    graph.edges = sorted(e for e in edges if e[0] in graph.nodes and e[1] in graph.nodes)
    return graph


def labels_by_artifact(home: Home) -> dict[str, list[str]]:
    """The `name@label`s that point at each artifact now."""
    labels: dict[str, list[str]] = {}
    for name in home.ledger.names():
        labels.setdefault(name["artifact"], []).append(f"{name['name']}@{name['label']}")
    return labels
