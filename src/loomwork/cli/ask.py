"""`loom ask`: passages of a named index."""

from __future__ import annotations

from typing import Annotated

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name


def ask(
    name: Annotated[str, typer.Argument(help="A name with an index, or an index's id.", autocompletion=complete_name)],
    question: Annotated[str, typer.Argument(help="What to look for, in plain words.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many passages.")] = 5,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Answer a question with passages, the best first, each with its row id.

    \b
    Examples:
      loom ask docs-search "merge two sorted lists"
      loom ask docs-search "wait for several coroutines" -k 3 --json
    """
    import textwrap

    from loomwork.cli import text
    from loomwork.core.home import open_home
    from loomwork.serve.answer import SOURCES, TITLES, first_column, open_answers, other_model, stale_reasons

    here = open_home(home)
    answers = open_answers(here, name)
    hits = answers.ask(question, k)
    artifacts = {"index": answers.index.id} | ({"model": answers.model.id} if answers.model else {})
    apart = other_model(here, answers)
    stale = [f"the {role} is stale: {why}" for role, i in artifacts.items() for why in stale_reasons(here, i)]
    if as_json:
        found = [{"row_id": h.row_id, "score": h.score, "text": h.text, "columns": h.columns} for h in hits]
        text.echo_json(
            {"name": name, "question": question, **artifacts, "stale": stale, "apart": apart, "passages": found}
        )
        return
    for remark in dict.fromkeys([*stale, *filter(None, [apart])]):
        typer.echo(f"warning: {remark}", err=True)
    if not hits:
        typer.echo("nothing found")
        return
    for number, hit in enumerate(hits, 1):
        title = text.clip(first_column(hit, TITLES) or f"passage {number}")
        typer.echo(f"{hit.score:6.2f}  {text.heading(title)}  {text.paint(first_column(hit, SOURCES), 'dim')}")
        for line in textwrap.wrap(" ".join(hit.text.split()), 100, max_lines=3, placeholder=" …"):
            typer.echo(f"        {line}")
        typer.echo(text.paint(f"        row {hit.row_id}", "dim"))
    typer.echo(f"\nwhere the first one came from, and what it touched: loom lineage {hits[0].row_id}")
