"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from loomwork.core.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The .loom folder to work in; by default the nearest one upwards from here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
ProcessesOption = Annotated[
    int,
    typer.Option("--processes", help="In how many processes each step trains that can train in several."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it. Without this, only say what would be done.")]


def existing_home(root: Path | None) -> Home:
    """The home to read from. A reading verb makes none.

    Raises:
        InputError: there is none.
    """
    from loomwork.core.errors import InputError
    from loomwork.core.home import open_home

    home = open_home(root)
    if not is_there(home):
        raise InputError(f"nothing has run here: there is no {home.root}", "loom run RECIPE, or --home FOLDER/.loom")
    return home


def is_there(home: Home) -> bool:
    """Whether a home has a ledger."""
    return bool(home.ledger_url) or (home.root / "ledger.db").is_file()


def find_artifact(home: Home, text: str) -> str:
    """The artifact that a person means: a name, an id, or what a step of that name made last.

    Raises:
        InputError: nothing is meant, or several things.
    """
    from loomwork.core.errors import InputError
    from loomwork.core.explain import step_run

    try:
        return home.find(text)
    except InputError:
        last = step_run(home, text)
        if last is None:
            raise
        made = [e["artifact"] for e in home.ledger.edges(last["id"]) if e["direction"] == "out"]
        if not made:
            what = f"the last run of {text!r} made no artifact: it is {last['status']}"
            raise InputError(what, f"loom show {text}") from None
        return str(made[0])


def as_reference(home: Home, text: str) -> str:
    """What a person gives for an input, as a recipe can read it: what a step of that name made last is given by its id,
    and anything else stays, a path that is there before all.

    Raises:
        InputError: the last run of that step made no artifact.
    """
    from loomwork.core.errors import InputError
    from loomwork.core.explain import step_run
    from loomwork.core.recipe_scope import outside

    name, _, part = text.partition("/")
    if outside(text) or not is_there(home):
        return text
    try:
        found = find_artifact(home, name)
    except InputError:
        if step_run(home, name):
            raise
        return text  # the recipe says what is wrong with it, and where
    return f"{found}/{part}" if part else found


def complete_step(incomplete: str) -> list[str]:
    """Names of steps, for shell completion."""
    from loomwork.core.step import step_names

    return [name for name in step_names() if name.startswith(incomplete)]


def complete_name(incomplete: str) -> list[str]:
    """Names in the nearest home, for shell completion."""
    from loomwork.core.home import open_home

    home = open_home()
    if not is_there(home):
        return []
    return [full for n in home.ledger.names() if (full := f"{n['name']}@{n['label']}").startswith(incomplete)]
