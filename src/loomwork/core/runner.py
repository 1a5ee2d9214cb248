"""The runner: brings a recipe's steps to results, each at most once, and moves names if the gates pass.

A step whose key has a finished run is a hit. Otherwise the runner takes the key's lease (work that another process
has taken is waited for, not repeated), hands a job to the executor, and records what came of it in one transaction.
When a step fails, the branches that do not need it go on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from loomwork.core.artifact import Artifact
from loomwork.core.call import find
from loomwork.core.errors import InputError, LoomError, did_you_mean
from loomwork.core.executor import Executor, open_executor
from loomwork.core.home import Home
from loomwork.core.processes import environment_rank, environment_size
from loomwork.core.recipe import Recipe, Reference, load_recipe
from loomwork.core.schedule import Listen, Schedule, Status, StepResult
from loomwork.core.score import Ruling, Verdict
from loomwork.core.step import Card

ALREADY = "it points there already"  # why a name was not moved
RECIPE, GC = "recipe", "gc"  # the step names under which the ledger keeps the runs of recipes, and of loom gc
POLL_SECONDS = 0.05


@dataclass
class RecipeRun:
    """What became of a recipe.

    Args:
        id: its run in the ledger.
        steps: the result of every step.
        rulings: what each gate decided.
        moved: names that were moved, with the artifact they now point at.
        kept: names that were not, and why.
    """

    id: str
    recipe: str
    steps: dict[str, StepResult] = field(default_factory=dict)
    rulings: dict[str, Ruling] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, status: Status) -> int:
        return sum(s.status == status for s in self.steps.values())

    @property
    def failed(self) -> bool:
        return any(not s.good for s in self.steps.values())

    @property
    def refused(self) -> bool:
        return any(not r.passed for r in self.rulings.values())


class Runner:
    """Runs recipes in a home. Use it as a context manager: its workers end with it.

    Args:
        home: where results are kept.
        jobs: how many steps may run at once; the cores are shared among them.
        on: the executor: "local", or a plug-in's name.
        processes: in how many processes each step runs that can run in several. Under torchrun it is as many as
            torchrun started, and this stays 1.
        listen: called as listen(event, step name, data): "hit" and "end" with a StepResult, "start" with the reasons
            why it is no hit, "progress" with a context event, "wait" with a sentence.
    """

    def __init__(
        self,
        home: Home,
        *,
        jobs: int = 1,
        on: str = "local",
        processes: int = 1,
        listen: Listen = lambda event, step, data: None,
    ) -> None:
        if jobs < 1:
            raise InputError(f"--jobs {jobs}: at least one job must run")
        if processes < 1:
            raise InputError(f"--processes {processes}: a step needs at least one")
        if environment_size() > 1:
            if processes > 1 or on != "local":
                raise InputError("torchrun says how many processes there are", "leave --processes and --on out")
            processes = environment_size()
        self.home, self.jobs, self.processes, self.listen = home, jobs, processes, listen
        self.executor: Executor = _under_torchrun(jobs) if environment_size() > 1 else open_executor(on, jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.close()

    def run(self, recipe: Recipe) -> RecipeRun:
        """Bring every step of a recipe to a result, then let the gates decide. What a step raises is in the result."""
        started, ledger = time.time(), self.home.ledger
        self._require_names(recipe)
        remove_leftovers(self.home)
        parts = {"recipe": recipe.name, "file": str(recipe.file), "text": recipe.text, "settings": recipe.settings}
        run = self._begin(recipe, parts)
        before = {target: ledger.named(*_split(target)) for target in recipe.names}
        result = RecipeRun(run, recipe.name)
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        schedule = Schedule(
            self.home,
            self.executor,
            recipe.steps,
            run,
            recipe=recipe.name,
            jobs=self.jobs,
            threads=threads,
            processes=self.processes,
            listen=self.listen,
        )
        try:
            result.steps = schedule.run()
            if not result.failed:
                self._decide(recipe, result, {n: now["artifact"] if now else None for n, now in before.items()})
        except BaseException as error:
            with contextlib.suppress(LoomError):  # the disk may be full: then the lease ends with this process
                ledger.fail(run, repr(error), status="stopped" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        result.seconds = time.time() - started
        self._close(result)
        return result

    def _require_names(self, recipe: Recipe) -> None:
        """Refuse an optional input whose name neither exists nor is given by this recipe: with a misspelt baseline a
        gate would be the first of its kind for ever, and pass.

        Raises:
            InputError: says which, and which name may be meant.
        """
        known = [f"{n['name']}@{n['label']}" for n in self.home.ledger.names()]
        for step in recipe.steps.values():
            for role, value in step.inputs.items():
                name = value.target if isinstance(value, Reference) and value.kind == "name" else ""
                if name and step.step.inputs[role].shape == "optional" and name not in (*recipe.names, *known):
                    raise InputError(
                        f"step {step.name}: {role} is {name}, which does not exist, and this recipe does not give it",
                        did_you_mean(name, [*recipe.names, *known]),
                    )

    def _begin(self, recipe: Recipe, parts: dict[str, Any]) -> str:
        """The recipe's run in the ledger; while gc deletes, it is waited for."""
        told = False
        while True:
            run = self.home.ledger.begin(RECIPE, uuid.uuid4().hex, parts, {}, name=recipe.name, unless=GC)
            if run is not None:
                return run
            if not told:
                self.listen("wait", recipe.name, "loom gc is at work")
                told = True
            time.sleep(POLL_SECONDS)

    def _decide(self, recipe: Recipe, result: RecipeRun, before: Mapping[str, str | None]) -> None:
        """Read the gates' verdicts; move the names if all passed, else say why not.

        Args:
            before: what each name pointed at when the run began: what its gates compared with, or an older one.
        """
        store = self.home.store
        for gate in recipe.gates:
            result.rulings[gate] = store.open(result.steps[gate].artifact, Verdict).ruling
        refusal = next((f"{gate}: {r.reason}" for gate, r in result.rulings.items() if not r.passed), "")
        reason = "; ".join(f"{gate}: {r.decision}" for gate, r in result.rulings.items()) or "no gate"
        sources = {name: (s.artifact, s.run) for name, s in result.steps.items()}
        for target, reference in recipe.names.items():
            name, label = _split(target)
            found = find(self.home, reference, Artifact, sources)
            if found is None:
                result.kept[target] = f"{reference.target} does not exist"
                continue
            now = self.home.ledger.named(name, label)
            if refusal:
                result.kept[target] = refusal
            elif now and now["artifact"] == found.artifact.id and now["run"] == found.run:
                result.kept[target] = ALREADY
            else:
                verdict = result.steps[recipe.gates[0]].artifact if recipe.gates else None
                was = [before[target]] if recipe.gates else None
                moved = self.home.ledger.move_name(
                    name, label, found.artifact.id, run=found.run, verdict=verdict, reason=reason, was=was
                )
                if moved:
                    result.moved[target] = found.artifact.id
                else:
                    result.kept[target] = "it was moved while this ran, and the gates did not see that: run it again"

    def _close(self, result: RecipeRun) -> None:
        outcome = {
            "steps": {
                name: {"status": s.status, "run": s.run, "artifact": s.artifact, "kind": s.kind, "error": s.error}
                for name, s in result.steps.items()
            },
            "rulings": {gate: asdict(r) for gate, r in result.rulings.items()},
            "moved": result.moved,
            "kept": result.kept,
        }
        if result.failed:
            bad = [
                f"{s.name} {s.status}: {s.error}" for s in result.steps.values() if s.status in ("failed", "stopped")
            ]
            status = "stopped" if result.count("stopped") and not result.count("failed") else "failed"
            self.home.ledger.fail(result.id, "\n".join(bad), status=status, outcome=outcome)
        else:
            self.home.ledger.finish(result.id, None, Card(), outcome=outcome)


