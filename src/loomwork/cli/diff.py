"""loom diff: what differs between two runs or two artifacts."""

from __future__ import annotations

from typing import Annotated

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home


def diff(
    a: Annotated[str, typer.Argument(help="A run's id, an artifact's id, or a name.", autocompletion=complete_name)],
    b: Annotated[str, typer.Argument(help="Another of the same sort.", autocompletion=complete_name)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two runs or two artifacts.

    Settings, code, inputs and numbers of runs; parts and bytes of artifacts, and the runs that made them.

    \b
    Examples:
      loom diff 3f2a91c0 77b1d2e4            two runs; loom show lists them
      loom diff docs-search@champion docs-search@previous
    """
    from loomwork.cli.text import echo_json, heading, short
    from loomwork.core.explain import diff as differ

    found = differ(existing_home(home), a, b)
    if as_json:
        echo_json({"a": found.a, "b": found.b, "same": found.same, "sections": found.sections})
        return
    typer.echo(f"{heading(short(found.a))} -> {heading(short(found.b))}")
    if found.same:
        typer.echo("  nothing differs")
    for title, lines in found.sections.items():
        if lines:
            typer.echo("\n".join([f"  {title}", *(f"    {line}" for line in lines)]))
