"""What happens at the same time: runs of several processes, gc, verify, forget, edits of code, moves of a name."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from loomwork.core import schema as t
from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, LoomError
from loomwork.core.forget import forget, plan_forget
from loomwork.core.home import Home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import RecipeRun, Runner, run_recipe
from loomwork.core.store import Store
from loomwork.core.upkeep import collect_garbage, verify

S = "tests.core.runner_steps:"
RUNS = """
import sys
from pathlib import Path
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
folder, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
home, lines = Home(folder / ".loom"), folder / f"{me}.txt"
for i in range(rounds):
    lines.write_text(f"{me} {i}")
    steps = {"raw": {"use": "tests.core.runner_steps:read_lines", "path": str(lines)},
             "upper": {"use": "tests.core.runner_steps:upper", "data": "$raw"}}
    run = run_recipe({"recipe": f"r{me}", "steps": steps}, home=home)
    for step in run.steps.values():
        print(me, i, step.name, step.status, step.error, home.ledger.run(step.run)["status"] if step.run else "")
"""


def runs_elsewhere(folder: Path, me: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUNS, str(folder), me, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def all_ran(process: subprocess.Popen[str], rounds: int) -> None:
    told = process.communicate()[0].splitlines()
    assert [line for line in told if line.split()[3:] not in (["ran", "done"], ["hit", "done"])] == []
    assert len(told) == 2 * rounds


def test_many_runs_of_several_processes_leave_each_other_alone(tmp_path):
    processes = [runs_elsewhere(tmp_path, str(n), 12) for n in range(4)]
    for process in processes:
        all_ran(process, 12)
    assert verify(Home(tmp_path / ".loom")).clean


def test_gc_beside_runs_of_another_process_takes_nothing_that_they_need(tmp_path):
    home = Home(tmp_path / ".loom")
    process = runs_elsewhere(tmp_path, "a", 20)
    while process.poll() is None:
        collect_garbage(home, apply=True)
        time.sleep(0.1)  # in which a run may begin
    all_ran(process, 20)
    assert verify(home).clean


def test_one_gc_at_a_time(home):
    home.ledger.begin("gc", "gc", {}, {}, unless="gc")
    with pytest.raises(InputError, match="another loom gc is at work"):
        collect_garbage(home, apply=True)
    assert collect_garbage(home).artifacts == ()  # a look is always free


def test_verify_beside_a_run_finds_nothing_lost(home, lines):
    once: list[RecipeRun] = []

    def go(text: str) -> RecipeRun:
        lines.write_text(text)
        return run_recipe({"recipe": "a", "steps": {"raw": {"use": S + "read_lines", "path": str(lines)}}}, home=home)

    go("a")
    found = verify(home, progress=lambda done, total: once.append(go("bbb")) if not once else None)
    assert found.clean
    assert once[0].steps["raw"].artifact in home.store.ids()


def recipe(lines: Path, name: str = "a", **train: object) -> dict:
    return {
        "recipe": name,
        "steps": {
            "raw": {"use": S + "read_lines", "path": str(lines)},
            "up": {"use": S + "upper", "data": "$raw"},
            "model": {"use": S + "train", "data": "$up", **train},
            "gate": {"use": S + "judge", "model": "$model"},
        },
        "gate": "$gate",
        "name": {"x@champion": "$model"},
    }


def row_of(home: Home, artifact: str, text: str) -> str:
    return next(r["row_id"].hex() for r in home.store.open(artifact, Dataset).rows() if r["text"] == text)


def test_what_is_made_of_rows_while_they_are_forgotten_is_not_kept(home, lines):
    results: list[RecipeRun] = []
    training = threading.Event()

    def listen(event, step, data):
        if event == "progress" and step == "model":
            training.set()

    def go() -> None:
        results.append(run_recipe(recipe(lines, steps=30, seconds=0.1), home=Home(home.root), listen=listen))

    thread = threading.Thread(target=go)
    thread.start()
    assert training.wait(60)
    raw = home.ledger.last_runs(name="raw")[0]
    (artifact,) = [e["artifact"] for e in home.ledger.edges(raw["id"]) if e["direction"] == "out"]
    done = forget(home, plan_forget(home, [row_of(home, artifact, "banana")]))
    thread.join()
    assert results[0].steps["model"].status == "failed"
    assert "forgotten while it ran" in results[0].steps["model"].error
    assert len(done.versions) == 2
    again = run_recipe(recipe(lines, steps=30), home=home)
    assert home.store.open(again.steps["model"].artifact, Model).read_json("model.json") == {"rows": 2}
    assert again.moved.keys() == {"x@champion"}
    assert home.ledger.stale() == {}


def test_what_ends_between_a_plan_to_forget_and_the_deed_is_marked_too(home, lines):
    first = recipe(lines)
    del first["steps"]["model"], first["steps"]["gate"], first["gate"], first["name"]
    raw = run_recipe(first, home=home).steps["raw"].artifact
    plan = plan_forget(home, [row_of(home, raw, "banana")])
    run = run_recipe(recipe(lines), home=home)
    done = forget(home, plan)
    assert run.steps["model"].artifact in done.stale
    assert run.steps["model"].artifact in home.ledger.stale()


@pytest.mark.parametrize("lost", ["raw", "up"])
def test_nothing_is_forgotten_past_a_lost_dataset(lost, home, lines):
    run = run_recipe(recipe(lines), home=home)
    where, text = ("up", "BANANABANANA") if lost == "raw" else ("raw", "banana")
    row = row_of(home, run.steps[where].artifact, text)
    home.store.remove([run.steps[lost].artifact])
    with pytest.raises(InputError, match=f"{run.steps[lost].artifact[:12]}.*\n.*loom remake"):
        plan_forget(home, [row])
    run_recipe(recipe(lines), home=home)  # it is made again
    assert len(plan_forget(home, [row]).touched) == 2


def test_gc_keeps_the_lineage_of_steps_whatever_they_are_called(home, lines):
    named = recipe(lines)
    named["steps"] = {"raw": named["steps"]["raw"], "withoutXdups": named["steps"]["up"]}
    named |= {"name": {"x@data": "$withoutXdups"}, "gate": None}
    run = run_recipe(named, home=home)
    lines.write_text("other")
    run_recipe({**named, "name": {}}, home=home)  # now the first is needed by its name only
    collect_garbage(home, apply=True)
    assert all(home.store.has(s.artifact) for s in run.steps.values())


def test_gc_keeps_the_last_run_of_each_recipe_however_many_came_after(home, lines):
    run = run_recipe({"recipe": "old", "steps": {"raw": {"use": S + "read_lines", "path": str(lines)}}}, home=home)
    known = home.ledger.run(run.id)
    more = [{**known, "parts": "{}", "outcome": "{}", "id": f"r{n}", "name": "new", "status": "failed",
             "started": known["started"] + n + 1} for n in range(1100)]  # fmt: skip
    with home.ledger.writing() as connection:
        connection.execute(t.run.insert(), more)
    assert collect_garbage(home, apply=True).artifacts == ()
    assert home.store.has(run.steps["raw"].artifact)


def test_a_champion_that_another_run_moved_meanwhile_stays(home, lines, tmp_path, monkeypatch):
    other = tmp_path / "other.txt"
    other.write_text("pear\nplum")
    run_recipe(recipe(lines), home=home)
    lines.write_text("one")
    decide, between = Runner._decide, []

    def slow(self, loaded, result, before):
        if loaded.name == "a" and not between:
            between.append(run_recipe(recipe(other, "b"), home=Home(home.root)))
        decide(self, loaded, result, before)

    monkeypatch.setattr(Runner, "_decide", slow)
    run = run_recipe(recipe(lines), home=home)
    assert run.moved == {}
    assert "moved while this ran" in run.kept["x@champion"]
    assert home.find("x@champion") == between[0].steps["model"].artifact


STEPS = """
import time
from pathlib import Path
from loomwork.core.artifact import Artifact
from loomwork.core.step import Card, step

