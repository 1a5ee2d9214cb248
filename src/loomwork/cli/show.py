"""loom show: what is in a home, and everything about one artifact, name or run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home, is_there

if TYPE_CHECKING:
    from loomwork.core.home import Home

RECIPE = "recipe"  # core.runner.RECIPE: importing the runner for it would double the time of `loom show`


def show(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|ID|RUN]",
            help="A name, an artifact's id, a run's id, or the name of a recipe or a step.",
            autocompletion=complete_name,
            show_default=False,
        ),
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is here, or all about one artifact, name or run.

    \b
    Examples:
      loom show                              recipes, names, sizes, what is stale
      loom show docs-search@champion         a name: its artifact, history and verdicts
      loom show 3f2a91c0d4e1                 an artifact or a run, by the first letters of its id
      loom show dedup                        the last run of a step, or of a recipe
    """
    from loomwork.cli import show_one
    from loomwork.cli.text import echo_json
    from loomwork.core.home import open_home

    opened = existing_home(home) if thing else open_home(home)
    found = show_one.find(opened, thing) if thing else glance(opened)
    if as_json:
        echo_json(found)
    elif thing:
        typer.echo(show_one.told(found))
    else:
        typer.echo(_told(opened, found))


def glance(home: Home) -> dict[str, Any]:
    """The home as data: recipes' last runs, names, what is running, sizes by kind, what is stale."""
    import sqlalchemy as sa

    from loomwork.core import schema as t

    if not is_there(home):
        return {"home": str(home.root), "recipes": [], "names": [], "running": [], "artifacts": [], "stale": []}
    ledger = home.ledger
    newest = sa.select(sa.func.max(t.run.c.started)).where(t.run.c.step == RECIPE).group_by(t.run.c.name)
    last = sa.select(t.run).where(t.run.c.step == RECIPE, t.run.c.started.in_(newest)).order_by(t.run.c.started.desc())
    running = ledger.live_runs()
    alive = {r["id"] for r in running}
    recipes = [_recipe(ledger.run(row["id"]) or {}, alive) for row in ledger.rows(last)]
    kinds = sa.select(t.artifact.c.kind, sa.func.count().label("count"), sa.func.sum(t.artifact.c.bytes).label("bytes"))
    kinds = kinds.where(t.artifact.c.collected.is_(None)).group_by(t.artifact.c.kind).order_by(t.artifact.c.kind)
    stale = sorted(ledger.stale())
    return {
        "home": str(home.root),
        "recipes": recipes,
        "names": ledger.names(),
        "running": [{k: r[k] for k in ("id", "name", "step", "started")} for r in running],
        "artifacts": ledger.rows(kinds),
        "stale": [{"artifact": a, "kind": (ledger.artifact(a) or {}).get("kind", "")} for a in stale],
    }


def _recipe(run: dict[str, Any], alive: set[str]) -> dict[str, Any]:
    steps = run["outcome"].get("steps", {})
    counts: dict[str, int] = {}
    for step in steps.values():
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    refused = [g for g, r in run["outcome"].get("rulings", {}).items() if r["decision"] not in ("pass", "first")]
    return {
        "recipe": run["name"], "run": run["id"], "started": run["started"],
        "status": "lost" if run["status"] == "running" and run["id"] not in alive else run["status"],
        "seconds": (run["ended"] or run["started"]) - run["started"], "steps": counts, "refused": refused,
        "file": run["parts"].get("file", ""),
    }  # fmt: skip


def _told(home: Home, found: dict[str, Any]) -> str:
    from loomwork.cli.name import names_table
    from loomwork.cli.text import ago, columns, duration, heading, paint, short, size

    if not found["recipes"] and not found["artifacts"]:
        return f"{home.root}: nothing here yet\n  loom run RECIPE, or loom init FOLDER for a project with a recipe"
    sections = []
    rows = []
    for r in found["recipes"]:
        counts = ", ".join(f"{n} {s}" for s, n in sorted(r["steps"].items()))
        colour = {"done": "green", "failed": "red", "running": "cyan"}.get(r["status"], "yellow")
        gates = paint(f"refused by {', '.join(r['refused'])}", "red") if r["refused"] else ""
        rows.append(
            (
                r["recipe"],
                paint(r["status"], colour),
                ago(r["started"]),
                duration(r["seconds"]),
                counts,
                short(r["run"]),
                gates,
            )
        )
    if rows:
        sections.append(
            f"{heading('Recipes')}\n" + columns(rows, header=("recipe", "last run", "", "took", "steps", "run", ""))
        )
    names = names_table(home)
    if names:
        sections.append(f"{heading('Names')}\n{names}")
    steps = [
        (r["name"], r["step"], ago(r["started"]), short(r["id"])) for r in found["running"] if r["step"] != "recipe"
    ]
    if steps:
        sections.append(f"{heading('Running')}\n{columns(steps)}")
    kinds = [(k["kind"], f"{k['count']:,}", size(k["bytes"])) for k in found["artifacts"]]
    sections.append(f"{heading('Artifacts')}\n" + columns(kinds, right="bc"))
    if found["stale"]:
        listed = columns([(short(s["artifact"]), s["kind"]) for s in found["stale"][:12]])
        more = len(found["stale"]) - 12
        listed += f"\n  and {more} more" if more > 0 else ""
        sections.append(f"{heading('Stale')}  {len(found['stale'])}\n{listed}")
    sections.append(paint(f"  {found['home']}", "dim"))
    return "\n\n".join(sections)
