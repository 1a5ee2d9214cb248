"""What `import loomwork` gives, and what it must not bring with it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import loomwork

HEAVY_FOR_READING = {"torch", "transformers", "numba", "polars", "scipy", "fastapi"}
HEAVY = HEAVY_FOR_READING | {"pyarrow", "sqlalchemy", "pydantic", "numpy", "rich", "typer", "yaml"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running code."""
    code += "\nimport sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_import_brings_nothing_heavy():
    assert not modules_after("import loomwork") & HEAVY


def test_every_public_name_is_there_and_documented():
    for name in loomwork.__all__:
        assert getattr(loomwork, name).__doc__, name
    assert set(loomwork.__all__) <= set(dir(loomwork))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        loomwork.nothing_like_it


def test_help_and_reading_verbs_bring_no_torch(tmp_path):
    run = (
        "from typer.testing import CliRunner\nfrom loomwork.cli.main import app\n"
        "result = CliRunner().invoke(app, {})\nassert result.exit_code == 0, result.output"
    )
    assert not modules_after(run.format(["--help"])) & (HEAVY - {"typer", "rich"})
    assert not modules_after(run.format(["show", "--home", str(tmp_path / ".loom")])) & HEAVY_FOR_READING


def test_reading_the_signatures_of_all_steps_brings_no_heavy_library():
    code = "from loomwork.core.step import find_step, step_names\nfor n in step_names(): find_step(n).settings_model"
    assert not modules_after(code) & HEAVY_FOR_READING
