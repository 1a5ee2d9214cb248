"""loom gc: delete what nothing needs, and half-done work."""

from __future__ import annotations

import typer

from loomwork.cli.options import HomeOption, JsonOption, YesOption, existing_home


def gc(yes: YesOption = False, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Delete the artifacts that nothing needs, and the half-done work of stopped runs.

    Without --yes, only say which. Kept are what a name points at, what the last finished run of each recipe made,
    what a running step reads, and everything that those came from. The ledger keeps the record of what is deleted, so
    it can be made again. The half-done work is the checkpoints and unfinished files of steps that were stopped or
    failed: after gc they start anew instead of going on. What was set aside as damaged goes too. Behind a store URL
    nothing is deleted: other machines may need it.

    \b
    Examples:
      loom gc                                what would be deleted
      loom gc --yes
    """
    from loomwork.cli.text import columns, echo_json, short, size
    from loomwork.core.upkeep import collect_garbage

    opened = existing_home(home)
    found = collect_garbage(opened, apply=yes)
    if as_json:
        echo_json({
            "applied": yes, "artifacts": list(found.artifacts), "bytes": found.bytes, "kept": found.kept,
            "leftovers": found.leftovers,
        })  # fmt: skip
        return
    verb = "deleted" if yes else "would be deleted"
    typer.echo(f"{len(found.artifacts)} artifacts, {size(found.bytes)}, {verb}; {found.kept} are kept")
    rows = []
    for artifact_id in found.artifacts:
        record = opened.ledger.artifact(artifact_id)
        makers = opened.ledger.makers(artifact_id)
        rows.append((
            short(artifact_id), record["kind"] if record else "unrecorded", makers[0]["name"] if makers else "",
            size(record["bytes"]) if record else "",
        ))  # fmt: skip
    if rows:
        typer.echo(columns(rows))
    if found.leftovers:
        typer.echo(f"{found.leftovers} folders of half-done or damaged work {verb}")
    if not yes and (found.artifacts or found.leftovers):
        typer.echo("nothing was changed; do it with: loom gc --yes")
