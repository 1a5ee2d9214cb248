"""The ledger's seven tables, and the small functions that bring an older ledger up to them."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

metadata = sa.MetaData()

# What ran. A recipe's run is the parent of the runs it needed; `key` is the cache key, `parts` its readable pieces.
run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("parent", sa.String),
    sa.Column("name", sa.String, nullable=False, default=""),  # the step's name in its recipe
    sa.Column("step", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("parts", sa.Text, nullable=False),
    sa.Column("status", sa.String, nullable=False),  # running, done, failed, stopped, lost
    sa.Column("owner", sa.String, nullable=False),  # host:pid:start of the process that holds the lease
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("cpu_seconds", sa.Float),
    sa.Column("peak_memory_bytes", sa.BigInteger),
    sa.Column("threads", sa.Integer),
    sa.Column("log", sa.String),
    sa.Column("error", sa.Text),
    sa.Column("outcome", sa.Text),  # JSON: a step's notes, or what each step of a recipe came to
    sa.Index("run_key", "key", "status"),
    sa.Index("run_step", "step", "started"),
    sa.Index("run_name", "name", "started"),
    sa.Index("run_parent", "parent"),
)

# An immutable artifact. `collected` is set when gc has removed its bytes.
artifact = sa.Table(
    "artifact",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("collected", sa.Float),
)

# What a run read (with the run that had made it) and what it made. Lineage follows these, not ids alone.
edge = sa.Table(
    "edge",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("direction", sa.String, primary_key=True),  # in, out
    sa.Column("role", sa.String, primary_key=True),  # the parameter: "data", "candidates.naive"
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("part", sa.String, nullable=False, default=""),
    sa.Column("made_by", sa.String),
    sa.Index("edge_artifact", "artifact", "direction"),
    sa.Index("edge_made_by", "made_by"),
)

# Numbers of a run: single values (point 0) and series. A score carries its whole record in `score`.
metric = sa.Table(
    "metric",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("point", sa.Integer, primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("score", sa.Text),
)

# Every move of every label, in order; the last one holds.
name = sa.Table(
    "name",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("run", sa.String),
    sa.Column("verdict", sa.String),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("at", sa.Float, nullable=False),
    sa.Index("name_label", "name", "label"),
)

# Things that happened to a subject (an artifact, a row, a service): stale, forgotten, served...
event = sa.Table(
    "event",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("data", sa.Text, nullable=False, default="{}"),
    sa.Index("event_subject", "subject"),
    sa.Index("event_kind", "kind"),
)

# What people wrote about a subject.
note = sa.Table(
    "note",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("author", sa.String, nullable=False, default=""),
    sa.Column("text", sa.Text, nullable=False),
    sa.Index("note_subject", "subject"),
)

TABLES = (run, artifact, edge, metric, name, event, note)


def m001_first_tables(connection: sa.Connection) -> None:
    """The seven tables as version 0.1 has them."""
    metadata.create_all(connection, tables=list(TABLES))


MIGRATIONS: list[Callable[[sa.Connection], None]] = [m001_first_tables]

applied = sa.Table("migration", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("at", sa.Float))
