"""Several systems on one test: scores, paired differences, slices, calibration, contamination, items, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.ranges import Count, Level
from loomwork.core.score import Scores, write_json
from loomwork.core.step import Card, step


@step(makes="comparison", uses=["numpy", "pyarrow", "scipy"])
def side_by_side(
    scores: dict[str, Scores],
    data: Dataset | None = None,
    *,
    baseline: str = "",
    metrics: list[str] | None = None,
    by: list[str] | None = None,
    bins: Annotated[int, Ge(2)] = 4,
    least: Annotated[int, Ge(2)] = 10,
    alpha: Level = 0.05,
    examples: Count = 50,
    out: Path,
) -> Card:
    """Show two or more systems side by side; all are compared with one of them, on the same items.

    Written to `page.html`, which needs no network, and to `comparison.json`. It decides nothing: evals.compare is the
    gate.

    Args:
        scores: of each system, by the name that it shall have; from one step with the same settings.
        data: the rows that were scored, for columns and texts that the items lack.
        baseline: the system that the others are compared with; "" takes the first in the order of names.
        metrics: which scores; by default all that every system has.
        by: columns to slice the first of them by; "length" and "language" are made from the text.
        bins: into how many slices numbers are cut.
        least: slices of fewer items are left out, and counted.
        alpha: of what is called different, after adjusting for all comparisons (Holm).
        examples: items that are shown of each kind.

    Raises:
        InputError: fewer than two systems, or they were not measured alike.
    """
    from loomwork.evals.comparing.page import comparison_page
    from loomwork.evals.comparing.table import compared

    if len(scores) < 2:
        raise InputError(f"{len(scores)} system is nothing to compare", "scores: {a: $a_scores, b: $b_scores}")
    if baseline and baseline not in scores:
        raise InputError(f"there is no system {baseline!r}", did_you_mean(baseline, scores))
    first = baseline or min(scores)
    ordered = {first: scores[first]} | {name: scores[name] for name in sorted(scores) if name != first}
    report = compared(
        ordered, data, metrics=metrics or [], by=by or [], bins=bins, least=least, alpha=alpha, examples=examples
    )
    write_json(out / "comparison.json", report)
    (out / "page.html").write_text(comparison_page(report), encoding="utf-8")
    notes = []
    for d in report["differences"]:
        notes.append(f"{d['words']}; {d['power']}" + (f"; {d['left_out']}" if d["left_out"] else ""))
    if report["settings"]["words"]:
        notes.append(f"other settings: {report['settings']['words']}")
    notes += [f"{name}: {words}" for name, words in report["slices"].get("worst", {}).items()]
    metrics_made = {"systems": len(scores), "metrics": len(report["metrics"])}
    return Card(metrics={**metrics_made, "items": report["differences"][0]["n"]}, notes=notes)
