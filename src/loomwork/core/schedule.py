"""One recipe's run in progress: which steps wait, which run, and what became of the others."""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from loomwork.core import key as keys
from loomwork.core.call import Lookup, Ready, get_ready, look_up, needed_steps
from loomwork.core.context import Event
from loomwork.core.errors import LoomError
from loomwork.core.executor import Executor
from loomwork.core.files import ANEW
from loomwork.core.fresh import Freshener
from loomwork.core.home import Home
from loomwork.core.job import Outcome, explain
from loomwork.core.lease import HEARTBEAT_SECONDS
from loomwork.core.ledger import Made, Overtaken
from loomwork.core.recipe import StepCall
from loomwork.core.step import Card

Status = Literal["hit", "ran", "failed", "skipped", "stopped"]
Listen = Callable[[str, str, Any], None]
POLL_SECONDS = 0.25


@dataclass
class StepResult:
    """What became of one step of a recipe."""

    name: str
    step: str
    status: Status
    run: str = ""
    artifact: str = ""
    kind: str = ""
    seconds: float = 0.0
    error: str = ""
    why: list[str] = field(default_factory=list)  # why it was not a hit
    card: Card = field(default_factory=Card)
    log: str = ""

    @property
    def good(self) -> bool:
        return self.status in ("hit", "ran")


@dataclass
class _Running:
    ready: Ready
    run: str
    why: list[str]
    log: Path
    started: float = field(default_factory=time.time)


