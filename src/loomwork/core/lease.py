"""Who holds a lease, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

HEARTBEAT_SECONDS = 5.0
DEAD_AFTER_SECONDS = 60.0  # a lease of another machine that has not been renewed for so long is void


def owner() -> str:
    """This process, so that others can see whether it still lives: host:pid:start."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_process_start(pid)}"


def _process_start(pid: int) -> str:
    """When a process began, so that a reused pid is not taken for it; "" where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


def is_alive(who: str, heartbeat: float) -> bool:
    """Whether the process that holds a lease still lives, as far as can be told from here."""
    host, pid, start = who.rsplit(":", 2)
    if host != socket.gethostname():
        return time.time() - heartbeat < DEAD_AFTER_SECONDS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _process_start(int(pid)) == start
