"""Pairs of a query and the passage that answers it, made from documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.ranges import Count
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text, shard_tables
from loomwork.text.clean import first_sentence, fold, split_heading


@step(makes="dataset")
def query_pairs(
    data: Dataset,
    *,
    column: str = "text",
    name: str = "name",
    signature: str = "signature",
    carry: tuple[str, ...] = ("module", "name", "source", "kind"),
    min_words: Count = 4,
    out: Path,
) -> Card:
    """Make a query of each document's first sentence, and a passage of its name, signature and the rest.

    A third column, `document`, has all of it again: what a search over these rows should look through.
    The query's words are not in the passage unless the document repeats them, so retrieval has to find the passage
    by what it is about. A heading (a first line that is underlined) goes to the passage, before the rest.

    Args:
        data: documents with a text column.
        column: the text.
        name: the column with the document's name; left out where the data has none.
        signature: the column that is put right after the name; left out where the data has none.
        carry: columns that the pairs keep, where the data has them.
        min_words: documents whose first sentence is shorter are dropped.
    """
    import pyarrow as pa

    require_text(data, column)
    done = 0
    with DatasetWriter(out) as writer:
        for _, table in shard_tables(data):
            have = set(table.column_names)
            pairs: list[dict[str, Any]] = []
            origins: list[bytes] = []
            reasons: list[str] = []
            for row in table.to_pylist():
                heading, body = split_heading(row[column] or "")
                query, rest = first_sentence(body)
                label = (row.get(name) or "") + (row.get(signature) or "")
                passage = fold(f"{label} {heading} {rest}")
                short = len(query.split()) < min_words
                reasons.append("first sentence too short" if short else "" if passage else "no passage")
                if not reasons[-1]:
                    kept = {c: row[c] for c in carry if c in have}
                    document = fold(f"{label} {heading} {query} {rest}")
                    pairs.append({"query": query, "passage": passage, "document": document, **kept})
                    origins.append(row["row_id"])
            if pairs:
                writer.write(pairs, origins=origins)
            dropped = pa.array([bool(reason) for reason in reasons], pa.bool_())
            writer.drop(table.filter(dropped), [reason for reason in reasons if reason])
            done += len(table)
            context().progress(done, unit="rows")
    return counted(writer)
