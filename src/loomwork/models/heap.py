"""The C library's heap, set so that a freed large tensor is used again instead of being given back to the system.

By default glibc maps every block above 32 MB anew, and the system clears its pages at the first touch: with a
vocabulary of 32,000 that is every block of logits and every gradient of the output layer. Kept, the products and sums
of that layer take half of the time there and back (400 tokens, width 384, two cores: 86 and 189 ms).
"""

from __future__ import annotations

import ctypes
import functools
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed. Elsewhere (macOS, musl) nothing is changed.

    The process keeps the largest size that it ever had until it ends: call this in a process that trains or scores.

    Returns: whether it was done.

    Source: mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, NEVER))
