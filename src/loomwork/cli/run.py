"""loom run: bring a recipe to its results."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, ProcessesOption

if TYPE_CHECKING:
    from loomwork.cli.display import Display
    from loomwork.core.home import Home
    from loomwork.core.recipe import Recipe
    from loomwork.core.runner import RecipeRun


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe's YAML file.")] = Path("recipe.yaml"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="How many steps may run at once.")] = 1,
    on: Annotated[str, typer.Option("--on", help="Where heavy steps run: local, or a plug-in's executor.")] = "local",
    processes: ProcessesOption = 1,
    until: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="Run this step and what it needs only; no gate decides, no name moves."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and why; run nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a recipe; what is unchanged is not run again.

    When all steps have results, its gates decide, and its names move only if they pass.

    \b
    Examples:
      loom run                               recipe.yaml of this folder
      loom run recipes/quickstart.yaml
      loom run recipe.yaml --set seed=8 --set threshold=0.7
      loom run recipe.yaml --jobs 2
      loom run recipe.yaml --processes 4     each training in four processes, on four GPUs say
      loom run recipe.yaml --until split     the data only, before the cost is estimated
      loom run recipe.yaml --dry-run         what would run, and why

    \b
    Ctrl-C asks the running steps to save what can be resumed; a second one ends them at once.
    Exit codes: 0 done, 1 a step failed, 2 the recipe cannot run, 3 a gate refused, 130 stopped.
    """
    from loomwork.core.home import open_home
    from loomwork.core.recipe import load_recipe
    from loomwork.core.runner import stand_by

    if not dry_run:
        stand_by()
    loaded = load_recipe(recipe, parse_settings(settings or []))
    loaded = loaded.until(until) if until else loaded
    opened = open_home(home)
    if dry_run:
        from loomwork.cli.dry_run import show_plan

        show_plan(opened, loaded, as_json=as_json)
    else:
        raise typer.Exit(carry_out(opened, loaded, jobs=jobs, on=on, processes=processes, as_json=as_json))


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """{"seed": 8} of ["seed=8"]; values are read as a recipe's are.

    Raises:
        InputError: a pair has no "=".
    """
    from loomwork.core.errors import InputError
    from loomwork.core.recipe_yaml import parse_value

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair}: a setting is given as key=value", "for example --set seed=8")
        found[key.strip()] = parse_value(value)
    return found


def carry_out(home: Home, recipe: Recipe, *, jobs: int, on: str, processes: int = 1, as_json: bool) -> int:
    """Run it and tell how it went. Returns the exit code."""
    from loomwork.cli import outcome
    from loomwork.cli.display import open_display
    from loomwork.cli.text import echo_json, heading, paint
    from loomwork.core.runner import Runner

    with open_display(recipe.steps, silent=as_json) as display:
        display.say(f"{heading(recipe.name)}{paint(f'  {len(recipe.steps)} steps', 'dim')}\n")
        with (
            _told_about_stopping(display),
            Runner(home, jobs=jobs, on=on, processes=processes, listen=display.listen) as runner,
        ):
            result = runner.run(recipe)
    report = _report(home, recipe, result)
    if as_json:
        echo_json(outcome.to_json(home, result, recipe.steps, report))
        return outcome.exit_code(result)
    for section in outcome.sections(home, result, recipe.steps):
        typer.echo(f"\n{section}")
    typer.echo()
    if report:
        typer.echo(f"  report  {outcome.relative(report)}")
    for name, page in outcome.pages(home, result):
        typer.echo(f"  page of {name}  {outcome.relative(page)}")
    typer.echo(f"  {outcome.summary(result)}")
    if outcome.executed(result) and not result.failed:
        from loomwork.cli.after import ask_and_point_on

        ask_and_point_on(home, recipe, result)
    return outcome.exit_code(result)


def _report(home: Home, recipe: Recipe, result: RecipeRun) -> Path | None:
    """Write the recipe's report where it asks for one."""
    if not recipe.report or result.failed:
        return None
    from loomwork.export.gather import write_report

    return write_report(home, recipe, result)


@contextmanager
def _told_about_stopping(display: Display) -> Iterator[None]:
    """Say at the first Ctrl-C, or SIGTERM, what it does; what it does is the schedule's business."""

    def interrupted(*_: object) -> None:
        for one in both:
            signal.signal(one, signal.default_int_handler)
        display.say("  stopping: the running steps save what they can; Ctrl-C again ends at once")
        raise KeyboardInterrupt

    both = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(one, interrupted) for one in both]
    try:
        yield
    finally:
        for one, handler in zip(both, before, strict=True):
            signal.signal(one, handler)
