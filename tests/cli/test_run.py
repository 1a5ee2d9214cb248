"""loom run: what it prints, what it returns, and how it stops."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable

import pytest

from cli.conftest import Project
from loomwork.cli.run import parse_settings
from loomwork.core.errors import InputError

Edit = Callable[[str, str], None]


def test_first_run_shows_steps_scores_gates_and_names(project: Project) -> None:
    out = project("run")
    assert re.search(r"✓ raw +ran +[\d.]+ m?s  6 rows", out)
    assert re.search(r"✓ long +ran .*4 rows, 2 dropped", out)
    assert re.search(r"measure +coverage +0\.8333 +\[0\.7333, 0\.8333\] +95% +6 items +unknown", out)
    assert "0.83 is at least 0.5 (alpha 0.05)" in out
    assert re.search(r"✓ +words@champion +now [0-9a-f]{12}", out)
    assert "loom show words" in out


def test_second_run_does_nothing_and_says_so(ran: Project) -> None:
    out = ran("run")
    assert "nothing to do: all 5 steps are as they were" in out
    assert "it points there already" in out
    assert "Scores" not in out
    assert ran.json("run")["steps"]["measure"]["card"]["scores"][0]["name"] == "coverage"


def test_a_run_of_hits_says_again_what_every_verdict_decided(project: Project, edit_recipe: Edit) -> None:
    edit_recipe("gate:", '  other: {use: "sample_steps:at_least", scores: $measure, limit: 0.99}\ngate:')
    first = project("run")
    out, errors = project.spawn("run", PYTHONPROFILEIMPORTTIME="1").communicate(timeout=120)
    assert "nothing to do: all 6 steps" in out
    verdicts = out.split("Verdicts")[1].split("Names")[0]
    assert verdicts == first.split("Verdicts")[1].split("Names")[0]
    assert re.search(r"✓ +verdict +gate +pass +0.83 is at least 0.5", verdicts)
    assert re.search(r"✗ +other +REFUSE +0.83 is below 0.99", verdicts)
    imported = {line.rpartition("|")[2].strip() for line in errors.splitlines() if line.startswith("import time:")}
    assert "loomwork.core.score" in imported
    assert not imported & {"torch", "transformers"}


def test_why_a_step_was_not_a_hit_is_shown(ran: Project, edit_recipe: Edit) -> None:
    edit_recipe("words: 2", "words: 1")
    assert "because settings.words: 2 -> 1" in ran("run")


def test_a_refusal_keeps_the_name_and_returns_3(ran: Project) -> None:
    before = ran.json("name")["names"]
    out = ran("run", "--set", "limit=0.9", code=3)
    assert "REFUSE" in out
    assert "0.83 is below 0.9" in out
    assert re.search(r"words@champion +not moved +verdict: 0.83 is below 0.9", out)
    assert ran.json("name")["names"] == before


def test_a_failure_returns_1_and_other_branches_go_on(project: Project, edit_recipe: Edit) -> None:
    edit_recipe('"sample_steps:vocabulary"', '"sample_steps:broken"')
    edit_recipe("  model:", '  other:   {use: "sample_steps:vocabulary", data: $long}\n  model:')
    out = project("run", code=1)
    assert re.search(r"✗ model +failed .*ValueError: this one is broken \(sample_steps.py:\d+\)", out)
    assert re.search(r"✓ other +ran", out)
    assert "skipped, for they need what failed: measure, verdict" in out
    log = re.search(r"log: (\S+\.log)", out)
    assert log
    assert "this one is broken" in (project.folder / log[1]).read_text()


def test_bad_input_returns_2_without_a_traceback(project: Project, edit_recipe: Edit) -> None:
    for words in (("run", "none.yaml"), ("run", "--set", "limit"), ("run", "--jobs", "0"), ("run", "--on", "moon")):
        result = project.result(*words, code=2)
        assert result.stderr.startswith("error: "), words
        assert "Traceback" not in result.output
    edit_recipe("sample_steps:longer", "sample_steps:longest")
    assert "sample_steps:longest" in project.result("run", code=2).stderr


def test_the_report_is_written_and_not_again(project: Project, edit_recipe: Edit) -> None:
    edit_recipe("gate:", "report: out/report.html\ngate:")
    assert "report  out/report.html" in project("run")
    written = (project.folder / "out" / "report.html").stat().st_mtime_ns
    assert "report  out/report.html" in project("run")
    assert (project.folder / "out" / "report.html").stat().st_mtime_ns == written
    (project.folder / "out" / "report.html").unlink()
    project("run")
    assert (project.folder / "out" / "report.html").is_file()


def test_questions_that_cannot_be_asked_do_not_fail_the_run(project: Project, edit_recipe: Edit) -> None:
    edit_recipe("gate:", "ask: [what is two]\ngate:")
    assert "questions were not asked" in project.result("run").stderr


def test_dry_run_says_what_would_run_and_runs_nothing(project: Project) -> None:
    found = project.json("run", "--dry-run")
    assert found["steps"]["raw"]["verdict"] == "would run"
    assert found["steps"]["verdict"]["verdict"] == "depends"
    assert project.json("show")["artifacts"] == []
    project("run")
    assert "0 of 5 steps would run" in project("run", "--dry-run")
    later = project.json("run", "--dry-run", "--set", "limit=0.6")["steps"]
    assert {n for n, w in later.items() if w["verdict"] != "hit"} == {"verdict"}


def test_json_is_one_object_with_the_exit_code(project: Project) -> None:
    found = project.json("run", "--set", "limit=0.9", code=3)
    assert found["exit_code"] == 3
    assert found["gates"]["verdict"]["decision"] == "refuse"
    assert found["steps"]["long"]["card"]["metrics"]["rows"] == 4
    assert list(found["steps"]) == ["long", "measure", "model", "raw", "verdict"]


def test_settings_are_read_as_in_a_recipe() -> None:
    assert parse_settings(["a=1", "b=0.5", "c=[x, y]", "d=x=y", "e=", "f=true"]) == {
        "a": 1, "b": 0.5, "c": ["x", "y"], "d": "x=y", "e": None, "f": True,
    }  # fmt: skip
    assert parse_settings(["rate=1e-3", "word=no", "time=12:30", "day=2026-01-02"]) == {
        "rate": 0.001, "word": "no", "time": "12:30", "day": "2026-01-02",
    }  # fmt: skip
    with pytest.raises(InputError, match="key=value"):
        parse_settings(["novalue"])


def test_ctrl_c_in_a_light_step_stops_the_run(project: Project) -> None:
    project.write(
        "recipe: slow\nsteps:\n"
        '  raw: {use: "sample_steps:lines", path: lines.txt}\n'
        '  slow: {use: "sample_steps:sleepy", data: $raw, seconds: 300}\n'
        '  after: {use: "sample_steps:longer", data: $raw, words: 3}\n'
    )
    running = project.spawn("run")
    while not list(project.folder.glob(".loom/logs/*-slow-*.log")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, errors = running.communicate(timeout=120)
    assert running.returncode == 130, (out, errors)
    assert re.search(r"slow +stopped", out)
    assert "not started: after" in out


@pytest.mark.parametrize(
    ("step", "presses", "sent"),
    [("patient", 1, signal.SIGINT), ("deaf", 2, signal.SIGINT), ("patient", 1, signal.SIGTERM)],
)
def test_a_stop_saves_and_the_next_run_goes_on(project: Project, step: str, presses: int, sent: int) -> None:
    project.write(
        "recipe: slow\nsteps:\n"
        '  raw: {use: "sample_steps:lines", path: lines.txt}\n'
        f'  slow: {{use: "sample_steps:{step}", data: $raw, seconds: 300}}\n'
        '  after: {use: "sample_steps:longer", data: $raw, words: 3}\n'
    )
    running = project.spawn("run", "--jobs", "1")
    while not list(project.folder.glob(".loom/logs/*-slow-*.log")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    for _ in range(presses):
        time.sleep(0.3)
        running.send_signal(sent)
    out, errors = running.communicate(timeout=120)
    assert running.returncode == 130, (out, errors)
    assert "Traceback" not in errors
    assert "stopping: the running steps save what they can" in out
    assert re.search(r"slow +stopped", out) or "stopped" in errors
    assert project.json("run", "--dry-run")["steps"]["raw"]["verdict"] == "hit"


def test_on_a_terminal_running_steps_have_bars(project: Project) -> None:
    project.write(
        "recipe: slow\nsteps:\n"
        '  raw: {use: "sample_steps:lines", path: lines.txt}\n'
        '  slow: {use: "sample_steps:patient", data: $raw, seconds: 1}\n'
        '  bad: {use: "sample_steps:broken", data: $raw}\n'
    )
    terminal, end = os.openpty()
    running = project.spawn("run", stdout=end, TERM="xterm", COLUMNS="100", LINES="30")
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux: the other end was closed
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)
    assert running.wait(timeout=120) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"● slow +━+.* of 1 s  waiting", text)
    assert re.search(r"✓ slow +ran", text)
    assert re.search(r"✗ bad +failed .*ValueError", text)
    assert "\x1b[32m" in shown.decode()


def test_a_terminal_without_colour_gets_plain_marks(project: Project) -> None:
    out, _ = project.spawn("run", NO_COLOR="1").communicate(timeout=120)
    assert "\x1b" not in out
    ascii_only, errors = project.spawn("run", PYTHONIOENCODING="ascii:strict").communicate(timeout=120)
    assert "nothing to do" in ascii_only, errors


def test_a_refusal_tells_every_check_that_is_not_met(project: Project) -> None:
    pytest.importorskip("scipy")
    rules = "{min_rows: 7, columns: {text: {max_chars: 5}, " + ", ".join(f"c{i}: {{low: 0}}" for i in range(10)) + "}}"
    project.write(
        "recipe: r\nsteps:\n  raw: {use: data.read, path: lines.txt, text_unit: line}\n"
        f"  checked: {{use: data.expect, data: $raw, {rules[1:-1]}}}\ngate: $checked\n"
    )
    for told in (project("run", code=3), project("run", code=3)):  # as it ran, and as a hit
        notes = told.split("Notes of checked")[1]
        assert notes.count("not met: ") == 10
        assert "not met: 6 rows, where at least 7 are expected" in notes
        assert "and 2 more: loom show checked" in notes
    assert project("show", "checked").count("\n  not met: ") == 12
    project.write("recipe: r\nsteps:\n  raw: {use: data.read, path: lines.txt}\n  ok: {use: data.expect, data: $raw}")
    assert "Notes of" not in project("run")
