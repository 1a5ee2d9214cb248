"""Temporary folders leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAIN_CALLS = """
import os
from loomwork.core.context import context
work = context().work
(work / "half-done").write_text("x")
assert context().work != work
child = os.fork()
if child == 0:
    raise SystemExit  # an orderly end, which runs the exit handlers that the child inherited
os.waitpid(child, 0)
assert (work / "half-done").exists(), "a forked child deleted what its parent still uses"
ENDING
"""


@pytest.mark.parametrize("ending", ["", "raise ValueError"])
def test_a_process_that_ends_leaves_no_temporary_folder(tmp_path: Path, ending: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_CALLS.replace("ENDING", ending)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "AssertionError" not in done.stderr, done.stderr
    assert done.returncode == (1 if ending else 0), done.stderr
    assert not list(tmp_path.iterdir())
