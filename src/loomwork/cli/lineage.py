"""loom lineage: where an artifact or a row came from, and what it touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home, find_artifact

if TYPE_CHECKING:
    from loomwork.core.home import Home
    from loomwork.core.lineage import Graph
    from loomwork.core.trace import Place, RowTrace


def lineage(
    thing: Annotated[
        str,
        typer.Argument(metavar="X", help="A name, an artifact's id, or a row's id.", autocompletion=complete_name),
    ],
    up: Annotated[bool, typer.Option("--up", help="Only what it came from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what came from it.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw the graph into this file.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where an artifact or a row came from, and what it touched.

    \b
    Examples:
      loom lineage docs-search@champion
      loom lineage 9f3c2a7be01d              a row: its sources, its datasets, the models that read it
      loom lineage docs-search --up --svg lineage.svg
    """
    from loomwork.core.errors import InputError

    opened = existing_home(home)
    both = up == down
    artifact, row = meant(opened, thing)
    if row:
        if svg:
            raise InputError("--svg draws the graph of an artifact; this is a row", "loom lineage ARTIFACT --svg FILE")
        from loomwork.core.trace import trace_row

        _show_row(opened, trace_row(opened, row), up=up or both, down=down or both, as_json=as_json)
    else:
        from loomwork.core.lineage import lineage as find

        _show_graph(find(opened, artifact, up=up or both, down=down or both), svg, as_json=as_json)


def meant(home: Home, text: str) -> tuple[str, str]:
    """(artifact id, "") or ("", row prefix) of what a person means: a name, an artifact, a row, or a step's name.

    Raises:
        InputError: nothing is meant.
    """
    from loomwork.core.errors import InputError
    from loomwork.core.rows import looks_like_row

    try:
        return home.find(text), ""
    except InputError:
        if looks_like_row(text):
            return "", text.lower()
        return find_artifact(home, text), ""


# ---- an artifact


def _show_graph(graph: Graph, svg: Path | None, *, as_json: bool) -> None:

    from loomwork.cli.text import echo_json

    if svg:
        svg.write_text(draw(graph), encoding="utf-8")
    if as_json:
        edges = [{"from": a, "to": b, "role": role, "part": part} for a, b, role, part in graph.edges]
        echo_json({"start": graph.start, "nodes": [n._asdict() for n in graph.nodes.values()], "edges": edges})
    elif svg:
        typer.echo(f"{len(graph.nodes)} runs drawn into {svg}")
    else:
        typer.echo(_tree(graph))


def draw(graph: Graph) -> str:
    """The graph as an SVG file that needs nothing else."""
    from loomwork.report.lineage import Node, State, lineage_graph
    from loomwork.report.svg import standalone

    nodes: list[Node] = []
    for n in in_order(graph):
        state: State = "stale" if n.stale else "named" if n.names else "ran"
        nodes.append(Node(n.run, n.name or n.step, n.kind, n.names[0] if n.names else n.step, state))
    return standalone(lineage_graph(nodes, [(a, b) for a, b, _, _ in graph.edges]))


def in_order(graph: Graph) -> list[Any]:
    """The nodes, each after those that it was made from."""
    sources: dict[str, set[str]] = {run: set() for run in graph.nodes}
    for a, b, _, _ in graph.edges:
        sources[b].add(a)
    from graphlib import TopologicalSorter

    return [graph.nodes[run] for run in TopologicalSorter(sources).static_order()]


def _tree(graph: Graph) -> str:
    from loomwork.cli.text import columns, duration, paint, short

    label = {run: n.name or n.step for run, n in graph.nodes.items()}
    read: dict[str, list[str]] = {}
    for a, b, _, part in graph.edges:
        read.setdefault(b, []).append(label[a] + (f"/{part}" if part else ""))
    rows = []
    for node in in_order(graph):
        mark = paint("▸", "cyan") if node.run == graph.start else " "
        came = "from " + ", ".join(dict.fromkeys(read[node.run])) if node.run in read else "from outside"
        state = " ".join([*node.names, *(["STALE"] if node.stale else [])])
        rows.append((mark, label[node.run], node.kind, short(node.artifact), duration(node.seconds), came, state))
    return columns(rows, header=("", "step", "kind", "artifact", "took", "made", ""), indent=1)


