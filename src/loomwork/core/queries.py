"""The ledger's queries that are asked often: built once."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from loomwork.core import schema as t

STALE, FRESH, SUPERSEDED = "stale", "fresh", "superseded"  # kinds of events
STALE_AND_FRESH = sa.select(t.event).where(t.event.c.kind.in_((STALE, FRESH))).order_by(t.event.c.seq)


@functools.cache
def upsert(dialect: str, table: str) -> Any:
    """INSERT that takes what is known already: a resumed run's point is replaced, a collected artifact is back."""
    from sqlalchemy.dialects import postgresql, sqlite

    insert = (sqlite if dialect == "sqlite" else postgresql).insert
    if table == "artifact":
        return insert(t.artifact).on_conflict_do_update(index_elements=["id"], set_={"collected": None})
    new = insert(t.metric)
    replaced = {"value": new.excluded.value, "score": new.excluded.score}
    return new.on_conflict_do_update(index_elements=["run", "name", "point"], set_=replaced)


_out = t.edge.alias("made")
FIND_DONE = (
    sa.select(t.run.c.id.label("run"), _out.c.artifact, t.artifact.c.kind, t.run.c.outcome)
    .join(_out, sa.and_(_out.c.run == t.run.c.id, _out.c.direction == "out"))
    .join(t.artifact, t.artifact.c.id == _out.c.artifact)
    .where(t.run.c.key == sa.bindparam("key"), t.run.c.status == "done")
    .order_by(t.run.c.ended.desc())
    .limit(1)
)
MAKERS = (
    sa.select(t.run)
    .join(_out, sa.and_(_out.c.run == t.run.c.id, _out.c.direction == "out"))
    .where(_out.c.artifact == sa.bindparam("artifact"), t.run.c.status == "done")
    .order_by(t.run.c.ended.desc())
)
RUN = sa.select(t.run).where(t.run.c.id == sa.bindparam("run_id"))
RUNNING = sa.select(t.run.c.id, t.run.c.owner, t.run.c.heartbeat).where(
    t.run.c.key == sa.bindparam("key"), t.run.c.status == "running"
)
RUNNING_STEP = sa.select(t.run.c.owner, t.run.c.heartbeat).where(
    t.run.c.step == sa.bindparam("step"), t.run.c.status == "running"
)
IS_SUPERSEDED = sa.select(t.event.c.seq).where(
    t.event.c.subject == sa.bindparam("subject"), t.event.c.kind == SUPERSEDED
)
SINCE = (  # what happened to the inputs of a run since it began
    sa.select(t.event.c.kind)
    .join(t.edge, sa.and_(t.edge.c.artifact == t.event.c.subject, t.edge.c.direction == "in"))
    .join(t.run, t.run.c.id == t.edge.c.run)
    .where(t.run.c.id == sa.bindparam("run_id"), t.event.c.at >= t.run.c.started)
    .where(t.event.c.kind.in_((SUPERSEDED, STALE)))
)
LOST = (
    t.run.update()
    .where(t.run.c.id == sa.bindparam("run_id"), t.run.c.status == "running")
    .values(status="lost", ended=sa.bindparam("now"), error="its process died")
)
FINISH = (
    t.run.update()
    .where(t.run.c.id == sa.bindparam("run_id"))
    .values(
        status=sa.bindparam("status"),
        ended=sa.bindparam("now"),
        cpu_seconds=sa.bindparam("cpu"),
        peak_memory_bytes=sa.bindparam("memory"),
        outcome=sa.bindparam("outcome"),
        error=sa.bindparam("error"),
    )
)
_recipe = t.run.alias("recipe")
LAST_DONE = (
    sa.select(t.run.c.id, t.run.c.parts)
    .join(_recipe, _recipe.c.id == t.run.c.parent)
    .where(_recipe.c.name == sa.bindparam("recipe"))
    .where(t.run.c.name == sa.bindparam("name"), t.run.c.step == sa.bindparam("step"), t.run.c.status == "done")
    .order_by(t.run.c.started.desc())
    .limit(1)
)
NAMED = (
    sa.select(t.name)
    .where(t.name.c.name == sa.bindparam("name"), t.name.c.label == sa.bindparam("label"))
    .order_by(t.name.c.seq.desc())
    .limit(1)
)
