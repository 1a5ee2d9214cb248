"""The process that runs heavy steps: python -m loomwork.core.worker. A job a line in; events and an outcome out."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any

from loomwork.core.job import Job, carry_out, logged_to


def main() -> None:
    """Serve jobs until the runner closes our input, or dies."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the runner asks us to stop in its own way: see Context.stop_requested
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a stray print between two jobs must not stand among the answers
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    for line in _lines_until_the_runner_dies():
        job = Job(**json.loads(line))
        with logged_to(job.log):
            outcome = carry_out(job, send)
        send({"type": "outcome", "outcome": asdict(outcome)})


def _lines_until_the_runner_dies() -> Any:
    """Lines of our input. When it ends while a job is running, the runner is gone: so are we, at once."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()


if __name__ == "__main__":
    main()
