"""How a run report says things: scores with their intervals, ratios, and what came of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loomwork.core.score import Score
from loomwork.report import numbers
from loomwork.report.forest import Tone
from loomwork.report.page import Verdict

if TYPE_CHECKING:
    from loomwork.export.run_data import RunReport, SystemScore

_SHORT_ID = 12
_HELD = {"refuse": "the gate refused", "undecided": "the gate could not decide"}


def interval(score: Score, *, sign: bool = False) -> str:
    digits = numbers.decimals_for(score.interval.low, score.interval.high)
    low, high = (numbers.plain(v, digits, sign=sign) for v in (score.interval.low, score.interval.high))
    return f"[{low}, {high}]"


def with_interval(score: Score, *, sign: bool = False) -> str:
    digits = numbers.decimals_for(score.interval.low, score.interval.high)
    return f"{numbers.plain(score.value, digits, sign=sign)} {interval(score, sign=sign)}"


def sample(score: Score) -> str:
    """n = 704 in 28 modules."""
    n = f"n = {numbers.plain(score.n)}" + (f" ({numbers.plain(score.failed)} failed)" if score.failed else "")
    if score.cluster_unit == "item" or score.n_clusters == score.n:
        return n
    return f"{n} in {numbers.count(score.n_clusters, score.cluster_unit)}"


def rate(value: float) -> str:
    return numbers.plain(value, 0 if value >= 100 else 1)


def ratio(before: float, after: float) -> str:
    if not before:
        return "not comparable"
    share = after / before
    return f"{share:.1f}×" if share >= 2 else f"{share:.0%}"


def ratio_to(before: float, after: float, name: str) -> str:
    """27% of MiniLM; 2.1× MiniLM."""
    share = ratio(before, after)
    return f"{share} of {name}" if share.endswith("%") else f"{share} {name}"


def metric(score: Score) -> str:
    unit = f" ({score.unit})" if score.unit not in ("", "1", "score", score.name) else ""
    return f"{score.name}{unit}"


def ends(report: RunReport) -> tuple[SystemScore, SystemScore] | None:
    """The two scores of the headline: before and after, of one metric."""
    if not report.scores:
        return None
    metric = report.scores[0].score.name
    same = [s for s in report.scores if s.score.name == metric]
    systems = {s.system: s for s in same}
    return systems.get(report.before, same[0]), systems.get(report.after, same[-1])


def outcome(report: RunReport) -> tuple[str, Verdict | None]:
    """What came of the run, in one or two sentences."""
    moved = [n for n in report.names if n.moved]
    held = [n for n in report.names if not n.moved]
    refused = [g.subject for g in report.gates if g.ruling.decision == "refuse"]
    told = [f"{n.name} is now {n.system or short_id(n.artifact)}." for n in moved]
    told += [
        f"{n.name} was not moved to {n.system or short_id(n.artifact)}: {_HELD.get(n.decision, n.decision)}."
        for n in held
    ]
    if refused:
        told.append(f"{_listed(refused)} {'was' if len(refused) == 1 else 'were'} refused.")
    if not told:
        return "", None
    verdict: Verdict = "good" if moved else "bad" if held or refused else "open"
    return " ".join(told), verdict


def _listed(words: Sequence[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else ", ".join(unique[:-1]) + " and " + unique[-1]


def short_id(text: str) -> str:
    return text[:_SHORT_ID]


def tones(report: RunReport) -> Callable[[str], Tone]:
    refused = {g.subject for g in report.gates if g.ruling.decision == "refuse"}
    named = {n.system for n in report.names if n.moved}
    last = ends(report)
    chosen = named or ({last[1].system} if last else set())
    return lambda system: "off" if system in refused else "on" if system in chosen else "plain"
