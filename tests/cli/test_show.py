"""loom show, name, why, diff and lineage: reading what a run left."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import pytest

from cli.conftest import Project
from loomwork.core import schema as t
from loomwork.core.home import open_home


def test_a_home_without_runs(project: Project) -> None:
    assert "nothing here yet" in project("show")
    assert project.json("show")["recipes"] == []
    assert not (project.folder / ".loom").exists()  # a reading verb makes nothing
    assert "loom run" in project.result("show", "words", code=2).stderr


def test_the_home_at_a_glance(ran: Project) -> None:
    found = ran.json("show")
    assert [r["recipe"] for r in found["recipes"]] == ["words"]
    assert found["recipes"][0]["steps"] == {"ran": 5}
    assert {k["kind"]: k["count"] for k in found["artifacts"]} == {"dataset": 2, "model": 1, "scores": 1, "verdict": 1}
    text = ran("show")
    assert "words@champion" in text
    assert "Stale" not in text


def test_a_recipe_whose_process_died_is_lost_and_not_running(ran: Project) -> None:
    ledger = open_home().ledger
    run = ledger.begin("recipe", "k", {}, {}, name="killed")
    assert {r["recipe"]: r["status"] for r in ran.json("show")["recipes"]} == {"words": "done", "killed": "running"}
    with ledger.writing() as connection:
        connection.execute(
            t.run.update().where(t.run.c.id == run).values(owner=f"{socket.gethostname()}:{2**22 - 3}:1")
        )
    assert {r["recipe"]: r["status"] for r in ran.json("show")["recipes"]} == {"words": "done", "killed": "lost"}


def test_a_damaged_ledger_is_told_in_one_sentence(ran: Project) -> None:
    open_home().ledger.close()
    gc.collect()  # a connection that is closed later would write into the damaged file
    for beside in (ran.folder / ".loom").glob("ledger.db-*"):
        beside.unlink()
    (ran.folder / ".loom" / "ledger.db").write_bytes(b"no database" * 1000)
    told = ran.result("show", code=4).stderr
    assert "is damaged" in told
    assert "Traceback" not in told


def test_an_artifact_a_name_a_run_and_a_step(ran: Project) -> None:
    name = ran.json("show", "words")
    assert name["type"] == "name"
    artifact = ran.json("show", name["artifact"]["id"][:12])
    assert artifact == name["artifact"]
    assert artifact["kind"] == "model"
    assert artifact["state"] == "here"
    assert artifact["names"] == ["words@champion"]
    run = ran.json("show", artifact["made_by"]["id"][:10])
    assert run == artifact["made_by"]
    assert run["card"]["metrics"] == {"size_bytes": 1536.0, "words": 9.0}
    step = ran.json("show", "long")
    assert step["parts"]["settings"] == {"words": 2}
    data = ran.json("show", step["made"][0])
    assert {p["part"]: p["rows"] for p in data["parts"]} == {"data": 4, "dropped": 2}
    for thing in ("words", artifact["id"], run["id"], "long", run["parent"]):
        assert "Traceback" not in ran("show", thing)
    assert "0.8333" in ran("show", "measure")


def test_damage_and_loss_are_shown(ran: Project) -> None:
    home = open_home()
    artifact = home.find("words")
    path = home.store.path(artifact) / "words.txt"
    path.chmod(0o644)
    path.write_text("other")
    assert ran.json("show", artifact)["state"] == "damaged"
    assert "damaged" in ran("show", "words")


@pytest.mark.parametrize("thing", ["nothing", "abcdef012345", "words@other"])
def test_what_is_not_there_is_an_error_with_a_hint(ran: Project, thing: str) -> None:
    assert ran.result("show", thing, code=2).stderr.startswith("error: there is no name or artifact")


def test_names_are_moved_by_hand_with_a_reason(ran: Project) -> None:
    artifact = ran.json("show", "words")["artifact"]["id"]
    assert "reason" in ran.result("name", "words@old", artifact[:12], code=2).stderr
    assert "label" in ran.result("name", "words", artifact, "--reason", "x", code=2).stderr
    ran("name", "words@old", artifact[:12], "--reason", "keep it")
    assert ran.json("name", "words@old")["history"][0]["reason"] == "by hand: keep it"
    assert len(ran.json("name", "words")["history"]) == 2
    assert {n["label"] for n in ran.json("name")["names"]} == {"champion", "old"}
    assert "by hand: keep it" in ran("name", "words")
    assert "there is no name" in ran.result("name", "wrods", code=2).stderr


def test_why_a_step_ran_and_would_run(ran: Project, edit_recipe: Callable[[str, str], None]) -> None:
    assert "it had not been run before" in ran("why", "long")
    assert "would not run" in ran("why", "long", "--recipe", "recipe.yaml")
    edit_recipe("words: 2", "words: 3")
    assert "settings.words: 2 -> 3" in ran("why", "long", "--recipe", "recipe.yaml")
    assert ran.json("why", "model", "-r", "recipe.yaml")["verdict"] == "depends"
    ran("run")
    assert ran.json("why", "long")["reasons"] == ["settings.words: 2 -> 3"]
    assert "did you mean 'long'" in ran.result("why", "lnog", code=2).stderr


def test_a_steps_name_means_what_the_last_run_of_a_recipe_came_to(
    ran: Project, edit_recipe: Callable[[str, str], None]
) -> None:
    """Also where that was a hit, older than what another run made."""
    first = ran.json("show", "long")["id"]
    edit_recipe("words: 2", "words: 3")
    ran("run")
    assert ran.json("show", "long")["id"] != first
    edit_recipe("words: 3", "words: 2")
    ran("run")
    assert ran.json("show", "long")["id"] == first


def test_a_steps_name_means_something_where_it_was_only_ever_a_hit(
    ran: Project, edit_recipe: Callable[[str, str], None]
) -> None:
    first = ran.json("show", "long")
    edit_recipe("long: ", "kept: ")
    edit_recipe("$long", "$kept")
    ran("run")
    assert ran.json("show", "kept") == first
    assert ran("rows", "kept") == ran("rows", first["made"][0])
    assert "there is no name or artifact 'never'" in ran.result("show", "never", code=2).stderr


def test_diff_of_runs_and_artifacts(ran: Project, edit_recipe: Callable[[str, str], None]) -> None:
    first = ran.json("show")["recipes"][0]["run"]
    old = ran.json("show", "long")
    edit_recipe("words: 2", "words: 3")
    ran("run")
    second, new = ran.json("show")["recipes"][0]["run"], ran.json("show", "long")
    assert any("settings.words: 2 -> 3" in line for line in ran.json("diff", first, second)["sections"]["steps"])
    assert ran.json("diff", old["id"], new["id"])["sections"]["key"] == ["settings.words: 2 -> 3"]
    assert ran.json("diff", old["made"][0], new["made"][0])["sections"]["made by"] == ["settings.words: 2 -> 3"]
    assert "nothing differs" in ran("diff", first, first)
    assert "settings.words: 2 -> 3" in ran("diff", first, second)


def test_diff_takes_the_names_of_steps(ran: Project, edit_recipe: Callable[[str, str], None]) -> None:
    old = ran.json("show", "long")
    edit_recipe("words: 2", "words: 3")
    ran("run")
    new = ran.json("show", "long")
    of_data = ran.json("diff", old["made"][0], "long")
    assert (of_data["a"], of_data["b"]) == (old["made"][0], new["made"][0])
    assert of_data["rows"]["removed"] == 2
    of_runs = ran.json("diff", old["id"], "long")
    assert (of_runs["b"], of_runs["sections"]["key"]) == (new["id"], ["settings.words: 2 -> 3"])
    assert ran.json("diff", "raw", "long")["rows"]["kept"] == 2
    assert "there is no name or artifact" in ran.result("diff", "raw", "lnog", code=2).stderr
    edit_recipe("sample_steps:longer", "sample_steps:broken")
    edit_recipe(", words: 3", "")
    ran("run", code=1)
    assert "last run of 'long' made no artifact: it is failed" in ran.result("diff", "raw", "long", code=2).stderr


def test_lineage_of_an_artifact(ran: Project) -> None:
    both = ran.json("lineage", "words")
    assert {n["name"] for n in both["nodes"]} == {"raw", "long", "model", "measure", "verdict"}
    assert {n["name"] for n in ran.json("lineage", "words", "--up")["nodes"]} == {"raw", "long", "model"}
    assert {n["name"] for n in ran.json("lineage", "words", "--down")["nodes"]} == {"model", "measure", "verdict"}
    lines = ran("lineage", "words").split("\n")
    assert [line.split()[0] for line in lines if " from " in line][:2] == ["raw", "long"]
    ran("lineage", "words", "--svg", "graph.svg")
    picture = (ran.folder / "graph.svg").read_text()
    assert picture.startswith("<svg")
    assert "<style>" in picture  # a file of its own has no page to take its colours from


def test_lineage_of_a_row(ran: Project) -> None:
    row = rows_of(ran, "long")["one two three"]
    found = ran.json("lineage", row)
    assert found["content"]["text"] == "one two three"
    assert {p["name"] for p in found["places"]} == {"raw", "long"}
    assert {t["kind"] for t in found["touched"]} == {"model", "scores", "verdict"}
    text = ran("lineage", row[:12])
    assert row in text
    assert "words@champion" in text
    assert "touched" not in ran.json("lineage", row, "--up")
    assert "no row" in ran.result("lineage", "0" * 32, code=2).stderr


def rows_of(project: Project, step: str) -> dict[str, str]:
    """Row ids by text, of the data that a step made last."""
    from loomwork.core.dataset import Dataset

    home = open_home()
    data = home.store.open(project.json("show", step)["made"][0], Dataset, "data")
    return {r["text"]: r["row_id"].hex() for r in data.rows()}


def test_lineage_of_what_a_step_made(ran: Project) -> None:
    made = ran.json("show", "long")["made"][0]
    assert ran.json("lineage", "long")["start"] == ran.json("lineage", made)["start"]
    assert "there is no name or artifact" in ran.result("lineage", "lnog", code=2).stderr
