"""Temporary folders that are gone when the process ends."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def scratch_folder() -> Path:
    """A new temporary folder of this process, deleted when it ends (by itself, not by SIGKILL)."""
    folder = Path(tempfile.mkdtemp(prefix="loomwork-"))
    atexit.register(_delete, folder, os.getpid())
    return folder


def _delete(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits the list, and its parent still works there
        shutil.rmtree(folder, ignore_errors=True)
