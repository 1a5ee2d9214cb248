"""Hits and misses, other branches, workers that die, gates and names, resuming, two runs at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import RecipeRun, Runner, run_recipe
from loomwork.core.upkeep import verify

S = "tests.core.runner_steps:"


def recipe(lines: Path, **more) -> dict:
    return {
        "recipe": "mini",
        "steps": {
            "raw": {"use": S + "read_lines", "path": str(lines)},
            "upper": {"use": S + "upper", "data": "$raw", "keep": "a"},
            "model": {"use": S + "train", "data": "$upper"},
            "gate": {"use": S + "judge", "model": "$model"},
        },
        "gate": "$gate",
        "name": {"mini@champion": "$model"},
        **more,
    }


def statuses(run: RecipeRun) -> dict[str, str]:
    return {name: s.status for name, s in run.steps.items()}


def test_everything_runs_once_and_then_nothing_does(home, lines):
    first = run_recipe(recipe(lines), home=home)
    assert set(statuses(first).values()) == {"ran"}
    assert first.moved == {"mini@champion": first.steps["model"].artifact}
    again = run_recipe(recipe(lines), home=home)
    assert set(statuses(again).values()) == {"hit"}
    assert (again.moved, again.kept) == ({}, {"mini@champion": "it points there already"})
    assert [s.artifact for s in again.steps.values()] == [s.artifact for s in first.steps.values()]
    assert home.open("mini@champion").read_json("model.json") == {"rows": 2}
    assert verify(home).clean


def test_the_ledger_keeps_curves_notes_times_and_the_log(home, lines):
    run = run_recipe(recipe(lines), home=home)
    model = run.steps["model"]
    record = home.ledger.run(model.run)
    assert record["peak_memory_bytes"] > 1e6
    assert record["cpu_seconds"] >= 0
    assert record["parent"] == run.id
    assert "trained on 2 rows" in (home.root / "logs" / record["log"]).read_text()
    assert [(m["point"], m["value"]) for m in home.ledger.metrics(model.run) if m["name"] == "loss"] == [
        (1, 1.0),
        (2, 0.5),
        (3, 1 / 3),
    ]


def test_a_changed_setting_runs_what_depends_on_it_and_says_why(home, lines):
    run_recipe(recipe(lines), home=home)
    changed = recipe(lines)
    changed["steps"]["model"]["steps"] = 4
    run = run_recipe(changed, home=home)
    assert statuses(run) == {"raw": "hit", "upper": "hit", "model": "ran", "gate": "hit"}
    assert run.steps["model"].why == ["settings.steps: 3 -> 4"]


def test_until_a_step_nothing_else_runs_and_no_name_moves(home, lines):
    run = run_recipe(recipe(lines), home=home, until=["upper"])
    assert statuses(run) == {"raw": "ran", "upper": "ran"}
    assert (run.moved, run.kept) == ({}, {})
    assert statuses(run_recipe(recipe(lines), home=home))["upper"] == "hit"
    with pytest.raises(InputError, match="there is no step 'uper'") as told:
        run_recipe(recipe(lines), home=home, until=["uper"])
    assert "upper" in told.value.hint


def test_unchanged_output_stops_the_ripple(home, lines):
    run_recipe(recipe(lines), home=home)
    lines.write_text("apple\nbanana\nmelon pie\n".replace("melon pie", "cherry") + "zzz\n")
    run = run_recipe(recipe(lines), home=home)
    assert statuses(run) == {"raw": "ran", "upper": "ran", "model": "hit", "gate": "hit"}
    assert run.steps["raw"].why == ["the files of path changed"]


def test_a_failure_leaves_the_other_branches_going_and_is_told(home, lines):
    broken = recipe(lines)
    broken["steps"]["bad"] = {"use": S + "dies", "data": "$raw", "how": "raise"}
    broken["steps"]["after"] = {"use": S + "judge", "model": "$bad"}
    run = run_recipe(broken, home=home)
    assert statuses(run) == {
        "raw": "ran",
        "upper": "ran",
        "model": "ran",
        "gate": "ran",
        "bad": "failed",
        "after": "skipped",
    }
    assert "it will not do" in run.steps["bad"].error
    assert "needs bad, which failed" in run.steps["after"].error
    assert run.failed
    assert run.moved == {}
    assert "it will not do" in home.ledger.run(run.id)["error"]
    assert "InputError" in Path(run.steps["bad"].log).read_text()


@pytest.mark.parametrize(("how", "words"), [("kill", "killed"), ("full", "disk is full")])
def test_a_worker_that_dies_or_finds_no_room_is_a_failed_step_and_the_next_one_works(home, lines, how, words):
    broken = recipe(lines)
    broken["steps"]["bad"] = {"use": S + "dies", "data": "$raw", "how": how}
    run = run_recipe(broken, home=home)
    assert run.steps["bad"].status == "failed"
    assert words in run.steps["bad"].error
    assert run.steps["model"].status == "ran"
    assert not list((home.root / "tmp").iterdir())


@pytest.mark.parametrize("how", ["nan", "score", "text"])
def test_a_card_that_cannot_be_kept_fails_its_step_and_no_other(home, lines, how):
    broken = recipe(lines)
    broken["steps"]["bad"] = {"use": S + "bad_card", "how": how}
    run = run_recipe(broken, home=home)
    assert {n: s.status for n, s in run.steps.items() if s.status != "ran"} == {"bad": "failed"}
    assert home.ledger.live_runs() == []


def test_a_file_that_changes_while_it_is_read_is_no_result(home, lines):
    reading = {"recipe": "r", "steps": {"raw": {"use": S + "read_slowly", "path": str(lines)}}}
    run = run_recipe(reading, home=home)
    assert run.steps["raw"].status == "failed"
    assert "changed while it read them" in run.steps["raw"].error


def test_a_process_that_cannot_be_started_is_a_failed_step(home, lines, monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")
    run = run_recipe(recipe(lines), home=home)
    assert run.steps["model"].status == "failed"
    assert run.steps["upper"].status == "ran"


def test_work_that_another_has_just_finished_is_a_hit(home, lines):
    run = run_recipe(recipe(lines), home=home)
    key = home.ledger.run(run.steps["model"].run)["key"]
    assert home.ledger.begin("s", key, {}, {}) is None
    assert home.ledger.begin("s", key, {}, {}, lost=run.steps["model"].run)


def test_a_refused_gate_moves_no_name_and_says_why(home, lines):
    refusing = recipe(lines)
    refusing["steps"]["gate"]["passes"] = False
    run = run_recipe(refusing, home=home)
    assert not run.failed
    assert run.refused
    assert run.kept == {"mini@champion": "gate: told to refuse"}
    assert home.ledger.names() == []
    allowed = run_recipe(recipe(lines), home=home)
    assert list(allowed.moved) == ["mini@champion"]


def test_a_name_that_does_not_exist_yet_is_none_for_an_optional_input(home, lines):
    several = {
        "use": S + "several",
        "models": {"a": "$model", "b": "$model"},
        "verdicts": ["$gate"],
        "base": "mini@champion",
    }
    run = run_recipe(recipe(lines) | {"steps": recipe(lines)["steps"] | {"all": several}}, home=home)
    assert home.store.open(run.steps["all"].artifact).read_json("note.json") == {
        "models": ["a", "b"],
        "verdicts": 1,
        "base": False,
    }
    again = run_recipe(recipe(lines) | {"steps": recipe(lines)["steps"] | {"all": several}}, home=home)
    assert home.store.open(again.steps["all"].artifact).read_json("note.json")["base"] is True


def test_a_lost_artifact_is_made_again_and_a_damaged_one_refused_named_and_made_again(home, lines):
    run = run_recipe(recipe(lines), home=home)
    home.store.remove([run.steps["upper"].artifact])
    again = run_recipe(recipe(lines), home=home)
    assert statuses(again) == {"raw": "hit", "upper": "ran", "model": "hit", "gate": "hit"}
    assert "no artifact" in again.steps["upper"].why[0]
    path = home.store.open(run.steps["model"].artifact).file("model.json")
    path.chmod(0o644)
    path.write_text("{}")
    third = run_recipe(recipe(lines), home=home)
    assert statuses(third) == {"raw": "hit", "upper": "hit", "model": "ran", "gate": "hit"}
    assert run.steps["model"].artifact[:12] in third.steps["model"].why[0]
    assert "model.json has other bytes" in third.steps["model"].why[0]
    assert third.steps["model"].artifact == run.steps["model"].artifact
    assert verify(home).clean


def test_two_runs_of_one_recipe_at_once_do_each_job_once(home, lines):
    slow = recipe(lines)
    slow["steps"]["model"] |= {"seconds": 0.3}
    results: list[RecipeRun] = []

    def go() -> None:
        results.append(run_recipe(slow, home=Home(home.root)))

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert not any(r.failed for r in results)
    assert [r.steps["model"].status for r in results].count("ran") == 1
    assert len({r.steps["model"].artifact for r in results}) == 1


def test_a_stop_saves_and_the_next_run_goes_on_from_there(home, lines):
    slow = recipe(lines)
    slow["steps"]["model"] |= {"seconds": 0.1, "steps": 30}
    points: list[int] = []
    stopper = threading.Event()

    def listen(event, step, data):
        if event == "progress" and data["type"] == "metric":
            points.append(data["step"])
            if data["step"] == 3:
                stopper.set()

    loaded = load_recipe(slow)
    with Runner(home, listen=listen) as runner:
        threading.Thread(target=lambda: (stopper.wait(), [p.touch() for p in stop_files(home)]), daemon=True).start()
        stopped = runner.run(loaded)
    assert stopped.steps["model"].status == "stopped"
    slow["steps"]["model"]["seconds"] = 0.1
    again = run_recipe(slow, home=home)
    assert again.steps["model"].status == "ran"
    assert again.steps["model"].card.metrics["resumed_at"] >= 3
    assert not list((home.root / "work").iterdir())


def stop_files(home: Home) -> list[Path]:
    running = home.ledger.live_runs()
    return [home.root / "work" / f"stop-{r['id']}" for r in running if r["step"] == "recipe"]


def test_two_jobs_at_once_give_the_same_artifacts_as_one(tmp_path, lines):
    wide = recipe(lines)
    for i in range(4):
        wide["steps"][f"m{i}"] = {"use": S + "train", "data": "$raw", "steps": i + 1}
    one = run_recipe(wide, home=Home(tmp_path / "one"), jobs=1)
    two = run_recipe(wide, home=Home(tmp_path / "two"), jobs=2)
    assert {n: s.artifact for n, s in one.steps.items()} == {n: s.artifact for n, s in two.steps.items()}


def test_datasets_follow_their_rows(home, lines):
    run = run_recipe(recipe(lines), home=home)
    raw = {r["text"]: r["row_id"] for r in home.store.open(run.steps["raw"].artifact, Dataset).rows()}
    made = home.store.open(run.steps["upper"].artifact, Dataset)
    assert {r["text"]: r["origin_ids"] for r in made.select("data").rows()} == {
        "APPLEAPPLE": [raw["apple"]],
        "BANANABANANA": [raw["banana"]],
    }
    assert [(r["text"], r["reason"], r["row_id"]) for r in made.select("dropped").rows()] == [
        ("cherry", "without: a", raw["cherry"])
    ]


def test_settings_of_the_runner_are_checked(home):
    with pytest.raises(InputError, match="at least one"):
        Runner(home, jobs=0)
    with pytest.raises(InputError, match="no executor 'ray'"):
        Runner(home, on="ray")
