"""The sections of a run report about quality: scores, paired differences, gates, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from loomwork.core.score import Contamination, Decision
from loomwork.export.run_words import ends, metric, sample, tones, with_interval
from loomwork.report import numbers
from loomwork.report.forest import Estimate, Tone, forest_plot
from loomwork.report.page import (
    Block,
    Cell,
    Column,
    Compared,
    Details,
    Figure,
    Ranked,
    Row,
    Ruled,
    Section,
    Table,
    Verdict,
)

if TYPE_CHECKING:
    from loomwork.export.run_data import Difference, Example, RunReport, SystemScore

_WORDS: dict[Decision, tuple[str, Verdict]] = {
    "pass": ("Passed", "good"),
    "first": ("First", "good"),
    "refuse": ("Refused", "bad"),
    "undecided": ("Undecided", "open"),
}
_CLEAN: dict[Contamination, Verdict] = {"checked": "good", "clean subset given": "good", "unknown": "open"}
_MOST_EXAMPLES = 8


def _by_metric(scores: Iterable[SystemScore]) -> list[list[SystemScore]]:
    names = dict.fromkeys(s.score.name for s in scores)
    return [[s for s in scores if s.score.name == name] for name in names]


def scores_section(report: RunReport) -> Section | None:
    if not report.scores:
        return None
    tone = tones(report)
    blocks: list[Block] = []
    for group in _by_metric(report.scores):
        name = metric(group[0].score)
        blocks.append(_score_table(name, group, tone))
        blocks.append(_score_plot(name, group, tone))
    return Section("Scores", _best(report), blocks)


def _score_plot(name: str, group: Sequence[SystemScore], tone: Callable[[str], Tone]) -> Figure:
    rows = [
        Estimate(s.system, s.score.value, s.score.interval.low, s.score.interval.high, tone=tone(s.system))
        for s in group
    ]
    label = f"{name}, {group[0].score.direction}"
    return Figure.of(lambda w: forest_plot(rows, title=f"{label}, per system", x_label=label, width=w))


def _best(report: RunReport) -> str:
    group = _by_metric(report.scores)[0]
    sign = 1 if group[0].score.direction == "higher is better" else -1
    best = max(group, key=lambda s: sign * s.score.value)
    if len(group) == 1:
        return f"{best.system} scores {with_interval(best.score)} in {best.score.name}."
    return f"Best in {best.score.name}: {best.system}, {with_interval(best.score)}."


def _score_table(name: str, group: Sequence[SystemScore], tone: Callable[[str], Tone]) -> Table:
    columns = [
        Column("System"),
        Column(name, "number"),
        Column("Interval", "number"),
        Column("n", "number"),
        Column("Contamination"),
    ]
    digits = max(numbers.decimals_for(s.score.interval.low, s.score.interval.high) for s in group)
    rows = []
    for s in group:
        score = s.score
        held = Cell(score.contamination, note=score.contamination_note, verdict=_CLEAN[score.contamination])
        low, high = (numbers.plain(v, digits) for v in (score.interval.low, score.interval.high))
        cells: list[Cell | str] = [
            s.system,
            numbers.plain(score.value, digits),
            f"[{low}, {high}]",
            sample(score)[4:],
            held,
        ]
        rows.append(Row(cells, strong=tone(s.system) == "on"))
    ways = dict.fromkeys(f"{s.score.interval.level:.0%} intervals by {s.score.interval.method}" for s in group)
    seeds = dict.fromkeys(s.score.seed for s in group if s.score.seed is not None)
    seeded = f", seed {', '.join(map(str, seeds))}" if seeds else ""
    caption = f"{name}, {group[0].score.direction}"
    return Table(columns, rows, caption, f"{'; '.join(ways)}{seeded}.")


def differences_section(report: RunReport) -> Section | None:
    if not report.differences:
        return None
    blocks: list[Block] = []
    for name in dict.fromkeys(d.score.name for d in report.differences):
        group = [d for d in report.differences if d.score.name == name]
        blocks.append(_difference_plot(report, group))
    lead = "Both systems answer the same items, so each item is compared with itself. The line at zero means no change."
    return Section("Paired differences", lead, blocks)


def _difference_plot(report: RunReport, group: Sequence[Difference]) -> Figure:
    tone = tones(report)
    rows = [
        Estimate(
            d.candidate,
            d.score.value,
            d.score.interval.low,
            d.score.interval.high,
            note=f"against {d.baseline}",
            tone="off" if d.refused else "on" if tone(d.candidate) == "on" else "plain",
            margin=None if d.margin is None else -d.margin,
        )
        for d in group
    ]
    label = f"gain in {metric(group[0].score)}: plus is better"
    ways = dict.fromkeys(f"{d.score.interval.level:.0%} by {d.score.interval.method}, {sample(d.score)}" for d in group)
    caption = f"Intervals: {'; '.join(ways)}."
    if any(d.margin is not None for d in group):
        caption += " The shaded side of a dashed line is worse than the gate's margin."
    return Figure.of(lambda w: forest_plot(rows, title=label, x_label=label, zero=True, width=w), caption)


def gates_section(report: RunReport) -> Section | None:
    if not report.gates:
        return None
    blocks: list[Block] = []
    for gate in report.gates:
        word, verdict = _WORDS[gate.ruling.decision]
        facts = [("gate", gate.name), ("alpha", numbers.plain(gate.ruling.alpha))]
        facts += [(key.replace("_", " "), numbers.plain(value)) for key, value in gate.ruling.numbers.items()]
        blocks.append(Ruled(gate.subject, word, verdict, gate.ruling.reason, facts))
    counts = [(w, sum(_WORDS[g.ruling.decision][0] == w for g in report.gates)) for w, _ in _WORDS.values()]
    lead = ", ".join(f"{n} {w.lower()}" for w, n in counts if n)
    return Section("Gates", f"{numbers.count(len(report.gates), 'verdict')}: {lead}.", blocks)


def examples_section(report: RunReport) -> Section | None:
    if not report.examples:
        return None
    pair = ends(report)
    names = (pair[0].system, pair[1].system) if pair else ("before", "after")
    shown = [_compared(e, *names) for e in report.examples]
    blocks: list[Block] = list(shown[:_MOST_EXAMPLES])
    if shown[_MOST_EXAMPLES:]:
        blocks.append(Details(f"{len(shown) - _MOST_EXAMPLES} more", shown[_MOST_EXAMPLES:]))
    up, down = _movement(report.examples)
    lead = f"{numbers.count(len(shown), 'held-out query')}: the right passage rose in {up} and fell in {down}."
    return Section("Before and after", lead, blocks)


def _rank(items: Sequence[str], right: str) -> int | None:
    return items.index(right) if right in items else None


def _movement(examples: Sequence[Example]) -> tuple[int, int]:
    far = 10**9
    places = [
        tuple(far if r is None else r for r in (_rank(e.before, e.right), _rank(e.after, e.right))) for e in examples
    ]
    return sum(b > a for b, a in places), sum(b < a for b, a in places)


def _compared(e: Example, before: str, after: str) -> Compared:
    def ranked(title: str, items: Sequence[str]) -> Ranked:
        at = _rank(items, e.right)
        return Ranked(title, items, at, f"rank {at + 1}" if at is not None else f"not in the first {len(items)}")

    seen = e.right in e.before or e.right in e.after
    return Compared(e.query, ranked(before, e.before), ranked(after, e.after), "" if seen else f"Right: {e.right}")