class Schedule:
    """Brings a set of step calls to their results.

    Args:
        home, executor: where results are kept, where jobs run.
        calls: the calls by name, in a topological order.
        parent: the run of the recipe, and `recipe` its name.
        jobs: how many may run at once.
        threads: for each of them.
        processes: of each step that can run in several.
        listen: hears "hit", "start", "progress", "wait" and "end".
    """

    def __init__(
        self,
        home: Home,
        executor: Executor,
        calls: dict[str, StepCall],
        parent: str,
        *,
        recipe: str,
        jobs: int,
        threads: int,
        processes: int = 1,
        listen: Listen,
    ) -> None:
        self.home, self.executor, self.parent, self.recipe = home, executor, parent, recipe
        self.jobs, self.threads, self.processes, self.listen = jobs, threads, processes, listen
        self.results: dict[str, StepResult] = {}
        self.stopping = False
        self.stop_file = home.folder("work") / f"stop-{parent}"
        self._waiting = dict(calls)
        self._needs = {name: set(needed_steps(call)) for name, call in calls.items()}
        self._readers: dict[str, list[str]] = {}  # step -> the steps that read it
        for name, needs in self._needs.items():
            for needed in needs:
                self._readers.setdefault(needed, []).append(name)
        self._next = [name for name, needs in self._needs.items() if not needs]  # waiting, and nothing to wait for
        self._running: dict[str, _Running] = {}
        self._ended: queue.SimpleQueue[tuple[str, Outcome]] = queue.SimpleQueue()
        self._points: dict[str, list[tuple[str, int, float]]] = {}
        self._lock = threading.Lock()
        self._told_to_wait: set[str] = set()
        self._fresh = Freshener(home.ledger)
        for call in calls.values():  # what this process has imported is what lies on the disk now, if it ever is
            with suppress(LoomError, OSError):
                keys.code_of(call.step, call.settings)

    def run(self) -> dict[str, StepResult]:
        """Work until every call has a result. The first Ctrl-C asks the steps to stop, the second does not ask."""
        finished = threading.Event()
        pulse = threading.Thread(target=self._pulse, args=(finished,), daemon=True)
        pulse.start()
        try:
            while self._waiting or self._running:
                try:
                    if not self._advance():
                        self._wait()
                except KeyboardInterrupt:
                    if self.stopping:
                        raise
                    self.stop()
        finally:
            finished.set()
            pulse.join()
            for left in self._running.values():  # interrupted: this process may live on, its leases must not
                with suppress(LoomError, SQLAlchemyError):
                    self.home.ledger.fail(left.run, "interrupted", status="stopped")
            self.stop_file.unlink(missing_ok=True)
        return self.results

    def stop(self) -> None:
        """Ask the running steps to save and stop; start nothing new."""
        self.stopping = True
        self.stop_file.touch()

    # -- the loop

    def _advance(self) -> bool:
        """Do all that can be done without waiting. Returns whether anything was."""
        moved = False
        for name in self._waiting if self.stopping else self._next[:]:
            result = self._try(self._waiting[name])
            if result:
                moved = True
                self._taken(name)
                if isinstance(result, StepResult):
                    self._end(result)
                if self.stopping:
                    break
        return moved

    def _taken(self, name: str) -> None:
        del self._waiting[name]
        if name in self._next:
            self._next.remove(name)

    def _wait(self) -> None:
        try:
            name, outcome = self._ended.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return
        self._record(self._running[name], outcome)
        del self._running[name]  # not before: if the ledger cannot be written, the lease must end with this run

    def _try(self, call: StepCall) -> StepResult | bool:
        """A hit, a failure to get ready, True for a job that was started, or False to try again later."""
        if self.stopping:
            return StepResult(call.name, call.use, "stopped", error="not started: the run was stopped")
        needs = [self.results[n] for n in self._needs[call.name]]
        broken = next((n for n in needs if not n.good), None)
        if broken:
            return StepResult(call.name, call.use, "skipped", error=f"it needs {broken.name}, which {broken.status}")
        try:
            ready = get_ready(self.home, call, {n.name: (n.artifact, n.run) for n in needs})
        except Exception as error:  # one step that cannot be made ready must not end the others
            return StepResult(call.name, call.use, "failed", error=explain(error))
        known = look_up(self.home, ready.key)
        if known.hit:
            artifact = known.hit["artifact"]
            run = self._fresh.hit(artifact, known.hit["run"], ready.used)
            return StepResult(call.name, call.use, "hit", run, artifact, known.hit["kind"])
        return len(self._running) < self.jobs and self._start(ready, known)

    def _start(self, ready: Ready, known: Lookup) -> bool:
        call = ready.call
        why = [known.why] if known.lost else why_not_a_hit(self.home, self.recipe, call, ready.parts)
        log = self.home.folder("logs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{call.name}-{os.urandom(3).hex()}.log"
        together = {"processes": self.processes} if call.step.parallel and self.processes > 1 else {}
        run = self.home.ledger.begin(
            call.use,
            ready.key,
            ready.parts | together,
            ready.used,
            name=call.name,
            parent=self.parent,
            threads=self.threads,
            log=log.name,
            lost=known.lost,
        )
        if run is None:
            if call.name not in self._told_to_wait:
                self._told_to_wait.add(call.name)
                self.listen("wait", call.name, "another run is at work on this very step")
            return False
        self._running[call.name] = _Running(ready, run, why, log)
        self.listen("start", call.name, why)
        job = ready.job(self.home, run, log, self.stop_file, self.threads, self.processes)
        future = self.executor.submit(job, lambda event: self._heard(call.name, run, event))
        future.add_done_callback(lambda f: self._ended.put((call.name, _outcome(f))))
        return True

    # -- recording

    def _record(self, running: _Running, outcome: Outcome) -> None:
        call, run = running.ready.call, running.run
        if outcome.artifact and self._sources_moved(running.ready):
            # What was read may not be what the key says; recorded, it would be a wrong hit for ever.
            outcome = replace(outcome, error="its source files changed while it read them\n  run it again")
        seconds = time.time() - running.started
        self._flush(run)
        shutil.rmtree(self.home.root / "tmp" / run, ignore_errors=True)  # there still if the process died
        spent: dict[str, Any] = {"cpu_seconds": outcome.cpu_seconds, "peak_memory_bytes": outcome.peak_memory_bytes}
        result = StepResult(
            call.name, call.use, "ran", run, outcome.artifact, call.step.makes, seconds, outcome.error, running.why
        )
        result.log = str(running.log)
        made = Made(outcome.artifact, call.step.makes, outcome.bytes)
        if not outcome.error and not outcome.stopped:
            try:
                self.home.ledger.finish(run, made, outcome.card, **spent)
            except Overtaken as error:
                outcome = replace(outcome, error=str(error))
                result.error = outcome.error
        if outcome.error or outcome.stopped:
            result.status = "stopped" if outcome.stopped else "failed"
            if outcome.stopped and not self.stopping:
                self.stop()  # Ctrl-C reached a light step, which runs in this process
            self.home.ledger.fail(run, outcome.error, status=result.status, **spent)
        else:
            result.card = outcome.card
            self._fresh.made(outcome.artifact, run)
            shutil.rmtree(self.home.root / "work" / running.ready.key, ignore_errors=True)
        self._end(result)

    def _sources_moved(self, ready: Ready) -> bool:
        parts, step = ready.parts, ready.call.step
        try:
            now = keys.digest_paths(step, parts["paths"], self.home.root / "digests")
        except (LoomError, OSError):
            return True
        was = parts["files"]
        return any(now.get(n) != d for n, d in was.items() if not d.startswith(ANEW)) or now.keys() != was.keys()

    def _end(self, result: StepResult) -> None:
        self.results[result.name] = result
        for name in self._readers.get(result.name, ()):
            if name in self._waiting and all(n in self.results for n in self._needs[name]):
                self._next.append(name)
        self.listen("hit" if result.status == "hit" else "end", result.name, result)

    def _heard(self, name: str, run: str, event: Event) -> None:
        if event["type"] == "metric":
            with self._lock:
                self._points.setdefault(run, []).append((event["name"], event["step"], event["value"]))
        self.listen("progress", name, event)

    def _flush(self, run: str) -> None:
        with self._lock:
            points = self._points.pop(run, [])
        self.home.ledger.add_points(run, points)

    def _pulse(self, finished: threading.Event) -> None:
        """Keep the leases alive and write live curves, until finished."""
        last = 0.0
        while not finished.wait(1.0):
            with suppress(LoomError, SQLAlchemyError):  # a ledger that is busy or full now may not be the next second
                for run in list(self._points):
                    self._flush(run)
                if time.time() - last >= HEARTBEAT_SECONDS:
                    last = time.time()
                    self.home.ledger.beat([self.parent, *(r.run for r in list(self._running.values()))])


def why_not_a_hit(home: Home, recipe: str, call: StepCall, parts: keys.Parts) -> list[str]:
    """What is different from the last finished run of this step in its recipe, in words."""
    earlier = home.ledger.last_done(recipe, call.name, call.use)
    if earlier is None:
        return ["it has not been run before"]
    return keys.differences(earlier["parts"], parts) or ["its result was not kept"]


def _outcome(future: Future[Outcome]) -> Outcome:
    error = future.exception()
    return Outcome(error=explain(error)) if error else future.result()
