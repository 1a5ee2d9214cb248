"""After a run: the recipe's questions answered by what it named, and the commands to go on with."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import typer

from loomwork.cli.text import columns, heading, paint
from loomwork.core.errors import LoomError
from loomwork.core.runner import ALREADY

if TYPE_CHECKING:
    from loomwork.core.home import Home
    from loomwork.core.recipe import Recipe
    from loomwork.core.runner import RecipeRun

ROW_LETTERS = 12  # of a row id in a command: enough to be the only one
PASSAGE_LETTERS = 88


def ask_and_point_on(home: Home, recipe: Recipe, result: RecipeRun) -> None:
    """Answer the recipe's questions and print what can be done next."""
    standing = [n for n, why in result.kept.items() if why == ALREADY]
    name = next(iter([*result.moved, *standing]), "").partition("@")[0]
    row_id = _answer(home, name, recipe.ask) if name and recipe.ask else ""
    commands = _commands(name, row_id, recipe)
    if commands:
        typer.echo(f"\n{heading('Next')}\n{columns(commands)}")


def _answer(home: Home, name: str, questions: list[str]) -> str:
    """Print the best passages of each question. Returns a row id of theirs."""
    from loomwork.serve.answer import open_answers

    try:
        answers = open_answers(home, name)
    except LoomError as error:  # the run itself went well
        typer.echo(f"\nthe recipe's questions were not asked: {error}", err=True)
        return ""
    typer.echo(f"\n{heading('Asked')}{paint(f'  {name}', 'dim')}")
    row_id = ""
    for question in questions:
        typer.echo(f"  {question}")
        hits = answers.ask(question, k=2)
        typer.echo(
            columns([(f"{h.score:.3f}", paint(h.row_id[:ROW_LETTERS], "dim"), _line(h)) for h in hits], indent=4)
        )
        row_id = row_id or (hits[0].row_id if hits else "")
    return row_id


def _line(hit: Any) -> str:
    text = " ".join(hit.text.split())
    return text if len(text) <= PASSAGE_LETTERS else text[: PASSAGE_LETTERS - 1] + "…"


def _commands(name: str, row_id: str, recipe: Recipe) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if name and recipe.ask:
        found.append((f"loom ask {name} {shlex.quote(recipe.ask[0])}", "ask it anything"))
    if row_id:
        row = row_id[:ROW_LETTERS]
        found.append((f"loom lineage {row}", "where this row came from, and what it touched"))
        found.append((f"loom forget {row}", "what would be stale without it"))
    if name and recipe.ask:
        found.append((f"loom serve {name}", "an OpenAI-compatible endpoint and a search page"))
    elif name:
        found.append((f"loom show {name}", "what it is and how it came to be"))
    return found
