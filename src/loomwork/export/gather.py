"""What a run report shows, gathered from the ledger and the store after a recipe has run."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from loomwork.core.artifact import digest
from loomwork.core.dataset import DROPPED, Dataset
from loomwork.core.home import Home
from loomwork.core.recipe import Recipe, Reference
from loomwork.core.runner import RecipeRun
from loomwork.core.schedule import StepResult
from loomwork.core.score import Interval, Score, Scores, Verdict
from loomwork.export import run_data as r
from loomwork.export.examples import find_examples
from loomwork.export.run_report import write_run_report
from loomwork.report.lineage import Node, State

EXAMPLES_OF_DROPPED = 3
QUOTED_CHARACTERS = 160


def write_report(home: Home, recipe: Recipe, run: RecipeRun) -> Path:
    """Write the report that a recipe asks for (`report: reports/NAME.html`), beside where the command was given.

    A report that stands there and tells of the very same results is left as it is.

    Returns: the file's path.
    """
    path = Path(recipe.report or f"reports/{recipe.name}.html")
    mark = f"<!-- {digest([{n: s.artifact for n, s in run.steps.items()}, recipe.settings, version('loomwork')])} -->\n"
    if not path.is_file() or not path.read_text("utf-8", errors="replace").endswith(mark):
        write_run_report(gather(home, recipe, run), path)
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(mark)
    return path


def gather(home: Home, recipe: Recipe, run: RecipeRun) -> r.RunReport:
    """Everything that there is to tell of a run."""
    steps = [_Step(home, recipe, s) for s in run.steps.values() if s.good]
    by_name = {s.name: s for s in steps}
    gates = tuple(
        r.Gate(name=s.name, subject=s.judged(by_name), ruling=s.ruling()) for s in steps if s.kind == "verdict"
    )
    names = _names(recipe, run, by_name)
    before, after = _ends(by_name, names)
    scores = tuple(r.SystemScore(system=s.system, score=score) for s in steps for score in s.scores())
    examples, sample = _examples(home, steps, before, after)
    started = home.ledger.run(run.id)
    return r.RunReport(
        recipe=recipe.name,
        recipe_path=str(recipe.file or recipe.name),
        started=_local_time(started["started"]) if started else "",
        # Of a run that found everything done, how long it took when it was made says more.
        seconds=run.seconds if run.count("ran") else sum(s.summary().seconds for s in steps),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        version=version("loomwork"),
        settings={name: str(value) for name, value in recipe.settings.items()},
        before=before,
        after=after,
        steps=tuple(s.summary() for s in steps),
        data=tuple(s.stage() for s in steps if s.kind == "dataset"),
        curves=tuple(curve for s in steps for curve in s.curves()),
        scores=tuple(sorted(scores, key=lambda s: _metric_order(scores, s.score.name))),
        differences=tuple(d for s in steps if s.kind == "verdict" and (d := s.difference(by_name))),
        gates=gates,
        costs=tuple(cost for s in steps for cost in s.costs()),
        names=names,
        examples=examples,
        lineage_nodes=tuple(s.node(names) for s in steps),
        lineage_edges=tuple((source, s.name) for s in steps for source in s.sources if source in by_name),
        artifacts=tuple(s.provenance() for s in steps),
        sample_row=sample,
    )


class _Step:
    """One finished step of a run, with what the ledger knows of it."""

    def __init__(self, home: Home, recipe: Recipe, result: StepResult) -> None:
        self.home, self.result = home, result
        self.name, self.kind = result.name, result.kind
        self.call = recipe.steps[result.name]
        self.record = home.ledger.run(result.run) or {}
        numbers = home.ledger.metrics(result.run)
        self.metrics = {m["name"]: m["value"] for m in numbers if m["point"] == 0 and not m["score"]}
        self.series: dict[str, list[tuple[float, float]]] = {}
        for m in numbers:
            if m["point"] > 0:
                self.series.setdefault(m["name"], []).append((m["point"], m["value"]))

    @property
    def inputs(self) -> dict[str, Reference]:
        """Its references to other steps, by role."""
        return {role: ref for role, ref in self.call.references() if ref.kind == "step"}

    @property
    def sources(self) -> list[str]:
        return list(dict.fromkeys(ref.target for ref in self.inputs.values()))

    @property
    def system(self) -> str:
        """What a scores step measured: the step of its model, or its own name where there is no model."""
        return self.inputs["model"].target if "model" in self.inputs else self.name

    @property
    def rows(self) -> int | None:
        counts = [v for n, v in self.metrics.items() if n == "rows" or n.startswith("rows_")]
        parts = [v for n, v in self.metrics.items() if n in ("rows", "rows_train", "rows_holdout")]
        return int(sum(parts)) if self.kind == "dataset" and counts else None

    def open(self, kind: type[Any]) -> Any:
        return self.home.store.open(self.result.artifact, kind)

    def scores(self) -> list[Score]:
        return self.open(Scores).scores if self.kind == "scores" else []

    def ruling(self) -> Any:
        return self.open(Verdict).ruling

    def judged(self, steps: dict[str, _Step]) -> str:
        """The system that a verdict is on."""
        scores = steps.get(self.inputs["candidate"].target) if "candidate" in self.inputs else None
        return scores.system if scores else self.name

    def summary(self) -> r.StepRun:
        ended, began = self.record.get("ended") or 0.0, self.record.get("started") or 0.0
        return r.StepRun(
            name=self.name,
            step=self.result.step,
            cached=self.result.status == "hit",
            seconds=ended - began,
            peak_memory_bytes=self.record.get("peak_memory_bytes"),
            rows_out=self.rows,
            metrics=self.metrics,
            notes=tuple(self.record.get("outcome", {}).get("notes", ())),
        )

    def stage(self) -> r.DataStage:
        mark = "dropped: "
        dropped = {n.removeprefix(mark): int(v) for n, v in self.metrics.items() if n.startswith(mark)}
        return r.DataStage(name=self.name, kept=self.rows or 0, dropped=dropped, examples=self._dropped_examples())

    def _dropped_examples(self) -> tuple[tuple[str, str], ...]:
        data = self.open(Dataset)
        if DROPPED not in data.parts:
            return ()
        found: dict[str, tuple[str, str]] = {}
        for row in data.select(DROPPED).rows():
            reason = str(row["reason"])
            text = next((str(row[c]) for c in ("text", "passage", "query", "source") if row.get(c)), "")
            found.setdefault(reason.split(":", 1)[0], (reason, text[:QUOTED_CHARACTERS]))
            if len(found) == EXAMPLES_OF_DROPPED:
                break
        return tuple(found.values())

    def curves(self) -> list[r.Curve]:
        return [r.Curve(step=self.name, name=n, points=tuple(points)) for n, points in self.series.items()]

    def difference(self, steps: dict[str, _Step]) -> r.Difference | None:
        """The paired difference that a verdict was made from."""
        roles, ruling = self.inputs, self.ruling()
        numbers = ruling.numbers
        if "baseline" not in roles or "difference" not in numbers:
            return None
        candidate, baseline = (steps[roles[role].target] for role in ("candidate", "baseline"))
        measured = candidate.open(Scores).score(self.call.settings.get("metric") or "")
        level = 1 - 2 * ruling.alpha
        score = Score(
            name=measured.name,
            value=numbers["difference"],
            unit=measured.unit,
            # evals.compare turns every difference so that plus is better
            direction="higher is better",
            n=int(numbers["n"]),
            cluster_unit=measured.cluster_unit,
            n_clusters=int(numbers["n_clusters"]),
            interval=Interval(numbers["low"], numbers["high"], level, "paired"),
            items="verdict.json",
            data=measured.data,
            model=measured.model,
            settings=measured.settings,
            contamination=measured.contamination,
        )
        tolerant = self.call.settings.get("not_worse_than") is not None
        return r.Difference(
            candidate=candidate.system,
            baseline=baseline.system,
            score=score,
            margin=numbers["margin"] if tolerant else None,
            refused=ruling.decision == "refuse",
        )

    def costs(self) -> list[r.ModelCost]:
        """Size and speed by system, from a measurement's card."""
        if self.kind != "measurement":
            return []
        systems = list(dict.fromkeys(n.split(".", 1)[0] for n in self.metrics if n.endswith(".bytes")))
        return [
            r.ModelCost(
                system=s,
                bytes=int(self.metrics[f"{s}.bytes"]),
                texts_per_second=self.metrics.get(f"{s}.texts_per_second"),
                latency_seconds=self.metrics.get(f"{s}.query_p50_seconds"),
            )
            for s in systems
        ]

    def node(self, names: tuple[r.Named, ...]) -> Node:
        labels = [n.name for n in names if n.artifact == self.result.artifact]
        state: State = "cached" if self.result.status == "hit" else "ran"
        if self.kind == "verdict" and self.ruling().decision == "refuse":
            state = "refused"
        elif labels:
            state = "named"
        return Node(self.name, self.name, self.kind, labels[0] if labels else self.result.step, state)

    def provenance(self) -> r.Provenance:
        size = sum(p["bytes"] for p in self.home.store.manifest(self.result.artifact)["parts"].values())
        return r.Provenance(
            id=self.result.artifact, kind=self.kind, bytes=size, made_by=self.result.step, name=self.name
        )


