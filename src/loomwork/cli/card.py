"""A step's card in one line, or in a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loomwork.cli.text import columns, number, size
from loomwork.core.score import Score
from loomwork.core.step import Card

SHOWN, SCORES_SHOWN = 4, 2  # numbers in one line


def main_numbers(card: Card) -> str:
    """Scores with their intervals first, then rows kept and dropped, then other numbers.

    "mrr@10 0.593 [0.561, 0.625]", or "6,692 rows, 120 dropped (empty text 100, short text 20)".
    """
    pieces = [f"{s.name} {s}" for s in card.scores[:SCORES_SHOWN]]
    pieces += _rows(card.metrics)
    pieces += [_plain(n, v) for n, v in card.metrics.items() if not n.startswith(("rows", "dropped: "))]
    return ", ".join(pieces[:SHOWN]) or next(iter(card.notes), "")


def _rows(metrics: Mapping[str, float]) -> list[str]:
    kept = [
        f"{number(v)} {'rows' if n == 'rows' else n.removeprefix('rows_')}"
        for n, v in metrics.items()
        if n == "rows" or (n.startswith("rows_") and v and n not in ("rows_dropped", "rows_changed"))
    ]
    dropped = metrics.get("rows_dropped")
    if dropped:
        reasons = [f"{n.removeprefix('dropped: ')} {number(v)}" for n, v in metrics.items() if n.startswith("dropped:")]
        kept.append(f"{number(dropped)} dropped" + (f" ({', '.join(reasons)})" if reasons else ""))
    if metrics.get("rows_changed"):
        kept.append(f"{number(metrics['rows_changed'])} changed")
    return kept


def _plain(name: str, value: float) -> str:
    for unit, write in (("bytes", size), ("seconds", lambda v: f"{v:.3g} s")):
        if name == unit or name.endswith(f"_{unit}"):
            return f"{name.removesuffix(unit).replace('_', ' ')}{write(value)}"
    return f"{name.replace('_', ' ')} {number(value)}"


def scores_table(scores: Sequence[tuple[str, Score]]) -> str:
    """A table of scores by step."""
    rows = [
        (
            step,
            score.name,
            f"{score.value:.4g}",
            f"[{score.interval.low:.4g}, {score.interval.high:.4g}]",
            f"{score.interval.level:.0%}",
            _over(score),
            score.contamination,
        )
        for step, score in scores
    ]
    header = ("step", "score", "value", "interval", "level", "over", "contamination")
    return columns(rows, header=header, right="c")


def _over(score: Score) -> str:
    items = f"{score.n:,} items" + (f" ({score.failed:,} failed)" if score.failed else "")
    if score.n_clusters == score.n:
        return items
    return f"{items}, {score.n_clusters:,} {score.cluster_unit}s"


def as_json(card: Card) -> dict[str, Any]:
    return {"metrics": card.metrics, "scores": [s.to_json() for s in card.scores], "notes": card.notes}


def recorded(rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> Card:
    """The card of a run from its rows in the ledger's table of metrics; series are left out."""
    single = [r for r in rows if r["point"] == 0]
    series = {r["name"] for r in rows if r["point"] != 0}
    return Card(
        {r["name"]: r["value"] for r in single if r["score"] is None and r["name"] not in series},
        [Score.from_json(r["score"]) for r in single if r["score"] is not None],
        list(notes),
    )