# ---- a row


def _show_row(home: Home, trace: RowTrace, *, up: bool, down: bool, as_json: bool) -> None:
    from loomwork.cli.text import columns, echo_json, heading, paint, short, when

    names = {p.run: (home.ledger.run(p.run) or {}).get("name") or p.step for p in [*trace.origins, *trace.places]}
    if as_json:
        found: dict[str, Any] = {"rows": [r.hex() for r in trace.rows], "content": _plain(trace.content)}
        if up:
            found["origins"] = [_place(p, names[p.run]) for p in trace.origins]
        if down:
            found["places"] = [_place(p, names[p.run]) for p in trace.places]
            seen = _trained_at(home, trace)
            found["touched"] = [vars(t) | {"training_steps": seen.get(t.artifact)} for t in trace.touched]
        echo_json(found)
        return
    typer.echo(heading(trace.rows[0].hex()))
    ids = {r.hex() for p in trace.origins for r in p.rows} | {trace.rows[0].hex()}
    gone = [e for e in home.ledger.events(kind="forgotten") if e["subject"] in ids]
    if gone:
        why = f": {gone[-1]['data']['reason']}" if gone[-1]["data"].get("reason") else ""
        typer.echo(paint(f"  forgotten {when(gone[-1]['at'])}{why}", "yellow"))
    typer.echo(columns([(paint(k, "dim"), _cut(v)) for k, v in _plain(trace.content).items()]))
    if up:
        typer.echo(f"\n{heading('Came from')}")
        rows = [(names[p.run], p.part, short(p.artifact), _ids(p)) for p in trace.origins]
        typer.echo(columns(rows) or "  outside: it was read as it is")
    if down:
        typer.echo(f"\n{heading('Is in')}")
        told = [(names[p.run], p.part, short(p.artifact), "; ".join(p.reasons) or _ids(p)) for p in trace.places]
        typer.echo(columns(told))
        typer.echo(f"\n{heading('Touched')}")
        touched = []
        seen = _trained_at(home, trace)
        for t in trace.touched:
            how = "read it" if t.direct else "came of what read it"
            if steps := seen.get(t.artifact):
                shown = ", ".join(f"{step:,}" for step in steps[:5]) + (" and more" if len(steps) > 5 else "")
                how = f"saw it at step {shown}"
            touched.append((t.name or t.step, t.kind, short(t.artifact), how, " ".join(t.names)))
        typer.echo(columns(touched) or "  nothing: no model, score or index read it")


def _trained_at(home: Home, trace: RowTrace) -> dict[str, list[int]]:
    """For each model that was trained on the rows, the steps that saw them, where the model's folder says."""
    from loomwork.core.trace import Tracer
    from loomwork.learn.order import positions

    ids = {row for place in trace.places for row in place.rows}
    found: dict[str, list[int]] = {}
    for t in trace.touched:
        model = Tracer(home).open(t.artifact) if t.direct and t.kind == "model" else None
        if model is not None and (model.path / "order" / "order.json").is_file():
            found[t.artifact] = [step + 1 for step in positions(model.path, ids)]  # as the curves count
    return found


def _ids(place: Place) -> str:
    shown = ", ".join(r.hex()[:12] for r in place.rows[:3])
    return shown + (f" and {len(place.rows) - 3} more" if len(place.rows) > 3 else "")


def _place(place: Place, name: str) -> dict[str, Any]:
    return {
        "artifact": place.artifact, "part": place.part, "run": place.run, "step": place.step, "name": name,
        "rows": [r.hex() for r in place.rows], "reasons": list(place.reasons),
    }  # fmt: skip


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """Columns for people and for JSON: ids as hex."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        return [plain(v) for v in value] if isinstance(value, list) else value

    return {name: plain(value) for name, value in content.items()}


def _cut(value: Any) -> str:
    text = " ".join((", ".join(map(str, value)) if isinstance(value, list) else str(value)).split())
    return text if len(text) <= 100 else text[:99] + "…"
