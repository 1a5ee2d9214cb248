"""One artifact, name or run: what the ledger and the store know of it."""

from __future__ import annotations

from typing import Any

from loomwork.cli.card import as_json, recorded, scores_table
from loomwork.cli.text import clip, columns, duration, heading, number, paint, short, size, when
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, LostArtifact
from loomwork.core.explain import step_run
from loomwork.core.home import Home
from loomwork.core.score import Score
from loomwork.core.tables import sidecar_of

HEX = set("0123456789abcdef")
SERIES_SHOWN = 8


def find(home: Home, text: str) -> dict[str, Any]:
    """What a person means: a name, an artifact, a run, or the last run of a recipe or step.

    Raises:
        InputError: nothing is meant, or several things.
    """
    name, _, label = text.partition("@")
    moves = [m for m in home.ledger.name_history(name) if not label or m["label"] == label]
    if moves:
        return {"type": "name", "name": text, "history": moves, "artifact": artifact(home, moves[0]["artifact"])}
    if len(text) >= 6 and not set(text) - HEX:
        runs, artifacts = _runs_like(home, text), home.ledger.artifacts_like(text)
        if len(runs) + len(artifacts) > 1:
            raise InputError(f"{text!r} begins {len(runs)} runs and {len(artifacts)} artifacts", "give more letters")
        if runs:
            return run(home, runs[0])
        if artifacts:
            return artifact(home, artifacts[0])
    last = step_run(home, name)
    if last and not label:
        return run(home, last["id"])
    thing, _, part = text.partition("/")
    home.find(thing)  # raises, with the nearest names
    if part:
        raise InputError(f"loom show is about the whole of {thing}", f"loom rows {text} shows rows of that part")
    raise InputError(f"there is no {text!r} in {home.root}")


def _runs_like(home: Home, prefix: str) -> list[str]:
    import sqlalchemy as sa

    from loomwork.core import schema as t

    return [r["id"] for r in home.ledger.rows(sa.select(t.run.c.id).where(t.run.c.id.startswith(prefix)).limit(9))]


# ---- as data


def artifact(home: Home, artifact_id: str) -> dict[str, Any]:
    """An artifact as data: parts, sizes, rows, who made it, its numbers, its names, its state."""
    ledger, store = home.ledger, home.store
    record = ledger.artifact(artifact_id) or {}
    here = (store.path(artifact_id).parent / "manifest.json").is_file()
    faults = store.faults(artifact_id) if here else []
    parts, columns_found = [], []
    if here and not faults:
        for name, entry in store.manifest(artifact_id)["parts"].items():
            rows = _rows(home, artifact_id, [n for n in entry["files"] if n.endswith(".parquet")])
            parts.append({"part": name, "files": len(entry["files"]), "bytes": entry["bytes"], "rows": rows})
        if store.manifest(artifact_id)["kind"] == Dataset.kind:
            columns_found = _columns(store.open(artifact_id, Dataset))
    makers = ledger.makers(artifact_id)
    return {
        "type": "artifact",
        "id": artifact_id,
        "kind": record.get("kind", ""),
        "bytes": record.get("bytes", 0),
        "created": record.get("created"),
        "state": _state(home, artifact_id, record, here=here, faults=faults),
        "faults": faults,
        "path": str(store.path(artifact_id)) if here else "",
        "parts": parts,
        "columns": columns_found,
        "names": [f"{n['name']}@{n['label']}" for n in ledger.names() if n["artifact"] == artifact_id],
        "stale": ledger.stale().get(artifact_id, []),
        "notes": ledger.notes(artifact_id),
        "made_by": run(home, makers[0]["id"]) if makers else None,
    }


def _state(home: Home, artifact_id: str, record: dict[str, Any], *, here: bool, faults: list[str]) -> str:
    if faults:
        return "damaged"
    if here:
        return "here"
    if record.get("collected"):
        return "collected"
    try:
        home.store.open(artifact_id)
    except LostArtifact:
        return "lost"
    return "fetched"


def _rows(home: Home, artifact_id: str, files: list[str]) -> int | None:
    """The rows of a part's Parquet files, from their footers."""
    if not files:
        return None
    import pyarrow.parquet as pq

    rows: int = sum(pq.read_metadata(home.store.path(artifact_id) / f).num_rows for f in files)
    return rows


