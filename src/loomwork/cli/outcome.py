"""How a recipe's run ended, for people: scores, gates, names, failures, and what it took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.cli.card import as_json, recorded, scores_table
from loomwork.cli.text import columns, duration, heading, paint, short
from loomwork.core.errors import GateRefused, Stopped
from loomwork.core.runner import ALREADY

if TYPE_CHECKING:
    from loomwork.core.home import Home
    from loomwork.core.runner import RecipeRun
    from loomwork.core.schedule import StepResult
    from loomwork.core.score import Ruling, Score

DECISIONS = {"pass": ("✓", "green"), "first": ("✓", "green"), "refuse": ("✗", "red"), "undecided": ("?", "yellow")}
NOTES = 10  # of a gate that refused; the rest stands in `loom show STEP`


def executed(result: RecipeRun) -> bool:
    return any(s.status != "hit" for s in result.steps.values())


def pages(home: Home, result: RecipeRun) -> Iterator[tuple[str, Path]]:
    """The HTML pages among what the steps made: (step, file)."""
    for name, made in result.steps.items():
        if made.artifact and made.good:
            yield from ((name, page) for page in sorted(home.store.path(made.artifact).glob("*.html")))


def exit_code(result: RecipeRun) -> int:
    """1 where a step failed, 130 where the run was stopped, 3 where a gate refused, else 0."""
    if result.count("failed"):
        return 1
    if result.count("stopped"):
        return Stopped.exit_code
    return GateRefused.exit_code if result.refused else 0


def sections(home: Home, result: RecipeRun, order: Iterable[str]) -> Iterator[str]:
    """The end of a run, section by section.

    Args:
        home: where it ran.
        result: what it came to.
        order: the names of the steps as the recipe has them.
    """
    order = list(order)
    if executed(result):
        scores = _scores(home, result, order)
        if scores:
            yield f"{heading('Scores')}\n{scores_table(scores)}"
    elif order:
        yield f"  nothing to do: all {len(order)} steps are as they were"
    samples = [note for n in order if (s := result.steps[n]).kind == "samples" for note in s.card.notes]
    if samples:
        pairs = (sample.partition("▸") for sample in samples)
        rows = [(prompt or "(nothing)", " ".join(text.split())) for prompt, _, text in pairs]
        yield f"{heading('Samples')}\n{columns(rows, header=('prompt', 'went on'), wrap=True)}"
    if ruled := find_verdicts(home, result, order):
        yield verdicts(home, result, order)
        for name, ruling in ruled.items():
            unmet = [] if ruling.passed else _notes(home, result.steps[name], ruling)
            if unmet:
                more = f"\n  and {len(unmet) - NOTES} more: loom show {name}" if len(unmet) > NOTES else ""
                shown = columns([[note] for note in unmet[:NOTES]], wrap=True)
                yield f"{heading(f'Notes of {name}')}\n{shown}{more}"
    if result.moved or result.kept:
        yield f"{heading('Names')}\n{_names(result)}"
    if result.failed:
        yield f"{heading('Not done')}\n{_failures(result, order)}"


def summary(result: RecipeRun) -> str:
    """ "12 steps in 3 min 4 s: 3 ran, 9 hits; run 3f2a91c0d4e1"."""
    counts = [(result.count(s), s) for s in ("ran", "hit", "failed", "skipped", "stopped")]
    told = ", ".join(f"{n} {'hits' if s == 'hit' and n > 1 else s}" for n, s in counts if n)
    steps = f"{len(result.steps)} step{'s' if len(result.steps) != 1 else ''}"
    return f"{steps} in {duration(result.seconds)}: {told}; run {short(result.id)}"


def _notes(home: Home, step: StepResult, ruling: Ruling) -> list[str]:
    """What a step that ruled has told, but for what repeats its reason."""
    return [note for note in notes_of(home, step) if ruling.reason not in note]


def notes_of(home: Home, step: StepResult) -> list[str]:
    """What a step told when it ran, now or, if it was a hit, before."""
    if step.status != "hit":
        return step.card.notes
    return list((home.ledger.run(step.run) or {}).get("outcome", {}).get("notes", []))


def _scores(home: Home, result: RecipeRun, order: list[str]) -> list[tuple[str, Score]]:
    found: list[tuple[str, Score]] = []
    for name in order:
        step = result.steps[name]
        if step.status == "hit" and step.kind == "scores":
            found += [(name, s) for s in recorded(home.ledger.metrics(step.run)).scores]
        else:
            found += [(name, s) for s in step.card.scores]
    return found


def find_verdicts(home: Home, result: RecipeRun, order: Iterable[str]) -> dict[str, Ruling]:
    """What every step that makes a verdict ruled, gates and others, whether it ran now or was a hit."""
    from loomwork.core.score import Verdict

    made = [(name, result.steps[name]) for name in order]
    return {n: home.store.open(s.artifact, Verdict).ruling for n, s in made if s.good and s.kind == Verdict.kind}


def verdicts(home: Home, result: RecipeRun, order: Iterable[str]) -> str:
    """A line for each verdict, under a heading."""
    rows, gates = [], set(result.rulings)
    for name, ruling in find_verdicts(home, result, order).items():
        mark, colour = DECISIONS[ruling.decision]
        decision = paint(ruling.decision if ruling.passed else ruling.decision.upper(), colour)
        told = f"{ruling.reason} (alpha {ruling.alpha:g})"
        rows.append((paint(mark, colour), name, "gate" if name in gates else "", decision, told))
    return f"{heading('Verdicts')}\n{columns(rows, wrap=True)}"


def _names(result: RecipeRun) -> str:
    rows = [(paint("✓", "green"), name, f"now {short(artifact)}", "") for name, artifact in result.moved.items()]
    for name, reason in result.kept.items():
        mark = paint("=", "dim") if reason == ALREADY else paint("✗", "yellow")
        rows.append((mark, name, "not moved", reason))
    return columns(rows, wrap=True)


def _failures(result: RecipeRun, order: list[str]) -> str:
    lines = []
    for name in order:
        step = result.steps[name]
        if step.status == "failed" or (step.status == "stopped" and step.run):
            colour = "red" if step.status == "failed" else "yellow"
            first, *rest = (step.error or step.status).split("\n")
            lines.append(f"  {paint(name, colour)} {step.status}: {first}")
            lines += [f"    {line.strip()}" for line in rest]
            if step.log:
                lines.append(f"    log: {relative(step.log)}")
    skipped = [n for n in order if result.steps[n].status == "skipped"]
    if skipped:
        lines.append(f"  skipped, for they need what failed: {', '.join(skipped)}")
    unbegun = [n for n in order if result.steps[n].status == "stopped" and not result.steps[n].run]
    if unbegun:
        lines.append(f"  not started: {', '.join(unbegun)}")
    if result.count("stopped"):
        lines.append("  the same command goes on from here")
    return "\n".join(lines)


def relative(path: str | Path) -> str:
    """A path as seen from here, where that is shorter."""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)


def to_json(home: Home, result: RecipeRun, order: Iterable[str], report: Path | None) -> dict[str, Any]:
    """The whole of it, for programs."""
    from dataclasses import asdict

    order = list(order)
    steps = {}
    for name in order:
        step = result.steps[name]
        card = step.card
        if step.status == "hit":
            card = recorded(home.ledger.metrics(step.run), notes_of(home, step))
        plain = {k: v for k, v in vars(step).items() if k not in ("card", "name")}
        steps[name] = {**plain, "card": as_json(card)}
    return {
        "run": result.id,
        "recipe": result.recipe,
        "seconds": result.seconds,
        "exit_code": exit_code(result),
        "steps": steps,
        "gates": {gate: asdict(r) for gate, r in result.rulings.items()},
        "verdicts": {name: asdict(r) for name, r in find_verdicts(home, result, order).items()},
        "moved": result.moved,
        "kept": result.kept,
        "report": str(report) if report else None,
    }
