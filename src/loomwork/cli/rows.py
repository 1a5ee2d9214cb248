"""loom rows: the rows of a dataset, looked at or written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name, existing_home, find_artifact

if TYPE_CHECKING:
    from loomwork.core.dataset import Dataset
    from loomwork.core.home import Home

SHOWN_ROWS = 10
ITEMS = "items"  # the part of scores that has a row for each item
CELL_CHARS = 12  # narrower than this no column is cut


def rows(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="DATASET[/PART]",
            help="A dataset's name or id, or the name of the step that made it; /dropped for what it dropped. Scores "
            "have their items as rows.",
            autocompletion=complete_name,
        ),
    ],
    where: Annotated[str, typer.Option("--where", metavar="SQL", help="Only rows for which this holds.")] = "",
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", min=0, help="How many rows at most. Default: 10, and all with --out."),
    ] = None,
    columns: Annotated[str, typer.Option("--columns", metavar="A,B", help="Only these columns, in this order.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file: .jsonl, .parquet or .csv.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show rows of a dataset, or write them to a file.

    Columns of scores and labels are there as any other; origin_ids, the rows that a row came from, where --columns
    names it. A condition is SQL on the columns of a row; row_id in it is the row's id as text.

    \b
    Examples:
      loom rows docs@data                    the first rows
      loom rows dedup/dropped -n 50          what the step dedup dropped, with the reason
      loom rows scores --where "acc = 0"     the items that a model got wrong
      loom rows 3f2a91c0d4e1/train --where "language = 'en' AND length(text) < 80"
      loom rows docs@data --where "label = 'spam'" --columns text,label --out spam.jsonl
    """
    from loomwork.cli.text import echo_json
    from loomwork.data.rows_where import Selection, export

    opened = existing_home(home)
    data = find_dataset(opened, thing)
    named = [c.strip() for c in columns.split(",") if c.strip()]
    if out:
        chosen = Selection(data, where, named)
        written = export(chosen, out, limit)
        told = {"artifact": data.id, "part": data.main_part, "written": written, "file": str(out)}
        echo_json(told) if as_json else typer.echo(f"{written:,} rows written to {out}")
        return
    chosen = Selection(data, where, ["row_id", *(c for c in named if c != "row_id")] if named else [])
    found, matching = chosen.first(SHOWN_ROWS if limit is None else limit)
    if as_json:
        kinds = [{"column": f.name, "type": str(f.type)} for f in chosen.schema]
        echo_json(
            {
                "artifact": data.id,
                "part": data.main_part,
                "rows_in_part": len(data),
                "matching": matching,
                "columns": kinds,
                "rows": [plain(row) for row in found],
            }
        )
    else:
        typer.echo(_told(data, chosen.schema.names, found, matching, where))


def find_dataset(home: Home, text: str) -> Dataset:
    """The dataset, and part, that a person means: `NAME@LABEL/PART`, an id, or the last thing that a step made; of
    scores their items.

    Raises:
        InputError: nothing is meant, or no dataset; there is no such part, or several and none is chosen.
    """
    from loomwork.core.dataset import SET_ASIDE, Dataset
    from loomwork.core.errors import InputError, did_you_mean
    from loomwork.core.score import Scores

    name, _, part = text.partition("/")
    artifact_id = find_artifact(home, name)
    kind = (home.ledger.artifact(artifact_id) or {}).get("kind")
    if kind == Scores.kind and part in ("", ITEMS):
        return Dataset(home.store.open(artifact_id, Scores).path, ITEMS)
    if kind and kind != Dataset.kind:
        raise InputError(f"{name} is a {kind} and has no rows", f"loom show {name}")
    data = home.store.open(artifact_id, Dataset)
    if part and part not in data.parts:
        raise InputError(f"{name} has no part {part!r}", did_you_mean(part, data.parts))
    if not part and len([p for p in data.parts if p not in SET_ASIDE]) != 1:
        raise InputError(
            f"{name} has the parts {', '.join(data.parts) or '(none)'}",
            " or ".join(f"loom rows {name}/{p}" for p in data.parts),
        )
    return data.select(part or data.main_part)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: bytes as hex, and what is no number as null."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _told(data: Dataset, names: Sequence[str], found: list[dict[str, Any]], matching: int, where: str) -> str:
    from loomwork.cli.text import columns, paint
    from loomwork.core.dataset import SET_ASIDE

    total = len(data)
    share = f"{matching:,} of {total:,} rows match" if where else f"{total:,} rows"
    shown = f", {len(found):,} shown" if len(found) < matching else ""
    lines = [paint(f"  {share} in part {data.main_part!r}{shown}", "dim")]
    if found:
        # why a row was dropped comes first: it is what one looks for in that part
        order = sorted(names, key=lambda n: (n != "row_id", n != "reason" or data.main_part not in SET_ASIDE))
        cells = {n: [n, *(_cell(n, row[n]) for row in found)] for n in order}
        widths = _widths({n: max(map(len, c)) for n, c in cells.items()})
        table = [[_cut(cells[n][i], w) for n, w in widths.items()] for i in range(len(found) + 1)]
        lines.insert(0, columns(table[1:], header=table[0]))
        hidden = [n for n in order if n not in widths]
        if hidden:
            lines.append(paint(f"  too wide to show: {', '.join(hidden)}; choose with --columns, or --json", "dim"))
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    import json

    from loomwork.cli.text import short

    if name == "row_id" and len(value) == 32:  # ours; those of official files are shown whole
        return short(value)
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        value = json.dumps(plain(value), ensure_ascii=False, default=str)
    text = " ".join(str(value.hex() if isinstance(value, bytes) else value).split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _widths(wanted: dict[str, int]) -> dict[str, int]:
    """How wide each column is shown: narrow ones whole, the others share what is left; the last may find no room."""
    import shutil

    from loomwork.cli.text import WIDEST

    room = max(60, min(WIDEST, shutil.get_terminal_size((100, 24)).columns)) - 2
    names: list[str] = []
    for name in wanted:
        if sum(min(wanted[n], CELL_CHARS) + 2 for n in (*names, name)) <= room:
            names.append(name)
    widths, left = {}, room - 2 * len(names)
    for done, name in enumerate(sorted(names, key=lambda n: wanted[n])):
        widths[name] = min(wanted[name], left // (len(names) - done))
        left -= widths[name]
    return {n: widths[n] for n in names}


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