@step(makes="note")
def first(*, seconds: float = 0.0, out: Path) -> Card:
    time.sleep(seconds)
    (out / "a").write_text("a")

@step(makes="note"HEAVY)
def second(data: Artifact, *, out: Path) -> Card:
    (out / "b").write_text("WORD")
"""


@pytest.mark.parametrize("heavy", ["", ", heavy=True"])
def test_code_that_is_edited_during_a_run_gives_no_wrong_hit(heavy, home, tmp_path, monkeypatch):
    name = f"edited{len(heavy)}"
    file = tmp_path / f"{name}.py"
    file.write_text(STEPS.replace("HEAVY", heavy).replace("WORD", "old"))
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = {"one": {"use": f"{name}:first", "seconds": 0.5}, "two": {"use": f"{name}:second", "data": "$one"}}

    def listen(event, step, data):
        if event == "start" and step == "one":
            file.write_text(STEPS.replace("HEAVY", heavy).replace("WORD", "newer"))

    run = run_recipe({"recipe": "a", "steps": steps}, home=home, listen=listen)
    assert run.steps["one"].status == "ran"
    assert run.steps["two"].status == "failed"
    assert "was edited after this process imported it" in run.steps["two"].error
    importlib.invalidate_caches()
    importlib.reload(sys.modules[name])
    again = run_recipe({"recipe": "a", "steps": steps}, home=home)
    assert {n: s.status for n, s in again.steps.items()} == {"one": "hit", "two": "ran"}
    assert (home.store.path(again.steps["two"].artifact) / "b").read_text() == "newer"
    file.write_text(file.read_text().replace("newer", "newest"))
    third = run_recipe({"recipe": "a", "steps": steps}, home=home)  # as in a notebook
    assert "imported" in third.steps["two"].error
    file.write_text("# a comment\n" + file.read_text().replace("newest", "newer"))
    assert run_recipe({"recipe": "a", "steps": steps}, home=home).steps["two"].status == "hit"


def test_a_worker_that_was_killed_while_idle_is_replaced(home, lines):
    with Runner(home) as runner:
        runner.run(load_recipe(recipe(lines)))
        (worker,) = runner.executor._all
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        assert runner.run(load_recipe(recipe(lines, steps=4))).steps["model"].status == "ran"


def test_a_shard_that_is_deleted_while_a_dataset_is_written_is_no_smaller_dataset(tmp_path):
    written = pytest.raises(LoomError, match="deleted while it was written")
    with written, DatasetWriter(tmp_path, shard_rows=1) as writer:
        writer.carry([{"row_id": b"0" * 16, "origin_ids": [], "text": "a"}] * 3)
        next((tmp_path / "data").iterdir()).unlink()


def test_a_passing_error_of_the_system_is_no_damage(home, lines, monkeypatch):
    run = run_recipe(recipe(lines), home=home)
    kept = Store.manifest

    def fail(self, artifact_id):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Store, "manifest", fail)
    with pytest.raises(OSError, match="Too many"):
        home.store.open(run.steps["raw"].artifact)
    monkeypatch.setattr(Store, "manifest", kept)
    assert home.store.open(run.steps["raw"].artifact, Dataset).parts == ["data"]


def test_a_ledger_that_cannot_be_written_leaves_no_lease(home, lines, monkeypatch):
    from loomwork.core.ledger import Ledger

    finish = Ledger.finish

    def full(self, run, made, card, **more):
        if made is not None:
            raise LoomError("the ledger could not be written: disk full")
        finish(self, run, made, card, **more)

    monkeypatch.setattr(Ledger, "finish", full)
    with pytest.raises(LoomError, match="disk full"):
        run_recipe(recipe(lines), home=home)
    monkeypatch.setattr(Ledger, "finish", finish)
    assert home.ledger.live_runs() == []
    assert not run_recipe(recipe(lines), home=home).failed
