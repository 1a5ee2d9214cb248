"""Recipes under torchrun: its first process runs the recipe, the others stand by for the steps that want them.

A step never runs in the processes that torchrun started: each starts one of its own, so that a step that dies is told
as any other. The processes talk through torchrun's key-value store, which the first machine has.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import threading
import time
from dataclasses import asdict, replace
from typing import Any

from loomwork.core.executor import Ended, LocalExecutor, Report, Worker, gather
from loomwork.core.job import Job, Outcome
from loomwork.core.processes import NAMES, environment_rank

POLL_SECONDS = 0.1
END = "loomwork-end"


class TorchrunExecutor(LocalExecutor):
    """Runs a step in as many processes as torchrun started, one under each; all others as the local executor does.

    Args:
        jobs: how many steps may run at once; one of them only in several processes.
    """

    def __init__(self, jobs: int = 1) -> None:
        super().__init__(jobs)
        self._store = _open_store()
        self._names = (f"loomwork-job-{i}" for i in itertools.count())
        self._turn = threading.Lock()
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._threads = max(1, (os.cpu_count() or 1) // jobs // local)

    def _together(self, job: Job, report: Report) -> Outcome:
        with self._turn:
            name, ended, job = next(self._names), Ended(), replace(job, threads=self._threads)
            self._store.set(name, json.dumps(asdict(job)))
            worker = _start(job, 0, report, ended)
            over = threading.Event()
            others = threading.Thread(target=self._hear_others, args=(name, job, ended, over), daemon=True)
            others.start()
            try:
                return gather(job, ended)
            finally:
                over.set()
                others.join()
                self._store.set(f"{name}-over", "")
                worker.kill()

    def _hear_others(self, name: str, job: Job, ended: Ended, over: threading.Event) -> None:
        waited = set(range(1, job.processes))
        while waited and not over.is_set():
            for rank in [r for r in waited if self._store.check([f"{name}-{r}"])]:
                waited.remove(rank)
                ended.put((rank, Outcome(**json.loads(self._store.get(f"{name}-{rank}")))))
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        self._store.set(END, "")
        super().close()


def follow() -> None:
    """Stand by in a process that is not the first: run this one's part of each step, until the first one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first one tells the steps to stop
    store, rank = _open_store(), environment_rank()
    for number in itertools.count():
        name = f"loomwork-job-{number}"
        while not store.check([name]):
            if store.check([END]):
                return
            time.sleep(POLL_SECONDS)
        ended = Ended()
        job = Job(**json.loads(store.get(name)))
        worker = _start(job, rank, lambda event: None, ended)
        while not store.check([f"{name}-over"]):
            with contextlib.suppress(queue.Empty):
                _, outcome = ended.get(timeout=POLL_SECONDS)
                store.set(f"{name}-{rank}", json.dumps(asdict(outcome)))
        worker.kill()


def _start(job: Job, rank: int, report: Report, ended: Ended) -> Worker:
    group = {name: os.environ[name] for name in NAMES if name in os.environ}
    worker = Worker(job.threads, group | {"TORCHELASTIC_USE_AGENT_STORE": "True"})  # the store is there already
    worker.start_rank(rank, job, report, ended)
    return worker


def _open_store() -> Any:
    from torch.distributed.rendezvous import rendezvous

    return next(rendezvous("env://"))[0]
