"""The runner imports step modules to read signatures: that must stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import loomwork.evals

FOLDER = Path(loomwork.evals.__path__[0])


def test_reading_the_signatures_imports_nothing_heavy():
    code = (
        "import json, sys\n"
        "from loomwork.core.step import find_step\n"
        "steps = [find_step(n) for n in sys.argv[1:]]\n"
        "[s.inputs for s in steps], [s.settings_model for s in steps]\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    names = [f"evals.{path.stem}" for path in FOLDER.glob("*.py") if not path.stem.startswith("_")]
    assert len(names) >= 6
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, check=True, text=True)
    heavy = {"torch", "transformers", "numba", "scipy", "pyarrow", "polars", "numpy"}
    assert not heavy & set(json.loads(done.stdout))
