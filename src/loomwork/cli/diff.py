"""loom diff: what differs between two runs or two artifacts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home, find_artifact

if TYPE_CHECKING:
    from loomwork.core.explain import Difference
    from loomwork.core.home import Home
    from loomwork.data.version_diff import VersionDiff

SOURCES = 12  # that are shown


def diff(
    a: Annotated[
        str, typer.Argument(help="A run's or an artifact's id, a name, or a step.", autocompletion=complete_name)
    ],
    b: Annotated[str, typer.Argument(help="Another of the same sort.", autocompletion=complete_name)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two runs or two artifacts.

    Settings, code, inputs and numbers of runs; parts and bytes of artifacts, and the runs that made them; of datasets
    the rows that were added, removed and changed, by source, and the statistics that moved. A step stands for what it
    made last; beside a run, for its last run.

    \b
    Examples:
      loom diff 3f2a91c0 77b1d2e4            two runs; loom show lists them
      loom diff docs-search@champion 8f99a6c8cb48
      loom diff corpus@v1 corpus@latest      a tag is a name of your own: see loom name
      loom diff 8f99a6c8cb48 dedup           with what the step dedup made last
    """
    from loomwork.cli.text import echo_json, heading, short
    from loomwork.core.explain import diff as differ

    opened = existing_home(home)
    one, two = _ids(opened, a, b)
    found = differ(opened, one, two, made_by=[_own_run(opened, x) for x in (a, b)])
    rows = None if found.same else _of_rows(opened, found)
    if as_json:
        more = {"rows": asdict(rows)} if rows else {}
        echo_json({"a": found.a, "b": found.b, "same": found.same, "sections": found.sections} | more)
        return
    if rows:
        found.sections = _told(rows) | found.sections
    typer.echo(f"{heading(short(found.a))} -> {heading(short(found.b))}")
    if found.same:
        typer.echo("  nothing differs")
    for title, lines in found.sections.items():
        if lines:
            typer.echo("\n".join([f"  {title}", *(f"    {line}" for line in lines)]))


def _ids(home: Home, a: str, b: str) -> list[str]:
    """Two runs, where one of them is a run, else two artifacts."""
    from loomwork.core.explain import find_run, step_run

    if not any(find_run(home, x) for x in (a, b)):
        return [find_artifact(home, x) for x in (a, b)]
    last = [step_run(home, x) for x in (a, b)]
    return [one["id"] if one else x for one, x in zip(last, (a, b), strict=True)]


def _own_run(home: Home, text: str) -> str:
    """The run that a step's name stands for: another step may have made the same bytes. "" for what is no step's."""
    from loomwork.core.errors import InputError
    from loomwork.core.explain import step_run

    try:
        home.find(text)
    except InputError:
        return str((step_run(home, text) or {}).get("id", ""))
    return ""


def _of_rows(home: Home, found: Difference) -> VersionDiff | None:
    """What differs in rows, where both are datasets."""
    from loomwork.core.dataset import Dataset
    from loomwork.core.errors import LoomError
    from loomwork.data.version_diff import version_diff

    try:
        old, new = (home.store.open(x, Dataset) for x in (found.a, found.b))
    except LoomError:
        return None  # runs, or artifacts of another kind
    return version_diff(old, new)


def _told(rows: VersionDiff) -> dict[str, list[str]]:
    from loomwork.cli.text import columns

    counts = [("kept", rows.kept), ("added", rows.added), ("removed", rows.removed), ("changed", rows.changed)]
    shown = list(rows.by_source.items())[:SOURCES]
    sources = [(source, f"+{a:,}", f"-{r:,}", f"~{c:,}") for source, (a, r, c) in shown]
    more = [f"and {len(rows.by_source) - SOURCES} more sources"] if len(rows.by_source) > SOURCES else []
    return {
        f"rows: {rows.rows[0]:,} -> {rows.rows[1]:,}": columns([(n, f"{v:,}") for n, v in counts]).splitlines(),
        "kept in another part": columns([(move, f"{n:,}") for move, n in rows.between.items()]).splitlines(),
        "by source: added, removed, changed": (columns(sources).splitlines() + more) if sources else [],
        "columns": rows.columns,
        "moved by more than chance": rows.moved,
        **{f"{kind}, for example": lines for kind, lines in rows.examples.items()},
    }
