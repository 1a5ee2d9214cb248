"""loom watch: data that arrives."""

from __future__ import annotations

import csv
import json
import os
import signal
import time

from cli.conftest import Project
from loomwork.core.home import open_home


def arrive(project: Project, name: str, rows: list[dict[str, object]]) -> None:
    folder = project.folder / "inbox"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.utime(folder / name, (1e9, 1e9))  # it has rested


def rows(start: int, label: str = "") -> list[dict[str, object]]:
    return [{"text": f"line {i % 7} of many", "label": label or "ab"[i % 2]} for i in range(start, start + 200)]


def test_a_new_version_is_checked_against_the_last_good_one(project: Project) -> None:
    arrive(project, "one.csv", rows(0))
    assert "now" in project("watch", "inbox", "--once")
    first = open_home().find("inbox@latest")
    assert "1 hit" in project("watch", "inbox", "--once")  # the folder is not read again
    arrive(project, "two.csv", rows(200))
    project("watch", "inbox", "--once")
    second = open_home().find("inbox@latest")
    assert second != first
    arrive(project, "three.csv", rows(400, label="z"))
    told = project("watch", "inbox", "--once", code=3)
    assert "label has drifted" in " ".join(told.split())
    assert open_home().find("inbox@latest") == second
    project("watch", "inbox", "--once", "--tolerance", "0.9")
    assert open_home().find("inbox@latest") not in (first, second)


def test_a_running_number_is_left_out(project: Project) -> None:
    for at, name in ((0, "one.csv"), (200, "two.csv")):
        arrive(project, name, [{"id": at + i, **row} for i, row in enumerate(rows(at))])
        code = 0 if at == 0 else 3
        project("watch", "inbox", "--once", code=code)
    first = open_home().find("inbox@latest")
    project("watch", "inbox", "--once", "--leave-out", "id")
    assert open_home().find("inbox@latest") != first


def test_a_column_that_is_gone_is_refused_unless_it_is_left_out(project: Project) -> None:
    arrive(project, "one.csv", rows(0))
    project("watch", "inbox", "--once")
    arrive(project, "one.csv", [{"text": row["text"]} for row in rows(0)])
    told = project("watch", "inbox", "--once", "--tolerance", "1", code=3)
    assert "column 'label' is gone" in " ".join(told.split())
    misspelt = project.result("watch", "inbox", "--once", "--leave-out", "lable", code=1)
    assert "no column 'lable'" in " ".join(misspelt.output.split())
    project("watch", "inbox", "--once", "--leave-out", "label")


def test_a_recipe_of_ones_own(project: Project) -> None:
    arrive(project, "one.csv", rows(0))
    found = json.loads(project("watch", "inbox", "--recipe", "recipe.yaml", "--set", "limit=0.1", "--once", "--json"))
    assert found["steps"]["model"]["status"] == "ran"


def test_what_cannot_be_watched(project: Project) -> None:
    assert "no folder" in project.result("watch", "nowhere", "--once", code=2).output
    (project.folder / "inbox").mkdir()
    assert "holds no file" in project("watch", "inbox", "--once")
    (project.folder / "inbox" / "new.txt").write_text("a line")
    code = project.result("watch", "inbox", "--once", "--set", "a=1", code=2)
    assert "--recipe" in code.output


def test_it_goes_on_until_it_is_stopped(project: Project) -> None:
    arrive(project, "one.csv", rows(0))
    watching = project.spawn("watch", "inbox", "--every", "0.1", "--quiet", "0", "--tolerance", "0.9")
    try:
        first = _version(watching, "")
        (project.folder / "inbox" / "bad.parquet").write_bytes(b"PAR1 and no more")
        arrive(project, "two.csv", rows(200))
        assert _version(watching, first) != first
    finally:
        watching.send_signal(signal.SIGINT)
        out, _ = watching.communicate(timeout=120)
    assert watching.returncode == 130
    assert out.count("watch-inbox") >= 2


def _version(watching, before: str) -> str:
    """The newest version's id, once it is another than `before`."""
    for _ in range(600):
        time.sleep(0.1)
        named = [n["artifact"] for n in open_home().ledger.names() if n["name"] == "inbox"]
        if named and named[0] != before:
            return named[0]
        if watching.poll() is not None:
            break
    watching.kill()
    raise AssertionError(watching.communicate())
