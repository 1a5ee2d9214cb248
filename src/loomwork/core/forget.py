"""Forgetting rows: new versions of the datasets without them, and a list of all that they touched, marked stale.

A row is forgotten from its source on: the rows from outside that it came from are remembered by id, so that reading
the source again leaves them out, and every row that came from those goes too. Nothing is rewritten in place.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loomwork.core import schema as t
from loomwork.core.artifact import Artifact, link_or_copy
from loomwork.core.dataset import SET_ASIDE
from loomwork.core.errors import InputError, StepFailed
from loomwork.core.home import Home
from loomwork.core.queries import STALE, SUPERSEDED
from loomwork.core.row_ids import content_ids
from loomwork.core.rows import mask_of, read_row, shards
from loomwork.core.runner import run_recipe
from loomwork.core.step import Card, step
from loomwork.core.tables import PLACE
from loomwork.core.trace import Place, Touched, Tracer, services_of

SHOWN_CHARACTERS = 60
SHOWN_ROWS = 20
FORGET, WITHOUT = "loom forget", "without_"  # its recipe, and what the names of its steps begin with


@dataclass(frozen=True)
class ForgetPlan:
    """What forgetting would do.

    Args:
        sources: ids of the rows from outside that will be left out from now on: those that were meant, and all rows of
            the same content, in whatever version they stand.
        places: every dataset part that holds them or rows that came from them.
        touched: what they went into: it will be marked stale.
        services: the names under which touched artifacts have been served.
        shown: for the first source rows, where each stands and how it begins.
        already: they were forgotten before, and no dataset that is in use holds them.
        stand_ins: rows that were dropped as duplicates of one of these, and may come in its place.
        at: when the ledger was read (seconds since the epoch).
    """

    sources: tuple[bytes, ...]
    places: tuple[Place, ...]
    touched: tuple[Touched, ...]
    services: tuple[str, ...]
    stand_ins: int
    shown: tuple[str, ...] = ()
    already: bool = False
    at: float = field(default_factory=time.time)


@dataclass
class Forgotten:
    """What forgetting did.

    Args:
        versions: old dataset -> new one.
        stale: what was marked stale.
        moved: names of datasets that now point at the new version.
    """

    plan: ForgetPlan
    versions: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


def plan_forget(home: Home, prefixes: Sequence[str], *, rows: Collection[bytes] = ()) -> ForgetPlan:
    """What would go and what would be stale if these rows were forgotten. Changes nothing.

    Args:
        prefixes: row ids, or the first letters of them.
        rows: more rows, by their whole ids.

    Raises:
        InputError: one of them means no row, or several; or a dataset that would have to be looked at is lost.
    """
    at = time.time()
    tracer = Tracer(home)
    sources = _with_copies(tracer, _sources(tracer, {tracer.resolve(p) for p in prefixes} | set(rows)))
    places, touched = tracer.spread(sources)
    _refuse_lost(home, tracer)
    gone = {r for p in places for r in p.rows}
    done = {e["subject"] for e in home.ledger.events(kind=SUPERSEDED)}
    current = tuple(p for p in places if p.artifact not in done)
    known = {e["subject"] for e in home.ledger.events(kind="forgotten")}
    return ForgetPlan(
        tuple(sorted(sources)),
        current,
        tuple(touched),
        tuple(services_of(home, touched)),
        _stand_ins(tracer, gone),
        tuple(_shown(home, places, source) for source in sorted(sources)[:SHOWN_ROWS]),
        not current and {s.hex() for s in sources} <= known,
        at,
    )


def _refuse_lost(home: Home, tracer: Tracer) -> None:
    """What a lost dataset held cannot be known: the rows would come in again, or something they touched be missed."""
    superseded = {e["subject"] for e in home.ledger.events(kind=SUPERSEDED)}
    for artifact_id in sorted(tracer.unseen - superseded):
        record = home.ledger.artifact(artifact_id)
        if record and record["collected"] is None:
            raise InputError(
                f"dataset {artifact_id[:12]}, which these rows may have come through, is not in the store as it was",
                f"make it again first: loom remake {artifact_id[:12]}",
            )


def forget(home: Home, plan: ForgetPlan, *, reason: str = "") -> Forgotten:
    """Carry a plan out: new dataset versions, names of datasets moved to them, everything touched marked stale."""
    result = Forgotten(plan)
    by_dataset: dict[str, set[bytes]] = {}
    for place in plan.places:
        by_dataset.setdefault(place.artifact, set()).update(place.rows)
    home.ledger.add_events("forgotten", {r.hex(): {"reason": reason} for r in _remembered_ids(home, plan)})
    shutil.rmtree(home.root / "kept", ignore_errors=True)  # what models answered to them may stand there
    result.versions = _new_versions(home, by_dataset) if by_dataset else {}
    home.ledger.add_events(SUPERSEDED, {old: {"by": new} for old, new in result.versions.items()})
    for name in home.ledger.names():
        new = result.versions.get(name["artifact"])
        if new:
            home.ledger.move_name(name["name"], name["label"], new, reason=f"{len(plan.sources)} rows were forgotten")
            result.moved.append(f"{name['name']}@{name['label']}")
    result.stale = [t.artifact for t in plan.touched]
    about = {"because": "rows were forgotten", "rows": [r.hex() for r in plan.sources]}
    home.ledger.add_events(STALE, {t.artifact: about | {"runs": list(t.runs)} for t in plan.touched})
    _catch_up(home, plan, result, reason)
    return result


def _catch_up(home: Home, plan: ForgetPlan, result: Forgotten, reason: str) -> None:
    """Do the same for what runs ended with since the plan was made; a run that ends from now on sees the events."""
    ended = sa.select(t.run.c.id).join(t.edge, t.edge.c.run == t.run.c.id)
    ended = ended.where(t.run.c.ended >= plan.at, t.run.c.status == "done", t.edge.c.direction == "out")
    ended = ended.where(t.run.c.step != without_rows.step.name)  # type: ignore[attr-defined]
    if not home.ledger.rows(ended.limit(1)):
        return
    later = plan_forget(home, [], rows=plan.sources)
    known = {run for x in plan.touched for run in x.runs}
    new = tuple(x for x in later.touched if not known.issuperset(x.runs))
    if later.places or new:
        more = forget(home, replace(later, touched=new), reason=reason)
        result.versions |= more.versions
        result.stale += more.stale
        result.moved += more.moved


def _shown(home: Home, places: Sequence[Place], row: bytes) -> str:
    """Where a row stands and how it begins, so that people see whether it is the right one."""
    place = next(p for p in places if row in p.rows)
    content = read_row(home.store.open(place.artifact), place.part, row)
    texts = [str(v) for k, v in content.items() if isinstance(v, str) and k not in PLACE and len(v) > 0]
    longest = " ".join(max(texts, key=len, default="").split())
    return f"{' '.join(str(content[c]) for c in PLACE if content.get(c))}  {longest[:SHOWN_CHARACTERS]}".strip()


def _remembered_ids(home: Home, plan: ForgetPlan) -> set[bytes]:
    """The ids of the source rows, and of their content wherever it may stand the next time it is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = set(plan.sources)
    for place in plan.places:
        mine = set(plan.sources) & set(place.rows)
        for _, shard in shards(home.store.open(place.artifact), place.part) if mine else ():
            table = pq.read_table(shard, partitioning=None)
            ids |= set(content_ids(table.filter(pa.array(mask_of(table, mine, origins=False)))).to_pylist())
    return ids