def _names(recipe: Recipe, run: RecipeRun, steps: dict[str, _Step]) -> tuple[r.Named, ...]:
    """The recipe's names: which moved, which point there already, which a gate kept back."""
    found = []
    decision = next((ruling.decision for ruling in run.rulings.values() if not ruling.passed), "pass")
    for name, reference in recipe.names.items():
        if reference.kind != "step" or reference.target not in steps:
            continue
        step = steps[reference.target]
        held = name in run.kept and run.refused
        same = [s.name for s in steps.values() if s.result.artifact == step.result.artifact and s.kind == step.kind]
        found.append(
            r.Named(name=name, artifact=step.result.artifact, system=same[0], decision=decision, moved=not held)
        )
    return tuple(found)


def _ends(steps: dict[str, _Step], names: tuple[r.Named, ...]) -> tuple[str, str]:
    """The systems of the headline: the first with a model, and the named one where it was measured."""
    measured = [s.system for s in steps.values() if s.kind == "scores"]
    with_model = [s.system for s in steps.values() if s.kind == "scores" and "model" in s.inputs]
    if not measured:
        return "", ""
    named = [n.system for n in names if n.system in measured]
    return (with_model or measured)[0], (named or measured)[-1 if not named else 0]


def _metric_order(scores: tuple[r.SystemScore, ...], name: str) -> int:
    return list(dict.fromkeys(s.score.name for s in scores)).index(name)


def _examples(home: Home, steps: list[_Step], before: str, after: str) -> tuple[tuple[r.Example, ...], str]:
    """Queries that the two systems of the headline rank differently, and the id of one such row."""
    measured = {s.system: s for s in steps if s.kind == "scores"}
    pair = [measured.get(before), measured.get(after)]
    if pair[0] is None or pair[1] is None or "data" not in pair[0].inputs:
        return (), ""
    source = pair[0].inputs["data"]
    data = next((s for s in steps if s.name == source.target), None)
    if data is None or "top_ids" not in pair[0].open(Scores).items().column_names:
        return (), ""
    rows = home.store.open(data.result.artifact, Dataset, source.part)
    settings = pair[0].call.settings
    return find_examples(rows, pair[0].open(Scores), pair[1].open(Scores), settings["query"], settings["passage"])


def _local_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")
