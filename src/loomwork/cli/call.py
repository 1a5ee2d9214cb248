"""loom call: any step on plain files, with the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer

from loomwork.cli.options import HomeOption, JsonOption, ProcessesOption, as_reference, complete_step
from loomwork.core.artifact import Artifact

if TYPE_CHECKING:
    from loomwork.core.home import Home
    from loomwork.core.step import Step

RECIPE_NAME = "loom call"  # no recipe of a user's is to be taken for it


def call(
    step: Annotated[str, typer.Argument(help="A step's name: see loom steps.", autocompletion=complete_step)],
    given: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE=WHAT | SETTING=VALUE]...", help="Its inputs and settings.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Copy the files of the result into this folder.")] = None,
    processes: ProcessesOption = 1,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call one step on files, names or artifacts. The result is kept, and found again next time.

    A verdict that is not "pass" or "first" ends it with exit code 3, as a gate ends a recipe.
    An input is a path, a glob or a URL (read by data.read; - is the standard input), a name, an artifact's id, or the
    name of a step, for what it made last, with /part after these to choose a part. For a step that takes several, give
    it twice, or by name as in models.naive=...

    \b
    Examples:
      loom call data.near_dedup "data=corpus/*.jsonl" threshold=0.7
      loom call data.split data=3f2a91c0d4e1 holdout=0.2 --out splits/
      loom call evals.slices scores=measure data=split/holdout by=label
      loom call my_steps:shorten data=docs@latest words=50 --json
    """
    from loomwork.cli import outcome
    from loomwork.cli.display import open_display
    from loomwork.cli.text import echo_json
    from loomwork.core.home import open_home
    from loomwork.core.recipe import READ, load_recipe
    from loomwork.core.runner import Runner, stand_by
    from loomwork.core.step import find_step

    stand_by()
    opened = open_home(home)
    if out and out.exists() and (not out.is_dir() or any(out.iterdir())):
        from loomwork.core.errors import InputError

        raise InputError(f"--out {out} is there already and is not an empty folder", "take another, or empty it")
    wanted = find_step(step)
    name = wanted.function.__name__
    gate = {"gate": f"${name}"} if wanted.makes == "verdict" else {}
    recipe = load_recipe({"recipe": RECIPE_NAME, "steps": {name: as_step(wanted, given or [], opened)}, **gate})
    with (
        open_display(recipe.steps, silent=as_json) as display,
        Runner(opened, processes=processes, listen=display.listen) as runner,
    ):
        result = runner.run(recipe)
    for read in recipe.steps.values():
        if read.name != name and read.use == READ:  # nobody asks for the card of an input's files
            for note in outcome.notes_of(opened, result.steps[read.name]):
                typer.echo(f"{read.name}, by {READ}: {note}", err=True)
    made = result.steps[name]
    if made.artifact and out:
        copy_out(opened, made.artifact, out)
    if as_json:
        echo_json(outcome.to_json(opened, result, recipe.steps, None) | {"artifact": made.artifact})
    elif result.failed:
        for section in outcome.sections(opened, result, recipe.steps):
            typer.echo(f"\n{section}")
    else:
        ruled = outcome.find_verdicts(opened, result, [name])
        _tell(opened, made.run, made.artifact, out, told=[r.reason for r in ruled.values()])
        if ruled:
            typer.echo(f"\n{outcome.verdicts(opened, result, [name])}")
    raise typer.Exit(outcome.exit_code(result))


def as_step(step: Step, given: list[str], home: Home | None = None) -> dict[str, Any]:
    """The call as a recipe writes it. A recipe reads paths, names and ids by itself.

    Args:
        home: where the names of steps are looked up, for what they made last.

    Raises:
        InputError: something that is given has no "=".
    """
    from loomwork.core.errors import InputError
    from loomwork.core.recipe_yaml import parse_value

    call: dict[str, Any] = {"use": step.name}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{pair!r} is neither role=what nor setting=value", f"loom steps {step.name}")
        role, _, inner = key.partition(".")
        shape = step.inputs[role].shape if role in step.inputs else ""
        if shape and home is not None:
            value = as_reference(home, value)
        if shape == "list":
            call.setdefault(role, []).append(value)
        elif shape == "dict":
            named = call.setdefault(role, {})
            if inner in named:
                raise InputError(f"{key} is given twice", "give each a name of its own")
            named[inner or str(len(named))] = value
        elif key in call:
            hint = f"write a list as {key}=[a,b]" if takes_list(step.hints.get(key)) else "leave one out"
            if shape:
                hint = f"many files are one glob, as in {key}=*.jsonl; data.mix makes one dataset of several"
            raise InputError(f"{key} is given twice, and {step.name} takes one", hint)
        else:
            call[key] = value if shape or value == "-" else parse_value(value)
            if is_list(step.hints.get(key)) and isinstance(call[key], str | int | float):
                call[key] = [call[key]]
    return call


def is_list(hint: Any) -> bool:
    """Whether a setting can be nothing but a list, or none: then one value alone is a list of one."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return is_list(inside[0])
    if origin in (Union, UnionType):
        return all(is_list(kind) for kind in inside if kind is not type(None))
    return origin is list


def takes_list(hint: Any) -> bool:
    """Whether a setting can be a list, among other things."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType, Annotated):
        return any(takes_list(kind) for kind in inside[: 1 if origin is Annotated else None])
    return origin is list


def copy_out(home: Home, artifact_id: str, out: Path) -> None:
    """Copy an artifact's files into a folder. Not links: what is changed there must not change the store."""
    source: Path = home.store.open(artifact_id, Artifact).path
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        target = out / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _tell(home: Home, run_id: str, artifact_id: str, out: Path | None, told: list[str]) -> None:
    """What a call came to; of its notes those that do not repeat what is told elsewhere."""
    from loomwork.cli.card import recorded, scores_table
    from loomwork.cli.text import columns, number, short

    record = home.ledger.run(run_id) or {}
    card = recorded(home.ledger.metrics(run_id), record.get("outcome", {}).get("notes", []))
    typer.echo()
    if card.scores:
        typer.echo(scores_table([("", s) for s in card.scores]))
    if card.metrics:
        typer.echo(columns([(n, number(v)) for n, v in card.metrics.items()], right="b"))
    for note in card.notes:
        if not any(reason in note for reason in told):
            typer.echo(f"  {note}")
    kind = (home.ledger.artifact(artifact_id) or {}).get("kind", "")
    typer.echo(f"\n  {kind} {artifact_id}")
    for page in sorted((out or home.store.path(artifact_id)).glob("*.html")):
        typer.echo(f"  its page: {page}")
    typer.echo(f"  {'copied into ' + str(out) if out else 'its files: loom show ' + short(artifact_id)}")
    if kind == "dataset":
        typer.echo(f"  its rows: loom rows {short(artifact_id)}")
