"""loom steps: all steps, or one step's whole documentation, from its signature and docstring."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from loomwork.cli.options import JsonOption, complete_step


def steps(
    step: Annotated[
        str,
        typer.Argument(
            metavar="[STEP]", help="A step's name, or a room's.", autocompletion=complete_step, show_default=False
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List all steps, or document one: inputs, settings, what it makes.

    \b
    Examples:
      loom steps                             all of them, by room
      loom steps data                        those of one room
      loom steps data.near_dedup
      loom steps my_steps:shorten            one of your own, module:function
    """
    from loomwork.cli.text import echo_json
    from loomwork.core.step import ROOMS

    if step and step not in ROOMS:
        from loomwork.cli.step_doc import describe, told

        found = describe(step)
        if as_json:
            echo_json(found)
        else:
            typer.echo(told(found))
        return
    listed = summaries(step)
    if as_json:
        echo_json({"steps": listed})
    else:
        typer.echo(_told(listed))


def summaries(room: str = "") -> list[dict[str, Any]]:
    """Every step's name, room, kind and summary. One that cannot be imported tells why instead."""
    from loomwork.core.errors import LoomError
    from loomwork.core.step import find_step, step_names

    found = []
    for name in step_names():
        if room and not name.startswith(f"{room}."):
            continue
        entry = {"step": name, "room": name.partition(".")[0], "makes": "", "summary": ""}
        try:
            known = find_step(name)
            entry |= {"makes": known.makes, "summary": known.summary}
        except (LoomError, ImportError) as error:
            entry["summary"] = f"cannot be imported: {error}"
        found.append(entry)
    return found


def _told(listed: list[dict[str, Any]]) -> str:
    from loomwork.cli.text import clip, columns, heading, paint

    if not listed:
        return "no steps here"
    wide = max(len(s["step"]) for s in listed)
    makes = max(len(s["makes"]) for s in listed)
    sections = []
    for room in dict.fromkeys(s["room"] for s in listed):
        rows = [
            (f"{s['step']:{wide}}", paint(f"{s['makes']:{makes}}", "dim"), clip(s["summary"], 110))
            for s in listed
            if s["room"] == room
        ]
        sections.append(f"{heading(room)}\n{columns(rows)}")
    return "\n\n".join([*sections, "one of them whole: loom steps NAME"])
