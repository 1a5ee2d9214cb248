"""loom run --dry-run: what would run, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from loomwork.cli.text import clip, columns, echo_json, heading, paint

if TYPE_CHECKING:
    from loomwork.core.home import Home
    from loomwork.core.recipe import Recipe

COLOURS = {"hit": "dim", "would run": "green", "depends": "yellow"}


def show_plan(home: Home, recipe: Recipe, *, as_json: bool) -> None:
    """Print for each step whether it is a hit, or why it would run. Nothing is run or made."""
    from loomwork.core.explain import plan

    found = plan(home, recipe)
    if as_json:
        echo_json({"recipe": recipe.name, "steps": {name: asdict(why) for name, why in found.items()}})
        return
    typer.echo(heading(recipe.name))
    rows = [(name, paint(w.verdict, COLOURS[w.verdict]), clip("; ".join(w.reasons))) for name, w in found.items()]
    typer.echo(columns(rows))
    would = sum(w.verdict != "hit" for w in found.values())
    typer.echo(f"\n  {would} of {len(found)} steps would run or may run; nothing was run")
