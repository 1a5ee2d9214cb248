"""Where a row came from and what it touched.

Rows are followed along `origin_ids` through the datasets on the edges of runs. Beyond the last dataset, whatever read
a row is touched by it, and so is all that was made from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from loomwork.core.artifact import Artifact
from loomwork.core.dataset import SET_ASIDE
from loomwork.core.errors import DamagedArtifact, InputError, LostArtifact
from loomwork.core.home import Home
from loomwork.core.lineage import labels_by_artifact
from loomwork.core.rows import ID_LETTERS, find_rows, ids_like, read_parts, read_row

_EDGES = sa.text(
    "SELECT r.id, r.step, r.name, e.direction, e.role, e.artifact, e.part, e.made_by, a.kind FROM edge e "
    "JOIN run r ON r.id = e.run JOIN artifact a ON a.id = e.artifact WHERE r.status = 'done' ORDER BY r.started, e.role"
)
Known = dict[str, dict[str, set[bytes]]]  # dataset -> part -> rows


@dataclass(frozen=True)
class Place:
    """Rows in one part of one dataset."""

    artifact: str
    part: str
    run: str  # that made the dataset
    step: str
    rows: tuple[bytes, ...]
    reasons: tuple[str, ...] = ()  # for the part `dropped`


@dataclass(frozen=True)
class Touched:
    """Something that is not a dataset, and that rows went into, at first or at second hand."""

    artifact: str
    kind: str
    run: str
    step: str
    name: str
    direct: bool
    names: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()  # all that made it so: another run may have made the same bytes without the rows


@dataclass
class RowTrace:
    """Where rows are, came from and went.

    Args:
        rows: the rows asked about.
        content: the columns of the first of them.
        origins: the places of the rows they came from, the nearest first; the last ones are rows from outside.
        places: every dataset part that holds the rows, or rows that came from them.
        touched: models, scores, verdicts, indexes that they went into.
        services: the names under which touched artifacts have been served.
    """

    rows: tuple[bytes, ...]
    content: dict[str, Any]
    origins: list[Place]
    places: list[Place]
    touched: list[Touched]
    services: list[str]


class Tracer:
    """Follows rows through the datasets of a home; what it has read it does not read again."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.made: dict[str, tuple[str, str]] = {}  # run -> (artifact, kind)
        self.steps: dict[str, tuple[str, str]] = {}  # run -> (step, name)
        self.reads: dict[str, list[tuple[str, str, str | None, str]]] = {}  # run -> [(artifact, part, made_by, kind)]
        self.readers: dict[str, list[tuple[str, str, str | None]]] = {}  # artifact -> [(run, part, made_by)]
        self.makers: dict[str, list[str]] = {}
        for row in home.ledger.rows(_EDGES):
            run = row["id"]
            self.steps[run] = row["step"], row["name"]
            if row["direction"] == "out":
                self.made[run] = row["artifact"], row["kind"]
                self.makers.setdefault(row["artifact"], []).append(run)
            else:
                self.reads.setdefault(run, []).append((row["artifact"], row["part"], row["made_by"], row["kind"]))
                self.readers.setdefault(row["artifact"], []).append((run, row["part"], row["made_by"]))
        self.labels = labels_by_artifact(home)
        self.unseen: set[str] = set()  # datasets on the way whose bytes are gone
        self._open: dict[str, Artifact | None] = {}

    def open(self, artifact_id: str) -> Artifact | None:
        """The artifact, or None where its bytes are gone."""
        if artifact_id not in self._open:
            try:
                self._open[artifact_id] = self.home.store.open(artifact_id)
            except (LostArtifact, DamagedArtifact):
                self._open[artifact_id] = None
        return self._open[artifact_id]

    def datasets(self) -> list[str]:
        """The ids of all datasets that runs made, oldest first."""
        return list(dict.fromkeys(artifact for artifact, kind in self.made.values() if kind == "dataset"))

    def resolve(self, prefix: str) -> bytes:
        """The row id that a hex prefix means.

        Raises:
            InputError: it means none, or several.
        """
        prefix = prefix.lower()
        found: set[bytes] = set()
        for artifact_id in self.datasets():
            artifact = self.open(artifact_id)
            if artifact:
                found |= ids_like(artifact, prefix)
            if found and len(prefix) == ID_LETTERS:
                break
        if not found:
            raise InputError(f"no row {prefix!r} in any dataset of {self.home.root}", "loom ask shows row ids")
        if len(found) > 1:
            raise InputError(f"{prefix!r} begins the ids of {len(found)} rows", "give more letters")
        return found.pop()

    def origins(self, ids: Iterable[bytes]) -> list[Place]:
        """The rows that these came from, the nearest dataset first."""
        places: dict[tuple[str, str], Place] = {}
        todo = [(run, rows) for run in self.made if (rows := self._held(run, frozenset(ids)))]
        seen = set(todo)
        while todo:
            run, rows = todo.pop(0)
            wanted = rows | self._parents(run, rows)
            for source, part, maker, kind in self.reads.get(run, []):
                upper = self.open(source) if kind == "dataset" else None
                if kind == "dataset" and upper is None:
                    self.unseen.add(source)
                if upper is None or maker is None:
                    continue
                found = frozenset(r for p in read_parts(upper, part) for r in find_rows(upper, p, wanted))
                if found:
                    places[source, part] = Place(source, part, maker, self.steps[maker][0], tuple(sorted(found)))
                if found and (maker, found) not in seen:
                    seen.add((maker, found))
                    todo.append((maker, found))
        newest_first = {run: -i for i, run in enumerate(self.steps)}
        return sorted(places.values(), key=lambda p: newest_first[p.run])

    def _held(self, run: str, ids: frozenset[bytes]) -> frozenset[bytes]:
        """Which of these rows are in the dataset that a run made."""
        artifact_id, kind = self.made[run]
        return (
            frozenset(r for rows in self._find(artifact_id, ids).values() for r in rows)
            if kind == "dataset"
            else frozenset()
        )

    def _parents(self, run: str, rows: frozenset[bytes]) -> frozenset[bytes]:
        found = self._find(self.made[run][0], rows)
        return frozenset(o for part in found.values() for origins in part.values() for o in origins)

    def _find(
        self, artifact_id: str, ids: Iterable[bytes], *, origins: bool = False
    ) -> dict[str, dict[bytes, list[bytes]]]:
        """By part: the rows of a dataset that have these ids, or came from rows that have."""
        artifact = self.open(artifact_id)
        if artifact is None:
            return {}
        parts = [p for p in artifact.manifest["parts"] if "+" not in p]
        found = {p: find_rows(artifact, p, set(ids), origins=origins) for p in parts}
        return {p: rows for p, rows in found.items() if rows}

    def spread(self, ids: Iterable[bytes]) -> tuple[list[Place], list[Touched]]:
        """Every dataset part that holds these rows or rows that came from them, and all that they went into."""
        wanted = set(ids)
        found = {a: self._find(a, wanted) for a in self.datasets()}
        known: Known = {a: {p: set(rows) for p, rows in parts.items()} for a, parts in found.items() if parts}
        touched: dict[str, dict[str, bool]] = {}  # artifact -> the runs that made it so, and whether each read rows
        todo = list(known)
        while todo:
            source = todo.pop(0)
            for run, part, made_by in self.readers.get(source, []):
                target, kind = self.made.get(run, ("", ""))
                rows = self._read(known, source, part)
                if not target or (source in known and not rows):
                    continue
                if source not in known and made_by is not None and made_by not in touched[source]:
                    continue  # it read what another run made: the same bytes, without the rows
                if kind == "dataset" and self.open(target) is None:
                    self.unseen.add(target)
                    continue
                if kind == "dataset":
                    grew = self._grow(known, target, rows)
                else:
                    runs = touched.setdefault(target, {})
                    grew = run not in runs
                    runs[run] = runs.get(run, False) or source in known
                if grew:
                    todo.append(target)
        places = [self._place(a, part, rows) for a, parts in known.items() for part, rows in sorted(parts.items())]
        return places, [self._touched(target, runs) for target, runs in touched.items()]

    def _read(self, known: Known, source: str, part: str) -> set[bytes]:
        """Which of the followed rows a step reads when it is given this dataset and part."""
        artifact = self.open(source) if source in known else None
        return {r for p in read_parts(artifact, part) for r in known[source].get(p, ())} if artifact else set()

    def _touched(self, artifact: str, runs: Mapping[str, bool]) -> Touched:
        first = next(iter(runs))
        labels = tuple(self.labels.get(artifact, ()))
        kind, direct = self.made[first][1], any(runs.values())
        return Touched(artifact, kind, first, *self.steps[first], direct, labels, tuple(runs))

    def _grow(self, known: Known, target: str, rows: set[bytes]) -> bool:
        """Add to `known` the rows of a dataset that came from `rows`. Returns whether there were new ones."""
        before = sum(map(len, known.get(target, {}).values()))
        for part, found in self._find(target, rows, origins=True).items():
            known.setdefault(target, {}).setdefault(part, set()).update(found)
        return sum(map(len, known.get(target, {}).values())) > before

    def _place(self, artifact_id: str, part: str, rows: set[bytes]) -> Place:
        run = self.makers[artifact_id][-1]
        reasons: tuple[str, ...] = ()
        artifact = self.open(artifact_id)
        if part in SET_ASIDE and artifact:
            reasons = tuple(str(read_row(artifact, part, r).get("reason", "")) for r in sorted(rows))
        return Place(artifact_id, part, run, self.steps[run][0], tuple(sorted(rows)), reasons)


def trace_row(home: Home, prefix: str) -> RowTrace:
    """Where a row came from, where it is, and what it touched.

    Raises:
        InputError: the prefix means no row, or several.
    """
    tracer = Tracer(home)
    row = tracer.resolve(prefix)
    places, touched = tracer.spread([row])
    first = next(p for p in places if row in p.rows)
    content = read_row(home.store.open(first.artifact), first.part, row)
    return RowTrace((row,), content, tracer.origins([row]), places, touched, services_of(home, touched))


def services_of(home: Home, touched: Iterable[Touched]) -> list[str]:
    """The names under which artifacts have been served, by the ledger's `served` events."""
    ids = {t.artifact for t in touched}
    served = [e for e in home.ledger.events(kind="served") if e["subject"] in ids]
    return sorted({str(e["data"].get("name", e["subject"][:12])) for e in served})
