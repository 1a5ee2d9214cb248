"""Who holds a lease, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HEARTBEAT_SECONDS = 5.0
DEAD_AFTER_SECONDS = 60.0  # a lease of another machine that has not been renewed for so long is void
STUCK_AFTER_SECONDS = 600.0  # likewise of a process here that lives: it has lost sight of it


def owner() -> str:
    """This process, so that others can see whether it still lives: host:pid:start."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_process_start(pid)}"


def _process_start(pid: int) -> str:
    """When a process began, so that a reused pid is not taken for it; "" where the system does not tell."""
    fields = _process_fields(pid)
    return fields[19] if fields else ""


def _process_fields(pid: int) -> list[str]:
    """What /proc tells of a process after its name, its state first; empty where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


@contextmanager
def renewed(beat: Callable[[Sequence[str]], None], run_id: str) -> Iterator[None]:
    """Keep the lease of a run alive over a block.

    Args:
        beat: of the ledger.
        run_id: the run.
    """
    finished = threading.Event()

    def pulse() -> None:
        while not finished.wait(HEARTBEAT_SECONDS):
            with suppress(Exception):  # a ledger that is busy or full now may not be the next time
                beat([run_id])

    thread = threading.Thread(target=pulse, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def is_alive(who: str, heartbeat: float) -> bool:
    """Whether the process that holds a lease still lives and cares for it, as far as can be told from here."""
    host, pid, start = who.rsplit(":", 2)
    silent = time.time() - heartbeat
    if host != socket.gethostname():
        return silent < DEAD_AFTER_SECONDS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    fields = _process_fields(int(pid))
    if fields and fields[0] in "ZX":  # it has ended, and nobody has taken note
        return False
    return _process_start(int(pid)) == start and silent < STUCK_AFTER_SECONDS
