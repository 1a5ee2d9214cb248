"""Queries to look at: where two systems rank the right passage differently, gains and losses alike."""

from __future__ import annotations

from typing import Any

from loomwork.core.dataset import Dataset
from loomwork.core.score import Scores
from loomwork.export.run_data import Example

GAINS, LOSSES, SHOWN, FAR = 4, 2, 3, 50
QUOTED_CHARACTERS = 140


def find_examples(
    data: Dataset, before: Scores, after: Scores, query: str, passage: str
) -> tuple[tuple[Example, ...], str]:
    """The queries that gained most, and those that lost most: a fair look needs both.

    Args:
        data: the rows that were scored.
        before, after: scores with `rank` and `top_ids` for each row.
        query, passage: columns of `data`.

    Returns: the examples, and the row id (hex) of the first.
    """
    texts = {row["row_id"]: row for row in data.rows(["row_id", query, passage])}
    was = {row["row_id"]: row for row in before.items().to_pylist()}
    changes = []
    for now in after.items().to_pylist():
        old = was.get(now["row_id"])
        if old and now["row_id"] in texts:
            gain = 1 / old["rank"] - 1 / now["rank"]
            changes.append((gain, now["row_id"], old, now))
    changes.sort(key=lambda c: (c[0], c[1]))
    better = [c for c in changes if c[0] < 0 and c[3]["rank"] == 1 and c[2]["rank"] <= FAR][:GAINS]
    worse = [c for c in reversed(changes) if c[0] > 0][:LOSSES]
    chosen = better + worse

    def quoted(row_id: bytes) -> str:
        text = str(texts[row_id][passage]) if row_id in texts else row_id.hex()
        return text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 3] + "..."

    def ranked(item: dict[str, Any]) -> tuple[str, ...]:
        return tuple(quoted(i) for i in item["top_ids"][:SHOWN])

    examples = tuple(
        Example(query=texts[i][query], right=quoted(i), before=ranked(old), after=ranked(now))
        for _, i, old, now in chosen
    )
    return examples, chosen[0][1].hex() if chosen else ""