def _columns(data: Dataset) -> list[dict[str, Any]]:
    """The columns of a dataset: name, type, the parts that have it, and the sidecar that it lies in, if in one."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in data.parts:
        chosen = data.select(part)
        for field in chosen.schema if chosen.shards() else ():
            kind = str(field.type)
            entry = {"column": field.name, "type": kind, "sidecar": sidecar_of(field), "parts": []}
            found.setdefault((field.name, kind), entry)["parts"].append(part)
    return list(found.values())


def run(home: Home, run_id: str) -> dict[str, Any]:
    """A run as data: key parts, inputs, what it made, numbers, log."""
    record = home.ledger.run(run_id) or {}
    rows = home.ledger.metrics(run_id)
    card = recorded(rows, record["outcome"].get("notes", []))
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row["name"] not in card.metrics and row["score"] is None:
            series.setdefault(row["name"], []).append((row["point"], row["value"]))
    edges = home.ledger.edges(run_id)
    return {
        "type": "run",
        **{k: record[k] for k in ("id", "name", "step", "status", "parent", "key", "started", "ended", "error")},
        **{k: record[k] for k in ("cpu_seconds", "peak_memory_bytes", "threads", "owner", "outcome")},
        "log": str(home.root / "logs" / record["log"]) if record["log"] else "",
        "parts": record["parts"],
        "inputs": [{k: e[k] for k in ("role", "artifact", "part", "made_by")} for e in edges if e["direction"] == "in"],
        "made": [e["artifact"] for e in edges if e["direction"] == "out"],
        "card": as_json(card),
        "series": series,
    }


# ---- for people


def told(found: dict[str, Any]) -> str:
    """The same, as text."""
    return {"artifact": _artifact, "run": _run, "name": _name}[found["type"]](found)


def _name(found: dict[str, Any]) -> str:
    from loomwork.cli.name import history_table

    return f"{heading(found['name'])}\n{history_table(found['history'])}\n\n{_artifact(found['artifact'])}"


def _artifact(found: dict[str, Any]) -> str:
    state = found["state"]
    if state != "here":
        state = paint(state, "red" if state in ("damaged", "lost") else "yellow")
    facts = [("artifact", found["id"]), ("kind", f"{found['kind']}, {size(found['bytes'])}, {state}")]
    if found["faults"]:
        facts.append(("damage", "; ".join(found["faults"])))
    if found["names"]:
        facts.append(("names", ", ".join(found["names"])))
    facts += [("stale", paint(s.get("because", "yes"), "yellow")) for s in found["stale"]]
    facts += [("note", f"{n['text']} ({n['author'] or 'unknown'}, {when(n['at'])})") for n in found["notes"]]
    if found["path"]:
        facts.append(("path", found["path"]))
    sections = [columns([(paint(k, "dim"), v) for k, v in facts], indent=0)]
    parts = [
        (p["part"], f"{p['files']:,}", size(p["bytes"]), "" if p["rows"] is None else f"{p['rows']:,}")
        for p in found["parts"]
    ]
    if parts:
        sections.append(columns(parts, header=("part", "files", "bytes", "rows"), right="bcd"))
    if found["columns"]:
        everywhere = len({p for c in found["columns"] for p in c["parts"]})
        listed = [
            (
                c["column"],
                c["type"],
                "" if len(c["parts"]) == everywhere else f"in {', '.join(c['parts'])}",
                f"sidecar {c['sidecar']}" if c["sidecar"] else "",
            )
            for c in found["columns"]
        ]
        hint = paint(f"  rows: loom rows {short(found['id'])}, or {short(found['id'])}/PART", "dim")
        sections.append(f"{columns(listed, header=('column', 'type', '', ''))}\n{hint}")
    if found["made_by"]:
        sections.append(f"{heading('Made by')}\n{_run(found['made_by'])}")
    return "\n\n".join(sections)


def _run(found: dict[str, Any]) -> str:
    spent = duration((found["ended"] or found["started"]) - found["started"])
    if found["cpu_seconds"]:
        spent += f", {duration(found['cpu_seconds'])} of CPU, peak {size(found['peak_memory_bytes'] or 0)}"
    facts = [("run", found["id"]), ("step", f"{found['name']} ({found['step']})" if found["name"] else found["step"])]
    facts += [("status", found["status"]), ("when", f"{when(found['started'])}, took {spent}")]
    facts += [("error", clip(line, 200)) for line in (found["error"] or "").splitlines()]
    if found["log"]:
        facts.append(("log", found["log"]))
    facts += [("made", a) for a in found["made"]]
    sections = [columns([(paint(k, "dim"), v) for k, v in facts], indent=0)]
    sections += [
        s for s in (_inputs(found), _settings(found["parts"]), _numbers(found), _recipe(found["outcome"])) if s
    ]
    return "\n\n".join(sections)


def _inputs(found: dict[str, Any]) -> str:
    rows = [
        (
            e["role"],
            short(e["artifact"]) + (f"/{e['part']}" if e["part"] else ""),
            f"by run {short(e['made_by'] or '')}",
        )
        for e in found["inputs"]
    ]
    return f"{heading('Read')}\n{columns(rows)}" if rows else ""


def _settings(parts: dict[str, Any]) -> str:
    rows = list({**parts.get("settings", {}), **parts.get("paths", {})}.items())
    rows += [(f"{name} (version)", version) for name, version in parts.get("uses", {}).items()]
    rows += [(k, parts[k]) for k in ("device", "precision") if k in parts]
    return f"{heading('Settings')}\n{columns(rows)}" if rows else ""


def _numbers(found: dict[str, Any]) -> str:
    card = found["card"]
    lines = []
    if card["scores"]:
        lines.append(scores_table([("", Score.from_json(s)) for s in card["scores"]]))
    if card["metrics"]:
        lines.append(columns([(n, number(v)) for n, v in card["metrics"].items()], right="b"))
    series = [
        (n, f"{len(p):,} points", f"{number(p[0][1])} -> {number(p[-1][1])}")
        for n, p in list(found["series"].items())[:SERIES_SHOWN]
    ]
    if series:
        lines.append(columns(series))
    lines += [f"  {note}" for note in card["notes"]]
    return f"{heading('Numbers')}\n" + "\n".join(lines) if lines else ""


def _recipe(outcome: dict[str, Any]) -> str:
    """What each step of a recipe's run came to, its gates and its names."""
    steps = [
        (name, s["status"], s["kind"], short(s["artifact"]), clip(s["error"]))
        for name, s in outcome.get("steps", {}).items()
    ]
    lines = [f"{heading('Steps')}\n{columns(steps)}"] if steps else []
    gates = [(g, r["decision"], r["reason"]) for g, r in outcome.get("rulings", {}).items()]
    if gates:
        lines.append(f"{heading('Gates')}\n{columns(gates)}")
    names = [(n, f"moved to {short(a)}") for n, a in outcome.get("moved", {}).items()]
    names += [(n, f"not moved: {why}") for n, why in outcome.get("kept", {}).items()]
    if names:
        lines.append(f"{heading('Names')}\n{columns(names)}")
    return "\n\n".join(lines)
