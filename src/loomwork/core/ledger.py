"""The ledger: what ran, from what, to what, with which numbers. SQLite, or PostgreSQL by URL."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from loomwork.core import queries as q
from loomwork.core import schema as t
from loomwork.core.database import Database, Record
from loomwork.core.errors import InputError, LoomError
from loomwork.core.lease import is_alive, owner
from loomwork.core.queries import FRESH as FRESH
from loomwork.core.queries import STALE, SUPERSEDED
from loomwork.core.score import Score
from loomwork.core.step import Card


@dataclass(frozen=True)
class Used:
    """One input of a run: which artifact, which part of it, and the run that had made it."""

    artifact: str
    part: str = ""
    made_by: str | None = None


@dataclass(frozen=True)
class Made:
    """What a finished run made."""

    artifact: str
    kind: str
    bytes: int


def is_stale(stale: Mapping[str, Sequence[Record]], artifact: str, run: str | None) -> bool:
    """Whether an artifact is stale as what a run made of it: another run may have made the same bytes of other rows.

    Args:
        stale: as `Ledger.stale` gives it.
        run: that made it; None where that is not known.
    """
    return any(run is None or run in why.get("runs", [run]) for why in stale.get(artifact, ()))


class Overtaken(LoomError):
    """Rows that a step read were forgotten while it ran."""


def _told(card: Card) -> Record:
    return {"notes": card.notes} | ({"incomplete": card.incomplete} if card.incomplete else {})


class Ledger(Database):
    """A ledger at a SQLAlchemy URL, brought up to date on opening."""

    # -- runs and leases

    def find_done(self, key: str) -> Record | None:
        """The last finished run of a cache key: {"run", "artifact", "kind"}, and why it is "incomplete" if it is."""
        found = self.row(q.FIND_DONE, key=key)
        lacks = found and json.loads(found.pop("outcome") or "{}").get("incomplete")
        return {**found, "incomplete": lacks} if found and lacks else found

    def begin(
        self,
        step: str,
        key: str,
        parts: Record,
        inputs: Mapping[str, Used],
        *,
        name: str = "",
        parent: str | None = None,
        threads: int = 0,
        log: str = "",
        lost: str = "",
        unless: str = "",
    ) -> str | None:
        """Take the lease of a key and record a running run.

        Args:
            lost: a finished run of this key whose result is no longer in the store.
            unless: a step of which no run may be live.

        Returns: the run's id, or None while another live process holds the lease, or has just finished the work, or a
            run of `unless` is live.
        """
        now, run_id, me = time.time(), uuid.uuid4().hex, owner()
        with self.writing(lock=unless or key) as connection:
            if unless:
                running = connection.execute(q.RUNNING_STEP, {"step": unless}).mappings()
                if any(is_alive(other["owner"], other["heartbeat"]) for other in running):
                    return None
            for other in connection.execute(q.RUNNING, {"key": key}).mappings():
                if is_alive(other["owner"], other["heartbeat"]):
                    return None
                connection.execute(q.LOST, {"run_id": other["id"], "now": now})
            done = connection.execute(q.FIND_DONE, {"key": key}).first()
            if done and done.run != lost:
                return None
            connection.execute(
                t.run.insert(),
                dict(id=run_id, parent=parent, name=name, step=step, key=key, parts=json.dumps(parts), status="running",
                     owner=me, started=now, heartbeat=now, threads=threads, log=log),
            )  # fmt: skip
            if inputs:
                connection.execute(
                    t.edge.insert(),
                    [
                        dict(run=run_id, direction="in", role=r, artifact=u.artifact, part=u.part, made_by=u.made_by)
                        for r, u in inputs.items()
                    ],
                )
        return run_id

    def finish(
        self,
        run_id: str,
        made: Made | None,
        card: Card,
        *,
        cpu_seconds: float = 0.0,
        peak_memory_bytes: int = 0,
        outcome: Record | None = None,
    ) -> None:
        """Record a run as done, with what it made and the numbers of its card, in one transaction.

        What became stale while it was read makes the result stale.

        Raises:
            Overtaken: a dataset that it read was superseded since it began: rows of it were forgotten.
        """
        now = time.time()
        with self.writing(lock=SUPERSEDED) as connection:
            if made is not None:
                since = {e["kind"]: e for e in connection.execute(q.SINCE, {"run_id": run_id}).mappings()}
                if SUPERSEDED in since:
                    raise Overtaken("rows that it read were forgotten while it ran", "run it again")
                if STALE in since:
                    data = json.dumps({"because": "what it was made of became stale while it was made"})
                    connection.execute(t.event.insert(), dict(at=now, kind=STALE, subject=made.artifact, data=data))
                known = dict(id=made.artifact, kind=made.kind, bytes=made.bytes, created=now)
                connection.execute(q.upsert(connection.dialect.name, "artifact"), known)
                connection.execute(
                    t.edge.insert(),
                    dict(run=run_id, direction="out", role="out", artifact=made.artifact, part="", made_by=run_id),
                )
            points = [dict(run=run_id, name=n, point=0, value=float(v), score=None) for n, v in card.metrics.items()]
            points += [
                dict(run=run_id, name=s.name, point=0, value=_score(s).value, score=json.dumps(s.to_json()))
                for s in card.scores
            ]
            if points:
                connection.execute(q.upsert(connection.dialect.name, "metric"), points)
            connection.execute(
                q.FINISH,
                dict(run_id=run_id, status="done", now=now, cpu=cpu_seconds, memory=peak_memory_bytes,
                     outcome=json.dumps(outcome if outcome is not None else _told(card)), error=None),
            )  # fmt: skip

    def adopt(self, run_id: str, inputs: Mapping[str, Used]) -> str:
        """Record that a finished run's result is that of other inputs of the same bytes too. Returns the new run."""
        new, now = uuid.uuid4().hex, time.time()
        with self.writing() as connection:
            run = dict(connection.execute(q.RUN, {"run_id": run_id}).mappings().one())
            connection.execute(t.run.insert(), run | dict(id=new, started=now, heartbeat=now, ended=now))
            edges = connection.execute(sa.select(t.edge).where(t.edge.c.run == run_id)).mappings()
            made = [dict(e) | dict(run=new, made_by=new) for e in edges if e["direction"] == "out"]
            read = [
                dict(run=new, direction="in", role=r, artifact=u.artifact, part=u.part, made_by=u.made_by)
                for r, u in inputs.items()
            ]
            connection.execute(t.edge.insert(), made + read)
            metrics = connection.execute(sa.select(t.metric).where(t.metric.c.run == run_id)).mappings()
            if copies := [dict(m) | dict(run=new) for m in metrics]:
                connection.execute(t.metric.insert(), copies)
        return new

    def fail(
        self,
        run_id: str,
        error: str,
        *,
        status: str = "failed",
        cpu_seconds: float = 0.0,
        peak_memory_bytes: int = 0,
        outcome: Record | None = None,
    ) -> None:
        """Record that a run failed or was stopped, and why."""
        with self.writing() as connection:
            connection.execute(
                q.FINISH,
                dict(run_id=run_id, status=status, now=time.time(), cpu=cpu_seconds, memory=peak_memory_bytes,
                     outcome=json.dumps(outcome or {}), error=error),
            )  # fmt: skip

    def beat(self, run_ids: Sequence[str]) -> None:
        """Renew the leases of running runs."""
        if run_ids:
            with self.writing() as connection:
                connection.execute(t.run.update().where(t.run.c.id.in_(run_ids)).values(heartbeat=time.time()))

    def live_runs(self) -> list[Record]:
        """The runs whose leases are held by living processes."""
        rows = self.rows(sa.select(t.run).where(t.run.c.status == "running"))
        return [r for r in rows if is_alive(r["owner"], r["heartbeat"])]

    def mark_lost(self) -> None:
        """Mark the runs that are called running, and whose processes are dead, as lost."""
        rows = self.rows(sa.select(t.run.c.id, t.run.c.owner, t.run.c.heartbeat).where(t.run.c.status == "running"))
        dead = [r["id"] for r in rows if not is_alive(r["owner"], r["heartbeat"])]
        if dead:
            with self.writing() as connection:
                connection.execute(q.LOST, [{"run_id": run, "now": time.time()} for run in dead])

    def add_points(self, run_id: str, points: Sequence[tuple[str, int, float]]) -> None:
        """Add points of metric series; a point that is there already is replaced (a resumed run repeats some)."""
        latest = {(n, p): v for n, p, v in points if math.isfinite(v)}  # a curve may have a gap, a database no NaN
        if not latest:
            return
        with self.writing() as connection:
            connection.execute(
                q.upsert(connection.dialect.name, "metric"),
                [dict(run=run_id, name=n, point=p, value=v, score=None) for (n, p), v in latest.items()],
            )

    # -- names, events, notes

    def move_name(
        self,
        name: str,
        label: str,
        artifact: str,
        *,
        run: str | None = None,
        verdict: str | None = None,
        reason: str = "",
        was: Collection[str | None] | None = None,
    ) -> bool:
        """Point `name@label` at an artifact; the earlier moves stay as its history.

        Args:
            was: move it only if it points at one of these (None: at nothing).

        Returns: whether it was moved.
        """
        with self.writing(lock=f"{name}@{label}") as connection:
            if was is not None:
                now = connection.execute(q.NAMED, {"name": name, "label": label}).mappings().first()
                if (now["artifact"] if now else None) not in was:
                    return False
            connection.execute(
                t.name.insert(),
                dict(
                    name=name, label=label, artifact=artifact, run=run, verdict=verdict, reason=reason, at=time.time()
                ),
            )
        return True

    def names(self) -> list[Record]:
        """Where every `name@label` points now."""
        newest = sa.select(sa.func.max(t.name.c.seq)).group_by(t.name.c.name, t.name.c.label)
        return self.rows(sa.select(t.name).where(t.name.c.seq.in_(newest)).order_by(t.name.c.name, t.name.c.label))

    def named(self, name: str, label: str) -> Record | None:
        return self.row(q.NAMED, name=name, label=label)

    def name_history(self, name: str) -> list[Record]:
        return self.rows(sa.select(t.name).where(t.name.c.name == name).order_by(t.name.c.seq.desc()))

    def add_events(self, kind: str, subjects: Mapping[str, Record]) -> None:
        """Record the same kind of event for several subjects, in one transaction."""
        now = time.time()
        if subjects:
            with self.writing(lock=kind) as connection:
                connection.execute(
                    t.event.insert(),
                    [dict(at=now, kind=kind, subject=s, data=json.dumps(d)) for s, d in subjects.items()],
                )

    def events(self, *, kind: str = "", subject: str = "") -> list[Record]:
        query = sa.select(t.event).order_by(t.event.c.seq)
        if kind:
            query = query.where(t.event.c.kind == kind)
        if subject:
            query = query.where(t.event.c.subject == subject)
        return [{**r, "data": json.loads(r["data"])} for r in self.rows(query)]

    def is_superseded(self, artifact: str) -> bool:
        """Whether `loom forget` made another version of a dataset without some of its rows."""
        return self.row(q.IS_SUPERSEDED, subject=artifact) is not None

    def stale(self) -> dict[str, list[Record]]:
        """What is stale now, and why: marked so, and not made anew since from what is left."""
        found: dict[str, list[Record]] = {}
        for event in self.rows(q.STALE_AND_FRESH):
            if event["kind"] == FRESH:
                found.pop(event["subject"], None)
            else:
                found.setdefault(event["subject"], []).append(json.loads(event["data"]))
        return found

    def add_note(self, subject: str, text: str, author: str = "") -> None:
        with self.writing() as connection:
            connection.execute(t.note.insert(), dict(at=time.time(), subject=subject, text=text, author=author))

    def notes(self, subject: str) -> list[Record]:
        return self.rows(sa.select(t.note).where(t.note.c.subject == subject).order_by(t.note.c.seq))

    # -- reading runs and artifacts

    def run(self, run_id: str) -> Record | None:
        found = self.row(q.RUN, run_id=run_id)
        if found:
            found["parts"] = json.loads(found["parts"])
            found["outcome"] = json.loads(found["outcome"] or "{}")
        return found

    def artifact(self, artifact_id: str) -> Record | None:
        return self.row(sa.select(t.artifact).where(t.artifact.c.id == artifact_id))

    def artifacts_like(self, prefix: str) -> list[str]:
        """The ids that begin with a prefix."""
        return [
            r["id"]
            for r in self.rows(sa.select(t.artifact.c.id).where(t.artifact.c.id.startswith(prefix, autoescape=True)))
        ]

    def read_as(self, prefix: str) -> list[str]:
        """The artifacts of which runs read something of a digest that begins so: keys and models tell of data by it."""
        found = set()
        some = sa.select(t.run.c.id, t.run.c.parts).where(t.run.c.parts.contains(f'"{prefix}', autoescape=True))
        for row in self.rows(some):
            read = json.loads(row["parts"]).get("inputs", {})
            roles = {role for role, digest in read.items() if str(digest).startswith(prefix)}
            found |= {e["artifact"] for e in self.edges(row["id"]) if e["direction"] == "in" and e["role"] in roles}
        return sorted(found)

    def edges(self, run_id: str) -> list[Record]:
        return self.rows(sa.select(t.edge).where(t.edge.c.run == run_id).order_by(t.edge.c.direction, t.edge.c.role))

    def makers(self, artifact_id: str) -> list[Record]:
        """The finished runs that made an artifact, the latest first."""
        return self.rows(q.MAKERS, artifact=artifact_id)

    def metrics(self, run_id: str) -> list[Record]:
        rows = self.rows(
            sa.select(t.metric).where(t.metric.c.run == run_id).order_by(t.metric.c.name, t.metric.c.point)
        )
        return [{**r, "score": json.loads(r["score"]) if r["score"] else None} for r in rows]

    def last_done(self, recipe: str, name: str, step: str) -> Record | None:
        """The newest finished run of a step under its name in a recipe: its id and key parts."""
        found = self.row(q.LAST_DONE, recipe=recipe, name=name, step=step)
        return {**found, "parts": json.loads(found["parts"])} if found else None

    def last_runs(self, *, step: str = "", name: str = "", limit: int = 20) -> list[Record]:
        """The newest runs of a step, or of a recipe's step name, finished or not."""
        query = sa.select(t.run).order_by(t.run.c.started.desc()).limit(limit)
        if step:
            query = query.where(t.run.c.step == step)
        if name:
            query = query.where(t.run.c.name == name)
        rows = self.rows(query)
        return [{**r, "parts": json.loads(r["parts"]), "outcome": json.loads(r["outcome"] or "{}")} for r in rows]


def _score(score: Score) -> Score:
    if not isinstance(score, Score):
        raise InputError(
            f"{score!r} is not a Score", "build a core.score.Score: value, interval, n, method and digests"
        )
    return score