def _sources(tracer: Tracer, rows: set[bytes]) -> set[bytes]:
    """The rows from outside that rows came from: those whose own origins are nowhere."""
    from_outside = [p for p in tracer.origins(rows) if not tracer.reads.get(p.run)]
    found = {r for p in from_outside for r in p.rows}
    reached = {r for p in tracer.spread(found)[0] for r in p.rows} if found else set()
    return found | (rows - reached)  # what comes of no row that is still known is its own source


def _with_copies(tracer: Tracer, sources: set[bytes]) -> set[bytes]:
    """These source rows, and all others of the same content: of another line, another version, another source."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    outside = [a for a in tracer.datasets() if any(not tracer.reads.get(run) for run in tracer.makers[a])]
    opened = [a for name in outside if (a := tracer.open(name)) is not None]
    contents: set[bytes] = set()
    for artifact in opened:
        for part, shard in shards(artifact):
            if part not in SET_ASIDE and (mine := mask_of(_ids(shard), sources, origins=False)).any():
                table = pq.read_table(shard, partitioning=None)
                contents |= set(content_ids(table.filter(pa.array(mine))).to_pylist())
    found = set(sources)
    for artifact in opened if contents else ():
        for part, shard in shards(artifact):
            if part not in SET_ASIDE:
                table = pq.read_table(shard, partitioning=None)
                pairs = zip(content_ids(table).to_pylist(), table.column("row_id").to_pylist(), strict=True)
                found |= {row for content, row in pairs if content in contents}
    return found


def _ids(shard: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(shard, columns=["row_id", "origin_ids"], partitioning=None)


def _stand_ins(tracer: Tracer, gone: set[bytes]) -> int:
    """How many dropped rows name one of these as the reason."""
    import pyarrow.parquet as pq

    names = {r.hex() for r in gone}
    count = 0
    for artifact_id in tracer.datasets():
        artifact = tracer.open(artifact_id)
        for _, shard in shards(artifact, "dropped") if artifact else ():
            reasons = pq.read_table(shard, columns=["reason"], partitioning=None).column("reason").to_pylist()
            count += sum(any(word.strip(":,") in names for word in str(r).split()) for r in reasons)
    return count


def _new_versions(home: Home, rows: dict[str, set[bytes]]) -> dict[str, str]:
    """Make a version of each dataset without its rows, as a recipe like any other."""
    use = without_rows.step.name  # type: ignore[attr-defined]
    steps = {
        f"{WITHOUT}{old[:12]}": {"use": use, "data": old, "rows": sorted(r.hex() for r in ids)}
        for old, ids in rows.items()
    }
    run = run_recipe({"recipe": FORGET, "steps": steps}, home=home)
    failed = [s for s in run.steps.values() if not s.good]
    if failed:
        raise StepFailed(f"{failed[0].name}: {failed[0].error}", f"log: {failed[0].log}")
    return {old: run.steps[f"{WITHOUT}{old[:12]}"].artifact for old in rows}


@step(makes="dataset")
def without_rows(data: Artifact, *, rows: list[str], out: Path) -> Card:
    """Write a dataset without some rows, in all its parts and sidecars. Shards without such rows are shared.

    Args:
        data: a dataset, all parts of it.
        rows: ids (hex) of the rows to leave out.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    gone = {bytes.fromhex(r) for r in rows}
    removed = 0
    for folder in sorted(p for p in data.path.iterdir() if p.is_dir()):
        (out / folder.name).mkdir()
    for loose in sorted(p for p in data.path.iterdir() if p.is_file()):
        link_or_copy(loose, out / loose.name)
    for part, shard in shards(data):
        mask = ~mask_of(pq.read_table(shard, columns=["row_id", "origin_ids"], partitioning=None), gone, origins=False)
        aligned = [shard, *sorted(data.path.glob(f"{part}+*/{shard.name}"))]
        removed += int((~mask).sum())
        for source in aligned:
            target = out / source.parent.name / source.name
            if mask.all():
                link_or_copy(source, target)
            else:
                table = pq.read_table(source, partitioning=None).filter(pa.array(mask))
                pq.write_table(table, target, compression="zstd")
    return Card({"rows_removed": removed})