def run_recipe(
    recipe: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    *,
    home: Home | None = None,
    jobs: int = 1,
    on: str = "local",
    processes: int = 1,
    until: Iterable[str] = (),
    listen: Listen = lambda event, step, data: None,
) -> RecipeRun:
    """Run a recipe from a YAML file, or from a dict of the same shape. See Runner for the arguments.

    Args:
        until: run these steps and what they need only; no gate decides, and no name moves.

    Under torchrun its first process runs the recipe; all others stand by for it in here, and then exit.

    Raises:
        RecipeError: it cannot run; nothing was started.
    """
    from loomwork.core.home import open_home

    stand_by()
    loaded = load_recipe(recipe, dict(settings or {}))
    if wanted := list(until):
        loaded = loaded.until(wanted)
    with Runner(home or open_home(), jobs=jobs, on=on, processes=processes, listen=listen) as runner:
        return runner.run(loaded)


def stand_by() -> None:
    """In a process of torchrun that is not the first: help it until it is done, then exit. Elsewhere do nothing."""
    if environment_rank() > 0:
        from loomwork.core.torchrun import follow

        follow()
        raise SystemExit(0)


def _split(target: str) -> tuple[str, str]:
    name, _, label = target.partition("@")
    return name, label


def _under_torchrun(jobs: int) -> Executor:
    from loomwork.core.torchrun import TorchrunExecutor

    return TorchrunExecutor(jobs)


def remove_leftovers(home: Home) -> None:
    """Mark the runs whose processes died as lost, and delete what they had begun to write."""
    # What is there is listed before the ledger is asked who lives: a run is in the ledger before it writes, so what a
    # run that begins just now writes is either not listed, or its run is among the living.
    there = list(home.folder("tmp").iterdir())
    home.ledger.mark_lost()
    live = {r["id"] for r in home.ledger.live_runs()}
    for path in there:
        if path.name.split(".")[0] not in live:
            shutil.rmtree(path, ignore_errors=True)
