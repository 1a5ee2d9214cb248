"""loom why: why a step ran, or would run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loomwork.cli.options import HomeOption, JsonOption, existing_home


def why(
    step: Annotated[str, typer.Argument(help="A step's name in its recipe.")],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", "-r", help="Ask what this recipe would do, instead of what was done.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a step ran; with a recipe, why it would run now.

    \b
    Examples:
      loom why dedup                         why its last run was needed
      loom why dedup --recipe recipe.yaml    whether it would run now, and why
      loom why dedup -r recipe.yaml --set threshold=0.7
    """
    from dataclasses import asdict

    from loomwork.cli.text import ago, echo_json, short
    from loomwork.core.errors import InputError, did_you_mean
    from loomwork.core.explain import plan, why_it_ran

    opened = existing_home(home)
    if recipe is None:
        if settings:
            raise InputError("--set needs a recipe", f"loom why {step} --recipe recipe.yaml --set ...")
        last = why_it_ran(opened, step)
        if as_json:
            echo_json({"step": step, **asdict(last)})
            return
        typer.echo(f"{step} ran {ago(last.started)} ({last.status}, run {short(last.run)}) because")
        reasons = last.reasons
    else:
        from loomwork.cli.run import parse_settings
        from loomwork.core.recipe import load_recipe

        found = plan(opened, load_recipe(recipe, parse_settings(settings or [])))
        if step not in found:
            raise InputError(f"{recipe} has no step {step!r}", did_you_mean(step, found))
        now = found[step]
        if as_json:
            echo_json(asdict(now))
            return
        if now.verdict == "hit":
            typer.echo(f"{step} would not run: run {short(now.run)} made {short(now.artifact)} from the same")
            return
        typer.echo(f"{step} {'would run' if now.verdict == 'would run' else 'may run'} because")
        reasons = now.reasons
    for reason in reasons:
        typer.echo(f"  {reason}")
