"""loom compare: scores by id, by name, and those of models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Project
from loomwork.core.home import open_home

RECIPE = """\
recipe: words
steps:
  raw:   {use: "sample_steps:lines", path: lines.txt}
  some:  {use: "sample_steps:longer", data: $raw, words: 2}
  few:   {use: "sample_steps:longer", data: $raw, words: 3}
  all:   {use: "sample_steps:vocabulary", data: $raw}
  model: {use: "sample_steps:vocabulary", data: $some}
  less:  {use: "sample_steps:vocabulary", data: $few}
  a: {use: "sample_steps:coverage", model: $model, data: $raw}
  b: {use: "sample_steps:coverage", model: $less, data: $raw}
  c: {use: "sample_steps:coverage", model: $less, data: $some}
name: {words@old: $model, words@new: $less, scores@old: $a, scores@new: $b, scores@other: $c, words@unscored: $all}
"""


def test_models_and_scores_are_compared(project: Project) -> None:
    project.write(RECIPE)
    project("run")
    out = project("compare", "words@old", "words@new")
    assert "words@new against words@old: coverage -" in " ".join(out.split())
    page = out.rpartition("its page: ")[2].strip()
    assert "Paired differences" in Path(page).read_text("utf-8")
    found = project.json("compare", "old=scores@old", "new=scores@new")
    assert found["systems"] == ["old", "new"]
    assert project.json("compare", "a", "b", "--data", "raw", "--by", "length")["slices"]["rows"] == []  # too few items
    assert project.json("compare", "a", "b", "--by", "length")["slices"]["rows"] == []  # the rows are the ledger's
    assert found["differences"][0]["n"] == 6
    assert open_home().ledger.artifact(found["artifact"])["kind"] == "comparison"
    assert "= side_by_side" in project("compare", "old=scores@old", "new=scores@new")  # nothing is computed twice


def test_the_rows_may_be_a_path_and_have_names(project: Project) -> None:
    """The predictions of two systems in files of their own, sliced by a text that stands in one of them."""
    pytest.importorskip("loomwork.data.read")
    ids = []
    for system in ("good", "bad"):
        rows = [{"id": f"q{i}", "text": "a" * (i % 7), "label": "xy"[i % 2], "prediction": "x"} for i in range(60)]
        rows = [r | {"prediction": r["label"] if system == "good" else "x"} for r in rows]
        project.write("".join(json.dumps(row) + "\n" for row in rows), f"{system}.jsonl")
        ids.append(project.json("call", "evals.classification", f"data={system}.jsonl", "id=id")["artifact"])
    asked = ["compare", f"good={ids[0]}", f"bad={ids[1]}", "--metric", "accuracy", "--by", "label", "--by", "length"]
    found = project.json(*asked)["slices"]["rows"]
    assert {r["system"] for r in found if r["by"] == "length"} == {"good", "bad"}
    assert project.json(*asked, "--data", "bad.jsonl")["slices"]["rows"] == found


def test_ids_without_a_name_are_shown_by_their_first_letters(project: Project) -> None:
    project.write(RECIPE)
    project("run")
    ids = [project.json("show", name)["made"][0] for name in ("a", "b")]
    told = project("compare", *ids)
    assert f"{ids[1][:12]} against {ids[0][:12]}: coverage" in " ".join(told.split())
    assert ids[0] not in told
    assert project.json("compare", *ids)["systems"] == [i[:12] for i in ids]


def test_a_comparison_that_fails_is_told_as_json_too(project: Project) -> None:
    project.write(RECIPE)
    project("run")
    found = project.json("compare", "a", "b", "--by", "colour", code=1)
    assert found["artifact"] == ""
    assert "there is no column 'colour'" in found["steps"]["side_by_side"]["error"]


def test_what_cannot_be_compared(project: Project) -> None:
    project.write(RECIPE)
    project("run")
    assert "nothing to compare" in project.result("compare", "scores@old", code=2).output
    assert "measured alike" in project.result("compare", "scores@old", "scores@other", code=2).output
    assert "has no scores here" in project.result("compare", "words@old", "words@unscored", code=2).output
    assert "no name or artifact" in project.result("compare", "scores@old", "scores@nwe", code=2).output
    assert "one name" in project.result("compare", "a=scores@old", "a=scores@new", code=2).output
