"""loom verify: hash every byte in the store."""

from __future__ import annotations

import sys

import typer

from loomwork.cli.options import HomeOption, JsonOption, existing_home


def verify(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Hash every byte in the store and compare.

    Compared with the manifests and the ledger. What is damaged is moved to quarantine, so that nothing reads it; its
    recipe, or `loom remake`, makes it again.

    \b
    Examples:
      loom verify
      loom verify --json
    Exit codes: 0 clean, 4 something is damaged or lost.
    """
    from loomwork.cli.text import columns, echo_json, short
    from loomwork.core.errors import DamagedArtifact
    from loomwork.core.upkeep import verify as check

    opened = existing_home(home)
    live = sys.stderr.isatty() and not as_json

    def progress(done: int, total: int) -> None:
        if live:
            print(f"\r  {done} of {total} artifacts", end="\n" if done == total else "", file=sys.stderr, flush=True)

    if live:
        print("  hashing", end="", file=sys.stderr, flush=True)  # the first artifact may be a large one
    found = check(opened, progress=progress)
    if as_json:
        echo_json({
            "clean": found.clean, "checked": found.checked, "damaged": found.damaged, "lost": found.lost,
            "unrecorded": found.unrecorded,
        })  # fmt: skip
    else:
        typer.echo(f"{found.checked} artifacts checked: {'all are as they were' if found.clean else 'not clean'}")
        rows = [(short(a), "damaged", "; ".join(faults)) for a, faults in found.damaged.items()]
        rows += [(short(a), "lost", f"make it again: loom remake {short(a)}") for a in found.lost]
        if rows:
            typer.echo(columns(rows))
        if found.damaged:
            typer.echo(f"the damaged were moved to {opened.store.root / 'quarantine'}; make them again: loom run")
        if found.unrecorded:
            typer.echo(f"{len(found.unrecorded)} artifacts are in no record (a run was killed); loom gc removes them")
    if not found.clean:
        raise typer.Exit(DamagedArtifact.exit_code)
