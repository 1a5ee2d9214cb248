"""The peak memory of this process."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import sys


def begin_peak_memory() -> None:
    """Begin the high-water mark anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        os.pwrite(_of_this_process("clear_refs"), b"5", 0)


def peak_memory_bytes() -> int:
    """The most memory that was held at once since then, in bytes."""
    try:
        status = os.pread(_of_this_process("status"), 1 << 14, 0)
        return int(status.partition(b"VmHWM:")[2].split(maxsplit=1)[0]) * 1024
    except (OSError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@functools.cache
def _of_this_process(name: str) -> int:
    """A file of /proc that stays open: it is asked before and after every step.

    Raises:
        OSError: this is not Linux.
    """
    return os.open(f"/proc/self/{name}", os.O_WRONLY if name == "clear_refs" else os.O_RDONLY)
