"""Lineage of artifacts, both ways, along the edges of runs: two runs may have made the same bytes."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.ledger import is_stale

_EDGE = "e.run, e.artifact, e.made_by, e.role, e.part"
_INPUT = "e.direction = 'in' AND e.made_by IS NOT NULL"
_WALK = (  # only our own words are put in
    f"WITH RECURSIVE walk(run, artifact, made_by, role, part) AS (SELECT {_EDGE} FROM edge e "  # noqa: S608
    f"WHERE e.{{here}} = :start AND {_INPUT} UNION SELECT {_EDGE} FROM walk "
    f"JOIN edge e ON e.{{here}} = walk.{{there}} WHERE {_INPUT}) SELECT * FROM walk"
)
_WAYS = {"up": _WALK.format(here="run", there="made_by"), "down": _WALK.format(here="made_by", there="run")}
FOLLOWED_HERE = 1 << 15  # edges
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
    with _no_gc():
        return _lineage(home, artifact_id, up, down)


@contextmanager
def _no_gc() -> Iterator[None]:
    """Without garbage collection: it would look through the many small tuples again and again, and find nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _lineage(home: Home, artifact_id: str, up: bool, down: bool) -> Graph:
    makers = home.ledger.makers(artifact_id)
    if not makers:
        raise InputError(f"no run in the ledger made {artifact_id[:12]}", "loom show lists what there is")
    start = makers[0]["id"]
    labels = labels_by_artifact(home)
    stale = home.ledger.stale()
    made = {start: artifact_id}
    edges: set[tuple[str, str, str, str]] = set()
    with home.ledger.engine.connect() as connection:
        for way in ("up",) * up + ("down",) * down:
            for run, artifact, maker, role, part in _walk(connection, way, start):
                made[maker] = artifact
                made.setdefault(run, "")
                edges.add((maker, run, role, part))
        if up and down:  # what came from it has read more than what came from it
            below = sorted({run for _, run, _, _ in edges} - {start})
            edges |= {e for e in _inputs(connection, below) if e[0] in made}
        last = [run for run, artifact in made.items() if not artifact]  # nothing has read what they made
        made |= {r: row[2] for r, row in _look_up(connection, "edge", "run", "direction, artifact", last).items()}
        runs = _look_up(connection, "run", "id", "step, name, started, ended", made)
        kinds = _look_up(connection, "artifact", "id", "kind", set(made.values()))
    graph = Graph(start, edges=sorted(edges))
    for run, artifact in made.items():
        if artifact not in kinds:  # a run that reads it has not finished
            continue
        _, step, name, began, ended = runs[run]
        names = tuple(labels.get(artifact, ()))
        graph.nodes[run] = Node(
            run,
            step,
            name,
            artifact,
            kinds[artifact][1],
            (ended or began) - began,
            names,
            is_stale(stale, artifact, run),
        )
    graph.edges = [e for e in graph.edges if e[0] in graph.nodes and e[1] in graph.nodes]
    return graph


def _walk(connection: sa.Connection, way: str, start: str) -> Iterable[tuple[Any, ...]]:
    """The edges of inputs on all paths from a run: (run, artifact, made_by, role, part).

    Where the ledger has few edges, all are read and followed here: half the time that the database takes for a chain.
    """
    if _fetch(connection, "SELECT count(*) FROM edge")[0][0] > FOLLOWED_HERE:
        return _fetch(connection, _WAYS[way], start=start)
    near, far = (0, 2) if way == "up" else (2, 0)
    edges: dict[str, list[tuple[Any, ...]]] = {}
    for edge in _fetch(connection, f"SELECT {_EDGE} FROM edge e WHERE {_INPUT}"):  # noqa: S608  # our own words
        edges.setdefault(edge[near], []).append(edge)
    found, todo = [], [start]
    for run in todo:  # it grows
        for edge in edges.pop(run, ()):
            found.append(edge)
            todo.append(edge[far])
    return found


def _inputs(connection: sa.Connection, runs: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """All that some runs read: (made_by, run, role, part)."""
    query = sa.text(f"SELECT e.made_by, e.run, e.role, e.part FROM edge e WHERE {_INPUT} AND e.run IN :ids")  # noqa: S608
    query = query.bindparams(sa.bindparam("ids", expanding=True))
    for i in range(0, len(runs), LOOKED_UP_AT_ONCE):
        rows = connection.execute(query, {"ids": runs[i : i + LOOKED_UP_AT_ONCE]})
        yield from ((maker, run, role, part) for maker, run, role, part in rows)


def _fetch(connection: sa.Connection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """All rows as plain tuples: a long lineage has many."""
    cursor = connection.execute(sa.text(query), values).cursor
    return cursor.fetchall() if cursor else []  # type: ignore[return-value]


def _look_up(
    connection: sa.Connection, table: str, key: str, columns: str, ids: Collection[str]
) -> dict[str, tuple[Any, ...]]:
    """Rows by id: out of all rows of a table that is hardly larger than what is wanted, else only the wanted ones.

    Of the table of edges only those of outputs count.
    """
    where = " WHERE direction = 'out'" if table == "edge" else ""
    query = f"SELECT {key}, {columns} FROM {table}{where}"  # noqa: S608  # our own words
    if ids and _fetch(connection, f"SELECT count(*) FROM {table}")[0][0] < 4 * len(ids):  # noqa: S608
        wanted = ids if isinstance(ids, dict) else set(ids)
        return {row[0]: row for row in _fetch(connection, query) if row[0] in wanted}
    some = sa.text(f"{query}{' AND' if where else ' WHERE'} {key} IN :ids").bindparams(
        sa.bindparam("ids", expanding=True)
    )
    chosen, found = sorted(ids), {}
    for i in range(0, len(chosen), LOOKED_UP_AT_ONCE):
        for row in connection.execute(some, {"ids": chosen[i : i + LOOKED_UP_AT_ONCE]}):
            found[row[0]] = tuple(row)
    return found


def labels_by_artifact(home: Home) -> dict[str, list[str]]:
    """The `name@label`s that point at each artifact now."""
    labels: dict[str, list[str]] = {}
    for name in home.ledger.names():
        labels.setdefault(name["artifact"], []).append(f"{name['name']}@{name['label']}")
    return labels
