"""The language of every row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.ranges import Share
from loomwork.core.step import Card, step
from loomwork.core.tables import sidecar_of
from loomwork.data._languages import identifier
from loomwork.data._rows import counted, require_text, shard_tables


@step(makes="dataset", uses=["numba", "numpy", "polars", "py3langid"], heavy=True)
def language(
    data: Dataset,
    *,
    column: str = "text",
    languages: list[str] | None = None,
    min_score: Share = 0.0,
    name: str = "language",
    out: Path,
) -> Card:
    """Find the language of each text, and lay it beside the data: the columns `language` and `language_score`.

    py3langid's model knows 139 languages; Bosnian, Croatian and Serbian, Indonesian and Malay, and written Chinese and
    Cantonese are told apart by their own words. No data is rewritten and no row gets another id. Of a text of more
    than 6,000 characters a sample decides.

    Args:
        data: rows with a text column.
        column: whose language is found.
        languages: ISO 639 codes to choose from; by default all that the model knows. "zxx" is what is no language.
        min_score: below it a text is "und", undetermined. A score lies between 0 and 1.
        name: of the column with the language; the column with the score is the same with "_score".
    """
    import polars as pl

    require_text(data, column)
    for field in data.schema:
        if field.name in (name, f"{name}_score") and sidecar_of(field) != name:
            raise InputError(f"the data has a column {field.name!r} of its own", "give another: name: detected")
    identify = identifier("data.language", languages or (), min_score)
    found: Counter[str] = Counter()
    done = 0
    with DatasetWriter(out) as writer:
        for shard, table in shard_tables(data):
            given = identify(pl.Series(table.column(column)))
            writer.extend(shard, given.rename({"language": name, "score": f"{name}_score"}), name)
            found.update(given["language"].to_list())
            done += len(table)
            context().progress(done, unit="rows")
    return counted(writer, **{f"language: {code}": float(n) for code, n in sorted(found.items())})
