"""Another executor than the local one, added as a plug-in without touching a step."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from loomwork.core import executor
from loomwork.core.home import Home
from loomwork.core.job import Job, Outcome, carry_out
from loomwork.core.runner import run_recipe

S = "tests.core.runner_steps:"
SEEN: list[str] = []


class ThreadExecutor:
    """Carries every job out in a thread of its own, from the job's plain data alone."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def submit(self, job: Job, report: executor.Report) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        SEEN.append(job.step)
        threading.Thread(target=lambda: future.set_result(carry_out(job, report))).start()
        return future

    def close(self) -> None:
        SEEN.append("closed")


@pytest.fixture
def plug_in(monkeypatch):
    entry = EntryPoint("threads", "tests.core.test_executor:ThreadExecutor", executor.PLUGINS)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry] if group == executor.PLUGINS else [])


def test_a_plug_in_executor_runs_light_and_heavy_steps_alike(plug_in, tmp_path: Path):
    lines = tmp_path / "lines.txt"
    lines.write_text("apple\nbanana\n")
    recipe = {
        "recipe": "mini",
        "steps": {
            "raw": {"use": S + "read_lines", "path": str(lines)},
            "model": {"use": S + "train", "data": "$raw"},
        },
    }
    SEEN.clear()
    there = run_recipe(recipe, home=Home(tmp_path / "there"), on="threads", jobs=2)
    here = run_recipe(recipe, home=Home(tmp_path / "here"))
    assert [s.status for s in there.steps.values()] == ["ran", "ran"]
    assert [s.artifact for s in there.steps.values()] == [s.artifact for s in here.steps.values()]
    assert SEEN == [S + "read_lines", S + "train", "closed"]
