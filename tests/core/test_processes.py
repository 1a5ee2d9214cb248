"""A step in several processes: by the local executor, and under torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from loomwork.core.errors import InputError
from loomwork.core.executor import PLUGINS
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe

pytest.importorskip("torch")
S = "tests.core.runner_steps:"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    (tmp_path / "lines.txt").write_text("apple\nbanana\n")
    return tmp_path / "lines.txt"


def recipe(lines: Path, how: str = "work") -> dict[str, object]:
    return {
        "recipe": "mini",
        "steps": {
            "raw": {"use": S + "read_lines", "path": str(lines)},
            "note": {"use": S + "together", "data": "$raw", "how": how},
        },
    }


def test_two_processes_make_one_result_and_the_key_is_that_of_one(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    home = Home(tmp_path / "home")
    made = run_recipe(recipe(lines), home=home, processes=2).steps["note"]
    assert made.error == ""
    assert made.card.metrics == {"sum": 3.0, "threads": 3.0, "rank": 0.0}
    points = [m["value"] for m in home.ledger.metrics(made.run) if (m["name"], m["point"]) == ("rank", 1)]
    assert points == [0.0]  # of the first one's only
    assert home.ledger.run(made.run)["parts"]["processes"] == 2
    assert run_recipe(recipe(lines), home=home).steps["note"].status == "hit"
    assert not list(home.folder("tmp").iterdir())
    other = Home(tmp_path / "other")
    alone = run_recipe(recipe(lines), home=other).steps["note"]
    assert alone.card.metrics["sum"] == 1.0
    assert other.ledger.run(alone.run)["key"] == home.ledger.run(made.run)["key"]


def test_a_process_that_dies_takes_the_others_down(tmp_path, lines):
    made = run_recipe(recipe(lines, "kill"), home=Home(tmp_path / "home"), processes=2).steps["note"]
    assert made.status == "failed"
    assert "process 1 of 2" in made.error
    assert "it was killed" in made.error


def test_what_one_process_raises_is_told_and_not_that_the_others_lost_it(tmp_path, lines):
    made = run_recipe(recipe(lines, "raise"), home=Home(tmp_path / "home"), processes=2).steps["note"]
    assert made.error.startswith("process 1 of 2 (the first is 0): the second one will not")


def test_a_request_to_stop_reaches_all(tmp_path, lines):
    home = Home(tmp_path / "home")

    def listen(event, name, data):
        if event == "progress" and data["type"] == "progress":
            for run in home.ledger.live_runs():
                if run["step"] == "recipe":
                    (home.folder("work") / f"stop-{run['id']}").touch()

    made = run_recipe(recipe(lines, "wait"), home=home, processes=2, listen=listen).steps["note"]
    assert (made.status, made.error) == ("stopped", "stopped with 2")


def test_an_executor_that_starts_one_process_only_is_told(tmp_path, lines, monkeypatch):
    entry = EntryPoint("threads", "tests.core.test_executor:ThreadExecutor", PLUGINS)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry] if group == PLUGINS else [])
    made = run_recipe(recipe(lines), home=Home(tmp_path / "home"), on="threads", processes=2).steps["note"]
    assert "started 1 processes for a step that is to run in 2" in made.error


def test_no_process_is_refused(tmp_path, lines):
    with pytest.raises(InputError, match="at least one"):
        run_recipe(recipe(lines), home=Home(tmp_path / "home"), processes=0)


@pytest.mark.parametrize("how", ["work", "raise"])
def test_a_recipe_under_torchrun(tmp_path, lines, how):
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe(lines, how)))  # JSON is YAML
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    loom = ["-m", "loomwork", "run", str(file), "--home", str(tmp_path / "home"), "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([*torchrun, *loom], env=environment, cwd=ROOT, capture_output=True, text=True)
    made = json.loads(done.stdout)["steps"]["note"]
    if how == "work":
        assert done.returncode == 0, done.stderr
        assert made["status"] == "ran"
        run = Home(tmp_path / "home").ledger.run(made["run"])
        assert run["parts"]["processes"] == 2
    else:
        assert done.returncode == 1
        assert made["error"].startswith("process 1 of 2 (the first is 0): the second one will not")
