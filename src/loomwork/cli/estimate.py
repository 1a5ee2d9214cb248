"""loom estimate: what the training steps of a recipe would cost, before they are run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loomwork.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from loomwork.train._estimate import Estimate


def estimate(
    recipe: Annotated[Path, typer.Argument(help="A recipe's YAML file.")] = Path("recipe.yaml"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a recipe's training would take: parameters, memory, time and energy.

    For each training step that would run. No step is run: a few real steps of a fresh model of the same shape are
    timed on this machine, and remembered. What is not there yet is assumed, and said.

    \b
    Examples:
      loom estimate recipe.yaml
      loom estimate recipe.yaml --set steps.base.layers=8
      loom estimate recipe.yaml --json
    """
    import os
    import warnings
    from dataclasses import asdict

    from loomwork.core.executor import WAITING

    for name, value in WAITING.items():  # as a step's own process has it; read when torch is imported
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore", FutureWarning)  # transformers' and peft's of one another

    from loomwork.cli.run import parse_settings
    from loomwork.cli.text import echo_json, heading
    from loomwork.core.home import open_home
    from loomwork.core.recipe import load_recipe
    from loomwork.train._estimate import estimate as estimated

    loaded = load_recipe(recipe, parse_settings(settings or []))
    found = estimated(open_home(home), loaded)
    if as_json:
        echo_json({"recipe": loaded.name, "steps": [asdict(one) for one in found]})
        return
    typer.echo(heading(loaded.name))
    if not found:
        typer.echo("  no training step of it would run")
    for one in found:
        typer.echo(f"\n{_told(one)}")


def _told(found: Estimate) -> str:
    """An estimate for people."""
    from loomwork.cli.text import columns, duration, heading, number, size

    title = f"  {heading(found.step)}  {found.use}"
    if found.unknown:
        return f"{title}\n    no estimate: {found.unknown}"
    memory = found.memory_bytes
    parts = ", ".join(f"{name} {size(n)}" for name, n in memory.items())
    trained = f"{number(found.trained_parameters or 0)} of them trained"
    a_step = f"a step takes about {duration(found.seconds_per_step or 0)}"
    run, took = "unknown", f"unknown; {a_step}"
    if found.steps is not None and found.seconds is not None:
        run = f"{number(found.steps)} steps, {number(found.tokens or 0)} tokens"
        took = f"about {duration(found.seconds)}; {a_step}"
    rows = [
        ("parameters", f"{number(found.parameters or 0)}, {trained}"),
        ("run", run),
        ("memory", f"{size(sum(memory.values()))}: {parts}"),
        ("time", took),
        ("energy", "unknown" if found.joules is None else f"about {found.joules / 3600:.3g} Wh"),
    ]
    notes = "".join(f"\n    {line}" for line in found.assumed)
    return f"{title}\n{columns(rows, indent=4)}{notes}"
