"""loom name: the names, their history, and moving one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home
from loomwork.core.artifact import Artifact

if TYPE_CHECKING:
    from loomwork.core.home import Home


def name(
    name: Annotated[
        str, typer.Argument(metavar="[NAME[@LABEL]]", help="A name.", autocompletion=complete_name, show_default=False)
    ] = "",
    artifact: Annotated[
        str, typer.Argument(metavar="[ARTIFACT]", help="Where to move it: an id, or another name.", show_default=False)
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why it is moved by hand; kept in its history.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the names, show the history of one, or move one by hand.

    Recipes move names when their gates pass. A move by hand has no verdict; its reason stands in the history.

    \b
    Examples:
      loom name                              all names, and where they point
      loom name docs-search                  its history, with the verdicts that moved it
      loom name docs-search@champion 3f2a91c0d4e1 --reason "roll back: slow in production"
    """
    from loomwork.cli.text import echo_json

    opened = existing_home(home)
    if artifact:
        moved = move(opened, name, artifact, reason)
        if as_json:
            echo_json({"name": name, "artifact": moved})
        else:
            typer.echo(f"{name} now points at {moved[:12]}")
    elif name:
        entries = history(opened, name)
        if as_json:
            echo_json({"name": name, "history": entries})
        else:
            typer.echo(history_table(entries))
    else:
        entries = opened.ledger.names()
        if as_json:
            echo_json({"names": entries})
        else:
            typer.echo(names_table(opened) or "no names yet: a recipe gives them, or loom name NAME@LABEL ARTIFACT")


def move(home: Home, full: str, artifact: str, reason: str) -> str:
    """Point a name at an artifact by hand. Returns the artifact's id.

    Raises:
        InputError: the name has no label, the artifact is unknown, or no reason is given.
    """
    from loomwork.core.errors import InputError

    name, _, label = full.partition("@")
    if not name or not label or "@" in label or any(c.isspace() or c == "/" for c in full):
        raise InputError(f"{full!r} is not a name with a label", "for example docs-search@champion")
    if not reason:
        raise InputError("a move by hand needs its reason", 'add --reason "..."')
    found = home.find(artifact)
    home.store.open(found, Artifact)  # a name must not point at what is lost
    makers = home.ledger.makers(found)
    home.ledger.move_name(name, label, found, run=makers[0]["id"] if makers else None, reason=f"by hand: {reason}")
    return found


def history(home: Home, text: str) -> list[dict[str, Any]]:
    """The moves of a name, the newest first; of one label where the text has one.

    Raises:
        InputError: there is no such name.
    """
    from loomwork.core.errors import InputError, did_you_mean

    name, at, label = text.partition("@")
    found = [m for m in home.ledger.name_history(name) if not at or m["label"] == label]
    if not found:
        known = [f"{n['name']}@{n['label']}" for n in home.ledger.names()]
        raise InputError(f"there is no name {text!r} in {home.root}", did_you_mean(text, known))
    return found


def history_table(moves: list[dict[str, Any]]) -> str:
    """Moves for people: when, label, where to, by which verdict, why."""
    from loomwork.cli.text import columns, short, when

    rows = []
    for m in moves:
        verdict = short(m["verdict"] or "")
        rows.append((f"{m['name']}@{m['label']}", short(m["artifact"]), when(m["at"]), verdict, m["reason"]))
    return columns(rows, header=("name", "artifact", "moved", "verdict", "because"))


def names_table(home: Home) -> str:
    """All names for people: where each points, since when, and whether that is stale."""
    from loomwork.cli.text import ago, columns, paint, short

    stale = home.ledger.stale()
    rows = []
    for entry in home.ledger.names():
        record = home.ledger.artifact(entry["artifact"])
        mark = paint("stale", "yellow") if entry["artifact"] in stale else ""
        kind = record["kind"] if record else "unknown"
        rows.append(
            (
                f"{entry['name']}@{entry['label']}",
                kind,
                short(entry["artifact"]),
                ago(entry["at"]),
                entry["reason"],
                mark,
            )
        )
    return columns(rows, header=("name", "kind", "artifact", "moved", "because", ""))
