"""loom forget: leave rows out from now on, and mark what they touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, YesOption, existing_home

if TYPE_CHECKING:
    from loomwork.core.forget import ForgetPlan, Forgotten
    from loomwork.core.home import Home

RETENTION = (
    "The old versions stay in the store until no name, recipe or artifact that stays needs them; then loom gc deletes\n"
    "their bytes. A model that was trained on the rows still holds what it learned of them: run its recipe again, and\n"
    "it is made without them."
)


def forget(
    rows: Annotated[
        list[str],
        typer.Argument(
            metavar="ROW-ID|FILTER...", help="Row ids, or their first letters (8 or more); or an SQL condition on rows."
        ),
    ],
    within: Annotated[
        str,
        typer.Option("--in", help="The dataset that a FILTER looks at. Default: all that was read from outside."),
    ] = "",
    yes: YesOption = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget rows, and mark all that they touched as stale.

    The datasets that hold them get new versions without them. Without --yes this is a preview and changes nothing.
    The rows are left out of every later reading of their source.

    \b
    Examples:
      loom forget 9f3c2a7be01d               what would go, and what would be stale
      loom forget 9f3c2a7be01d --yes --reason "the author asked"
      loom forget "source LIKE 'blog/%' AND author = 'A. Writer'"
    """
    from loomwork.cli.text import echo_json
    from loomwork.core.errors import InputError
    from loomwork.core.forget import forget as carry_out
    from loomwork.core.forget import plan_forget
    from loomwork.core.rows import looks_like_row
    from loomwork.data.rows_where import rows_where

    opened = existing_home(home)
    conditions = [text for text in rows if not looks_like_row(text)]
    found = {row for text in conditions for row in rows_where(opened, text, within=within)}
    if conditions and not found and len(conditions) == len(rows):
        raise InputError(
            f"no row matches {' or '.join(map(repr, conditions))}",
            "loom show DATASET lists its columns, loom rows DATASET --where shows rows",
        )
    plan = plan_forget(opened, [text for text in rows if text not in conditions], rows=found)
    if plan.already and not as_json:
        typer.echo("These rows were forgotten already: no dataset that is in use holds them. Nothing to do.")
        return
    done = carry_out(opened, plan, reason=reason) if yes and not plan.already else None
    if as_json:
        echo_json(_as_json(plan, done))
    else:
        typer.echo(_told(opened, plan, done))


def _as_json(plan: ForgetPlan, done: Forgotten | None) -> dict[str, Any]:
    return {
        "applied": done is not None,
        "sources": [r.hex() for r in plan.sources],
        "datasets": [
            {"artifact": p.artifact, "part": p.part, "step": p.step, "rows": [r.hex() for r in p.rows]}
            for p in plan.places
        ],
        "touched": [
            {
                "artifact": t.artifact,
                "kind": t.kind,
                "step": t.step,
                "name": t.name,
                "direct": t.direct,
                "names": t.names,
            }
            for t in plan.touched
        ],
        "services": list(plan.services),
        "already": plan.already,
        "stand_ins": plan.stand_ins,
        "versions": done.versions if done else {},
        "stale": done.stale if done else [],
        "moved": done.moved if done else [],
    }


def _told(home: Home, plan: ForgetPlan, done: Forgotten | None) -> str:
    from loomwork.cli.text import columns, heading, paint, short

    names = {p.run: (home.ledger.run(p.run) or {}).get("name", "") for p in plan.places}
    rows = columns([(row.hex()[:12], shown) for row, shown in zip(plan.sources, plan.shown, strict=False)])
    rows += f"\n  and {len(plan.sources) - len(plan.shown):,} more" if len(plan.sources) > len(plan.shown) else ""
    rows += "\n  left out of their source from now on, wherever their content stands"
    sections = [f"{heading('Forgotten' if done else 'Rows')}\n{rows}"]
    places = []
    for place in plan.places:
        loses = f"loses {len(place.rows)} row{'s' if len(place.rows) != 1 else ''}"
        new = f"-> {short(done.versions[place.artifact])}" if done else ""
        places.append((short(place.artifact), names[place.run] or place.step, place.part, loses, new))
    sections.append(f"{heading('Datasets')}\n{columns(places) or '  none that is in use holds them any more'}")
    touched = []
    for t in plan.touched:
        how = "read them" if t.direct else "came of what did"
        touched.append((short(t.artifact), t.kind, t.name or t.step, how, " ".join(t.names)))
    title = heading("Stale" if done else "Would be stale")
    sections.append(f"{title}\n{columns(touched) or '  nothing: no model, score or index read them'}")
    if plan.services:
        sections.append(f"Served under: {', '.join(plan.services)}. A running service says that it is stale.")
    if plan.stand_ins:
        sections.append(f"{plan.stand_ins} rows were dropped as duplicates of these, and may come in their place")
    if done and done.moved:
        moved = columns([(name, "now the version without the rows") for name in done.moved])
        sections.append(f"{heading('Names')}\n{moved}")
    sections.append(paint(RETENTION, "dim"))
    if done:
        sections.append("Next: loom run RECIPE makes the stale things without them, then loom gc deletes what is left.")
    else:
        sections.append("Nothing was changed; do it with --yes.")
    return "\n\n".join(sections)
