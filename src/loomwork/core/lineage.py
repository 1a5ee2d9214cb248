"""Lineage of artifacts, both ways, along the edges of runs: two runs may have made the same bytes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from loomwork.core.errors import InputError
from loomwork.core.home import Home

_STEPS = {
    "up": "SELECT e.made_by FROM walk JOIN edge e ON e.run = walk.run WHERE e.direction = 'in' AND e.made_by > ''",
    "down": "SELECT e.run FROM walk JOIN edge e ON e.made_by = walk.run AND e.direction = 'in'",
}
_WALK = (
    "WITH RECURSIVE walk(run) AS (SELECT CAST(:start AS VARCHAR) UNION {step}) "
    "SELECT e.run, e.direction, e.artifact, e.made_by, e.role, e.part FROM walk JOIN edge e ON e.run = walk.run"
)
LOOKED_UP_AT_ONCE = 500  # ids in one query, below every database's limit


class Node(NamedTuple):
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
    made: dict[str, str] = {}
    edges: set[tuple[str, str, str, str]] = set()
    with home.ledger.engine.connect() as connection:
        for step in ("up",) * up + ("down",) * down:
            for run, way, artifact, made_by, role, part in connection.execute(
                sa.text(_WALK.format(step=_STEPS[step])), {"start": start}
            ):
                if way == "out":
                    made[run] = artifact
                elif made_by:
                    edges.add((made_by, run, role, part))
        runs = _look_up(connection, "run", "id, step, name, started, ended", made)
        kinds = _look_up(connection, "artifact", "id, kind", set(made.values()))
    graph = Graph(start)
    for run, artifact in made.items():
        _, step, name, began, ended = runs[run]
        names = tuple(labels.get(artifact, ()))
        graph.nodes[run] = Node(
            run, step, name, artifact, kinds[artifact][1], (ended or began) - began, names, artifact in stale
        )
    graph.edges = sorted(e for e in edges if e[0] in made and e[1] in made)
    return graph


def _look_up(connection: sa.Connection, table: str, columns: str, ids: Collection[str]) -> dict[str, Any]:
    """Rows by id: all of a table that is hardly larger than what is wanted, else the wanted ones."""
    query = f"SELECT {columns} FROM {table}"  # noqa: S608  # both are our own words
    if connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() < 4 * len(ids):  # noqa: S608
        return {row[0]: row for row in connection.execute(sa.text(query)) if row[0] in ids}
    some = sa.text(query + " WHERE id IN :ids").bindparams(sa.bindparam("ids", expanding=True))
    wanted, found = sorted(ids), {}
    for i in range(0, len(wanted), LOOKED_UP_AT_ONCE):
        for row in connection.execute(some, {"ids": wanted[i : i + LOOKED_UP_AT_ONCE]}):
            found[row[0]] = row
    return found


def labels_by_artifact(home: Home) -> dict[str, list[str]]:
    """The `name@label`s that point at each artifact now."""
    labels: dict[str, list[str]] = {}
    for name in home.ledger.names():
        labels.setdefault(name["artifact"], []).append(f"{name['name']}@{name['label']}")
    return labels
