"""loom call, steps and init."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest
import yaml

from cli.conftest import Project
from loomwork.cli.call import as_step, is_list
from loomwork.cli.step_doc import describe, read_docstring, type_name
from loomwork.core.errors import InputError, RecipeError
from loomwork.core.recipe import load_recipe
from loomwork.core.step import find_step
from loomwork.data.expect import ColumnRules


def test_call_on_a_name_keeps_the_result_and_finds_it_again(ran: Project) -> None:
    data = ran.json("show", "raw")["made"][0]
    first = ran.json("call", "sample_steps:longer", f"data={data[:12]}", "words=3", "--out", "kept")
    assert first["steps"]["longer"]["card"]["metrics"] == {"rows": 2.0, "rows_dropped": 2.0 + 2.0}
    assert list((ran.folder / "kept").rglob("*.parquet"))
    again = ran.json("call", "sample_steps:longer", f"data={data[:12]}", "words=3")
    assert again["steps"]["longer"]["status"] == "hit"
    assert again["artifact"] == first["artifact"]
    assert first["artifact"] in ran("call", "sample_steps:longer", f"data={data}", "words=3")
    assert "not an empty folder" in ran.result("call", "sample_steps:longer", "data=x", "--out", "kept", code=2).stderr


def test_a_step_s_name_stands_for_what_it_made_last(ran: Project) -> None:
    """As in loom rows, show and compare; a path of that name comes first."""
    by_id = ran.json("call", "sample_steps:vocabulary", f"data={ran.json('show', 'long')['made'][0]}/dropped")
    assert ran.json("call", "sample_steps:vocabulary", "data=long/dropped")["artifact"] == by_id["artifact"]
    assert "no such file" in ran.result("call", "sample_steps:vocabulary", "data=lnog/dropped", code=2).stderr
    pytest.importorskip("loomwork.data.read")
    ran.write("a file", "long")
    read = ran.json("call", "sample_steps:vocabulary", "data=long")
    assert read["steps"]["vocabulary.data"]["status"] == "ran"


def test_a_verdict_that_refuses_ends_a_call_as_a_gate_ends_a_recipe(project: Project) -> None:
    pytest.importorskip("scipy")
    asked = ("call", "data.expect", "data=lines.txt", "columns={text: {max_chars: 5}}")
    for _ in range(2):  # as it ran, and as a hit
        told = project(*asked, "min_rows=7", code=3)
        assert re.search(r"✗\s+expect\s+gate\s+REFUSE", told)
        assert told.count("not met: ") == 3  # each check, and the verdict's reason
    assert project.json(*asked, "min_rows=7", code=3)["steps"]["expect"]["status"] == "hit"
    assert re.search(r"✓\s+expect\s+gate\s+pass", project("call", "data.expect", "data=lines.txt", "min_rows=1"))


def test_a_page_is_told_of_where_it_lies(ran: Project) -> None:
    data = f"data={ran.json('show', 'long')['made'][0]}"
    kept = re.search(r"its page: (.+)", ran("call", "sample_steps:page", data))
    copied = re.search(r"its page: (.+)", ran("call", "sample_steps:page", data, "--out", "shown"))
    assert kept
    assert copied
    assert "rows</title>" in (ran.folder / kept[1]).read_text("utf-8")
    assert (ran.folder / copied[1]).samefile(ran.folder / "shown" / "page.html")
    assert "its page" not in ran("call", "sample_steps:vocabulary", data)


def test_what_is_copied_out_may_be_changed(ran: Project) -> None:
    ran("call", "sample_steps:vocabulary", f"data={ran.json('show', 'long')['made'][0]}", "--out", "words")
    (ran.folder / "words" / "words.txt").write_text("mine")
    assert ran.json("verify")["clean"]


def test_call_on_plain_files(project: Project) -> None:
    pytest.importorskip("loomwork.data.read")
    found = project.json("call", "data.clean", "data=lines.txt")
    assert found["steps"]["clean.data"]["status"] == "ran"
    assert project.json("show", found["artifact"])["kind"] == "dataset"


def test_what_is_doubtful_in_an_input_s_files_is_told(project: Project) -> None:
    """Also when it was read before, and beside JSON."""
    project.write("3,one\n4,two\n", "rows.csv")
    for more in ((), (), ("--json",)):
        told = project.result("call", "data.clean", "data=rows.csv", "column=one", *more).stderr
        assert told.startswith("clean.data, by data.read: the first line of rows.csv was taken for the columns' names")
    assert project.json("call", "data.read", "path=rows.csv")["steps"]["read"]["status"] == "hit"
    notes = project.json("call", "data.read", "path=rows.csv")["steps"]["read"]["card"]["notes"]
    assert "header=no" in notes[0]
    assert not project.result("call", "data.clean", "data=lines.txt").stderr


def test_a_setting_that_is_given_twice_may_be_a_list() -> None:
    with pytest.raises(InputError, match=r"given twice.*\n?.*write a list as references=\[a,b\]"):
        as_step(find_step("evals.translation"), ["references=a.txt", "references=b.txt"])
    with pytest.raises(InputError, match=r"given twice.*\n?.*leave one out"):
        as_step(find_step("data.split"), ["seed=1", "seed=2"])


def test_a_call_reads_values_as_a_recipe_does() -> None:
    found = as_step(find_step("data.split"), ["data=a.jsonl", "holdout=1e-3", "group=no", "seed=0o17"])
    assert found == {"use": "data.split", "data": "a.jsonl", "holdout": 0.001, "group": "no", "seed": 15}


def test_bad_calls(ran: Project) -> None:
    data = f"data={ran.json('show', 'raw')['made'][0]}"
    assert "neither role" in ran.result("call", "sample_steps:longer", "raw", code=2).stderr
    assert "wrods" in ran.result("call", "sample_steps:longer", data, "wrods=3", code=2).stderr
    assert "words" in ran.result("call", "sample_steps:longer", data, "words=many", code=2).stderr
    assert "no step" in ran.result("call", "data.spilt", data, code=2).stderr
    assert "this one is broken" in ran("call", "sample_steps:broken", data, code=1)


@pytest.mark.parametrize(
    ("step", "given", "message"),
    [
        ("data.near_dedup", ["data=a.jsonl", "data=b.jsonl"], "data is given twice, and data.near_dedup takes one"),
        ("data.near_dedup", ["data=a.jsonl", "threshold=0.7", "threshold=0.8"], "leave one out"),
        ("data.expect", ["data=a.jsonl", "baseline=b.jsonl", "baseline=c.jsonl"], "baseline is given twice"),
        ("data.decontaminate", ["against_columns=a", "against_columns=b"], r"against_columns=\[a,b\]"),
        ("data.profile", ["tokenizers.a=x", "tokenizers.a=y"], "tokenizers.a is given twice"),
    ],
)
def test_what_is_given_twice_is_refused(step: str, given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_step(find_step(step), given)


def test_one_value_for_a_list_is_a_list_of_one() -> None:
    step = find_step("data.decontaminate")
    found = as_step(step, ["against=a.jsonl", "against=b.jsonl", "against_columns=question", "column=no"])
    assert found["against"] == ["a.jsonl", "b.jsonl"]
    assert found["against_columns"] == ["question"]
    assert found["column"] == "no"
    assert as_step(step, ["against_columns=[a, b]"])["against_columns"] == ["a", "b"]
    assert as_step(step, ["against_columns=null"])["against_columns"] is None
    assert [is_list(hint) for hint in (list[str], list[int] | None, Annotated[list[str], "x"])] == [True] * 3
    assert [is_list(hint) for hint in (str | list[str], str, dict[str, int] | None, None)] == [False] * 4


def test_test_data_without_the_column_is_named_with_the_setting(project: Project) -> None:
    pytest.importorskip("numba")
    project.write('{"question": "what is the sea and why is it so very blue today"}\n', "q.jsonl")
    call = ("call", "data.decontaminate", "data=lines.txt", "against=q.jsonl")
    told = project(*call, code=1)
    assert "against, number 1, cannot be read: dataset part 'data' has no column 'text'" in told
    assert "set against_columns=[...]; its text columns: question" in told
    assert "data cannot be read: dataset part 'data' has no column 'txt'" in project(*call, "column=txt", code=1)
    assert project.json(*call, "against_columns=question")["steps"]["decontaminate"]["card"]["metrics"]["rows"] == 1


def test_a_model_folder_is_taken_for_a_tokenizer(project: Project, test_data: Path) -> None:
    pytest.importorskip("transformers")
    folder = test_data / "models" / "stories260K-hf"
    found = project.json("call", "data.tokenize", "data=lines.txt", f"tokenizer={folder}")
    assert found["steps"]["tokenize.tokenizer"]["kind"] == "model"
    assert found["steps"]["tokenize"]["card"]["metrics"]["rows"] == 1
    file = project.json("call", "data.tokenize", "data=lines.txt", f"tokenizer={folder / 'tokenizer.json'}")
    assert file["steps"]["tokenize"]["status"] == "hit"


def test_a_tokenizer_alone_is_taken_from_its_folder_as_it_was_written(project: Project, test_data: Path) -> None:
    pytest.importorskip("transformers")
    project("call", "train.tokenizer", "data=lines.txt", "vocabulary=260", "--out", "tok")
    found = project.json("call", "train.init", "tokenizer=tok", "layers=1", "context_tokens=16")
    assert found["steps"]["init.tokenizer"]["kind"] == "tokenizer"
    folder = test_data / "models" / "stories260K-hf"
    made = project.json("call", "train.init", f"tokenizer={folder}", "layers=1", "context_tokens=16")
    assert made["steps"]["init"]["kind"] == "model"
    rows = project.json("call", "data.tokenize", "data=lines.txt", "tokenizer=tok/tokenizer.json")
    assert rows["steps"]["tokenize.tokenizer"]["status"] == "hit"
    told = project.result("call", "train.sft", "data=lines.txt", "base=tok", code=2).stderr
    assert "base is tok, a folder that has no config.json" in told


def test_what_is_no_tokenizer_is_refused_in_the_run(project: Project) -> None:
    text = project.result("call", "data.tokenize", "data=lines.txt", "tokenizer=lines.txt", code=1).stdout
    assert "tokenizer.json" in text


def test_the_keys_of_a_setting_are_documented_and_checked(project: Project) -> None:
    keys = {k["name"]: k for s in describe("data.expect")["settings"] for k in s.get("keys", ())}
    assert set(keys) == set(ColumnRules.__annotations__)
    assert all(k["about"] for k in keys.values())
    assert keys["min_chars"] == {"name": "min_chars", "type": "int", "about": "the shortest text, in characters."}
    assert "most_null: float" in project("steps", "data.expect").split("Keys in columns")[1]
    wrong = project.result("call", "data.expect", "data=lines.txt", "columns={text: {min_char: 3}}", code=2).stderr
    assert "columns.text has a key 'min_char'" in wrong
    assert "did you mean 'min_chars'" in wrong
    wrong = project.result("call", "data.expect", "data=lines.txt", "columns={text: {low: x}}", code=2).stderr
    assert "columns.text.low" in wrong
    assert "should be a number, or a date or time" in wrong


def test_steps_lists_and_documents(project: Project) -> None:
    names = {s["step"] for s in project.json("steps")["steps"]}
    assert {"data.clean", "data.split"} <= names
    assert all(s["summary"] and not s["summary"].startswith("cannot") for s in project.json("steps")["steps"])
    assert {s["room"] for s in project.json("steps", "data")["steps"]} == {"data"}
    text = project("steps", "sample_steps:longer")
    assert "words: int  = 2" in text
    assert "how many." in text
    assert 'loom call sample_steps:longer "data=corpus/*.jsonl"' in text
    assert "did you mean 'data.split'" in project.result("steps", "data.spilt", code=2).stderr


def test_every_step_is_documented(project: Project) -> None:
    for listed in project.json("steps")["steps"]:
        found = describe(listed["step"])
        for setting in found["settings"]:
            assert setting["about"], f"{listed['step']} does not say what {setting['name']} is"
            for called in setting.get("calls", ()):
                inner = describe(f"{listed['step']}.{called['name']}")
                silent = [s["name"] for s in inner["settings"] if not s["about"]]
                assert called["summary"], called["name"]
                assert not silent, f"{inner['step']} does not say what {silent} are"


def test_what_a_step_calls_by_name_is_listed_and_documented(project: Project) -> None:
    listed = project("steps", "data.filter")
    assert "rules: list of rules" in listed
    assert "gopher_repetition   Texts in which" in listed
    assert "loom steps data.filter.c4" in listed
    one = project("steps", "data.filter.length")
    assert "min_words: int" in one
    assert "rules: [{length: {min_chars: ...}}]" in one
    assert "did you mean 'length'" in project.result("steps", "data.filter.lenght", code=2).stderr


def test_docstrings_and_types_are_read() -> None:
    body, arguments, rest = read_docstring(
        "Do it.\n\nWell.\n\nArgs:\n    a: one\n        more.\n    b, c: two.\n\nRaises:\n    InputError: bad."
    )
    assert body == "Do it.\n\nWell."
    assert arguments == {"a": "one more.", "b": "two.", "c": "two."}
    assert rest == {"Raises": "InputError: bad."}
    assert type_name(list[str] | None) == "list[str] | none"
    assert type_name(Path) == "path"


def test_init_makes_a_project_and_overwrites_nothing(project: Project) -> None:
    out = project("init", "My Texts", "--data", "lines.txt")
    assert "loom run" in out
    folder = project.folder / "My Texts"
    assert {p.name for p in folder.iterdir()} == {"recipe.yaml", ".gitignore", "README.md"}
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["recipe"] == "my-texts"
    assert recipe["steps"]["raw"]["path"] == str(project.folder / "lines.txt")
    assert "nothing was written" in project.result("init", "My Texts", code=2).stderr
    assert "no such file" in project.result("init", "other", "--data", "nowhere", code=2).stderr
    assert not (project.folder / "other").exists()


def test_the_project_of_init_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("loomwork.data.read")
    pytest.importorskip("numba")
    texts = project.folder / "texts"
    texts.mkdir()
    for i in range(20):
        (texts / f"{i}.txt").write_text(f"text number {i} about the {['sea', 'sky', 'land'][i % 3]} and {i * i} more")
    project("init", "mine", "--data", "texts")
    monkeypatch.chdir(project.folder / "mine")
    recipe = project.folder / "mine" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + 'ask: ["what about the sea?"]\n')
    out = project("run", "--home", str(project.folder / "mine" / ".loom"))
    assert "what about the sea?" in out
    row = re.search(r"loom lineage ([0-9a-f]{12})", out)
    assert row
    assert f"loom forget {row[1]}" in out
    assert "loom ask mine 'what about the sea?'" in out
    assert ".txt" in project("lineage", row[1], "--home", ".loom")
    assert {n["label"] for n in project.json("name", "--home", ".loom")["names"]} == {"data", "index"}


def test_a_model_folder_is_taken_for_a_model(project: Project) -> None:
    folder = project.folder / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    calls = load_recipe({"steps": {"small": {"use": "compress.quantize", "model": str(folder)}}}).steps
    assert (calls["small.model"].use, calls["small.model"].settings["path"]) == ("train.base", str(folder))
    with pytest.raises(RecipeError, match=r"model needs a model, and lines\.txt is a path") as error:
        load_recipe({"steps": {"small": {"use": "compress.quantize", "model": "lines.txt"}}})
    assert "train.base" in error.value.hint
