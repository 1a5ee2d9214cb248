"""Where jobs run. The local executor runs light ones in this process and heavy ones in worker processes.

A cluster's executor is one more class with `submit` and `close`: a Job is plain data, and what it needs is in the
store and under its work folder. Register it as an entry point of the group `loomwork.executors`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Protocol

from loomwork.core.context import Event
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.job import Job, Outcome, carry_out, explain
from loomwork.core.processes import NAMES, local_group

PLUGINS = "loomwork.executors"
SETTLE_SECONDS = 1.0  # in which the other processes of a job that failed may tell why, too
Report = Callable[[Event], None]
Ended = queue.SimpleQueue[tuple[int, Outcome]]  # of the processes of one job: rank and outcome


class Executor(Protocol):
    """Runs jobs, each to its outcome."""

    def submit(self, job: Job, report: Report) -> Future[Outcome]:
        """Start a job. `report` gets its progress, from any thread. The future never raises: see Outcome.error.

        A job of several `processes` is started as often, each with its `of_rank` and torch's environment variables.
        """

    def close(self) -> None:
        """End all workers."""


def open_executor(name: str, jobs: int) -> Executor:
    """The executor called `name`: "local", or a plug-in's.

    Raises:
        InputError: there is none.
    """
    if name == "local":
        return LocalExecutor(jobs)
    from importlib.metadata import entry_points

    found = {e.name: e for e in entry_points(group=PLUGINS)}
    if name not in found:
        raise InputError(f"no executor {name!r}", did_you_mean(name, ["local", *found]))
    executor: Executor = found[name].load()(jobs)
    return executor


# A thread that waits for its next piece of work spins for some microseconds, then sleeps. One that only sleeps makes
# training take 1.4 times as long (22.9 M Llama, two cores). One that spins takes a core from other jobs, and a step
# takes ten times as long where these keep the team waiting. GNU's library counts rounds, LLVM's milliseconds.
WAITING = {"GOMP_SPINCOUNT": "5000", "KMP_BLOCKTIME": "1"}
_ONE_LIGHT_JOB = threading.Lock()  # where a process prints is one for all of its threads


class LocalExecutor:
    """Heavy jobs in spawned processes (never forked: torch and Numba do not survive it), light ones right here.

    Args:
        jobs: how many workers may run at once; they are started when needed and used again.
    """

    def __init__(self, jobs: int = 1) -> None:
        self._slots = threading.Semaphore(jobs)
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all: list[Worker] = []

    def submit(self, job: Job, report: Report) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        if not job.heavy:
            with (
                _ONE_LIGHT_JOB,
                open(job.log, "a", encoding="utf-8") as log,
                redirect_stdout(log),
                redirect_stderr(log),
            ):
                future.set_result(carry_out(job, report))
            return future
        threading.Thread(target=self._run, args=(job, report, future), daemon=True).start()
        return future

    def _run(self, job: Job, report: Report, future: Future[Outcome]) -> None:
        try:
            with self._slots:
                outcome = self._together(job, report) if job.processes > 1 else self._alone(job, report)
        except BaseException as error:  # no process could be started: whoever waits must hear of it
            outcome = Outcome(error=explain(error))
        future.set_result(outcome)

    def _alone(self, job: Job, report: Report) -> Outcome:
        worker = self._idle_worker()
        if worker is None:
            worker = Worker(job.threads)
            self._all.append(worker)
        outcome = worker.run(job, report)
        if worker.alive:
            self._idle.put(worker)
        return outcome

    def _idle_worker(self) -> Worker | None:
        """A worker that waits for a job; one that was killed meanwhile is passed over."""
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker.alive:
                    return worker
        return None

    def _together(self, job: Job, report: Report) -> Outcome:
        """In processes of their own, which are used for nothing else."""
        workers = [Worker(job.threads, group) for group in local_group(job.processes)]
        self._all += workers
        ended = Ended()
        for rank, worker in enumerate(workers):
            worker.start_rank(rank, job, report, ended)
        try:
            return gather(job, ended)
        finally:
            for worker in workers:
                worker.kill()
                self._all.remove(worker)

    def close(self) -> None:
        for worker in self._all[:]:
            worker.end()


def gather(job: Job, ended: Ended) -> Outcome:
    """The outcome of a job that several processes carry out; with the first error it is settled.

    Args:
        ended: gets each process's outcome when it has one.
    """
    outcomes: dict[int, Outcome] = {}
    bad: dict[int, Outcome] = {}
    while len(outcomes) < job.processes and not bad:
        rank, outcomes[rank] = ended.get()
        bad = {r: o for r, o in outcomes.items() if o.error and not o.stopped}
    if bad:
        # Others see a closed connection where a process has died, and may tell it first.
        with contextlib.suppress(queue.Empty):
            while True:
                rank, outcome = ended.get(timeout=SETTLE_SECONDS)
                bad |= {rank: outcome} if outcome.error and not outcome.stopped else {}
        rank, outcome = min(bad.items(), key=lambda found: (not found[1].died, found[0]))
        return replace(outcome, error=f"process {rank} of {job.processes} (the first is 0): {outcome.error}")
    spent = [(o.cpu_seconds, o.peak_memory_bytes) for o in outcomes.values()]
    return replace(outcomes[0], cpu_seconds=sum(s for s, _ in spent), peak_memory_bytes=sum(m for _, m in spent))


class Worker:
    """A spawned Python that runs one job after another. Lines of JSON go in and out; nothing is pickled.

    Args:
        threads: of its libraries.
        group: what its environment says of the group of processes that it is one of.
    """

    def __init__(self, threads: int, group: dict[str, str] | None = None) -> None:
        environment = {n: v for n, v in os.environ.items() if n not in NAMES} | (group or {})
        environment["PYTHONPATH"] = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
        environment = WAITING | environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loomwork.core.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def run(self, job: Job, report: Report) -> Outcome:
        """Run one job; a process that dies is an outcome too."""
        stdin, stdout = _pipes(self.process)
        try:
            stdin.write(json.dumps(asdict(job)) + "\n")
            stdin.flush()
            for line in stdout:
                message = json.loads(line)
                if message["type"] == "outcome":
                    return Outcome(**message["outcome"])
                report(message)
        except (OSError, ValueError) as error:
            self.process.kill()  # what it would answer later must not be taken for the next job's
            return Outcome(error=f"the step's process broke off: {error}")
        code = self.process.wait()
        cause = "it was killed, perhaps for memory" if code == -9 else f"exit code {code}"
        return Outcome(error=f"the step's process died ({cause})\n  its log says more: {job.log}", died=True)

    def start_rank(self, rank: int, job: Job, report: Report, ended: Ended) -> None:
        """Run one process's part of a job, in the background."""

        def run() -> None:
            ended.put((rank, self.run(job.of_rank(rank), report)))

        threading.Thread(target=run, daemon=True).start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        stdin, _ = _pipes(self.process)
        with contextlib.suppress(OSError):
            stdin.close()  # the worker ends when its input does
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout
