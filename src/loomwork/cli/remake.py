"""loom remake: make an artifact again and compare the bytes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home, find_artifact


def remake(
    artifact: Annotated[
        str,
        typer.Argument(
            metavar="NAME|ID|STEP",
            help="A name, an artifact's id, or a step: what it made last.",
            autocompletion=complete_name,
        ),
    ],
    only: Annotated[bool, typer.Option("--only", help="Run its own step only, from the inputs in the store.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an artifact again and compare the bytes.

    Its lineage is run again, from its sources, and everything on the way is compared. An artifact that the store had
    lost is put back if its bytes are the same. Steps that measure (with the clock) are not expected to give equal
    bytes.

    \b
    Examples:
      loom remake docs-search@champion
      loom remake 3f2a91c0d4e1 --only
      loom remake dedup                      what the step dedup made last
    Exit codes: 0 the bytes are equal, 1 a step could not run again, 4 the bytes differ.
    """
    from dataclasses import asdict

    from loomwork.cli.text import columns, duration, echo_json, paint, short
    from loomwork.core.errors import DamagedArtifact
    from loomwork.core.remake import remake as again

    opened = existing_home(home)

    def tell(line: str) -> None:
        if not as_json:
            print(f"  … {line}", file=sys.stderr, flush=True)

    made = again(opened, find_artifact(opened, artifact), only=only, tell=tell)
    differ = [m for m in made if not m.equal and not m.measures]
    if as_json:
        echo_json({"equal": not differ, "artifacts": [{**asdict(m), "equal": m.equal} for m in made]})
    else:
        rows = []
        for m in made:
            word, colour = (
                ("equal", "green") if m.equal else ("measured anew", "dim") if m.measures else ("differs", "red")
            )
            told = f"now {short(m.new)}" if not m.equal else "put back" if m.restored else ""
            rows.append((short(m.artifact), m.name or m.step, paint(word, colour), duration(m.seconds), told))
            rows += [("", "", "", "", line) for line in m.differences] if not m.equal else []
        typer.echo(columns(rows))
        typer.echo(f"{len(made) - len(differ)} of {len(made)} have the same bytes" if differ else "the same bytes")
    if differ:
        raise typer.Exit(DamagedArtifact.exit_code)
