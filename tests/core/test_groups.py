"""Settings that steps share come in groups: flat to whoever calls, one value to the step."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from loomwork.cli.call import as_step
from loomwork.cli.step_doc import describe
from loomwork.core.artifact import Artifact
from loomwork.core.errors import RecipeError
from loomwork.core.key import key_parts, make_key
from loomwork.core.runner import run_recipe
from loomwork.core.step import Card, Group, Step, find_step, step
from tests.core.group_steps import Size, Speed, draw
from tests.core.recipe_files import Load
from tests.core.user_package import Files

USE = "tests.core.group_steps:draw"
STEP: Step = draw.step


def recipe(**settings) -> dict:
    return {"recipe": "drawing", "steps": {"a": {"use": USE, **settings}}}


def test_a_groups_fields_are_settings_with_the_steps_own_defaults():
    assert {n: p.default for n, p in STEP.settings.items()} == {
        "name": "x", "rate": 0.5, "shape": "straight", "table": None, "rows": 16,
    }  # fmt: skip
    assert not {"speed", "size"} & set(STEP.settings_model.model_fields)
    made = STEP.arguments(STEP.settings_model(rate="2", rows=3))
    assert made == {"name": "x", "speed": Speed(2.0), "size": Size(3)}


def test_a_recipe_gives_them_flat_and_the_step_gets_the_group(home):
    done = run_recipe(recipe(rate=2, rows=3), home=home)
    assert done.steps["a"].status == "ran", done.steps["a"].error
    given = json.loads((home.store.open(done.steps["a"].artifact, Artifact).path / "given.json").read_text())
    assert given == {"name": "x", "rate": 2.0, "shape": "straight", "table": None, "rows": 3, "twice": "SpeedSize"}
    assert run_recipe(recipe(rate=2.0, rows=3), home=home).steps["a"].status == "hit"
    assert run_recipe(recipe(rate=2.0, rows=4), home=home).steps["a"].status == "ran"
    assert run_recipe(recipe(), {"steps.a.rows": 4, "steps.a.rate": 2}, home=home).steps["a"].status == "hit"


def test_the_key_holds_them_flat(tmp_path):
    def parts(**given):
        settings = STEP.settings_model(**given).model_dump(mode="json")
        return key_parts(STEP, settings, {}, digests=tmp_path / "digests")

    assert parts()["settings"] == {"name": "x", "rate": 0.5, "shape": "straight", "table": None, "rows": 16}
    assert make_key(parts()) == make_key(parts(rate=0.5))
    assert make_key(parts()) != make_key(parts(rate=0.6))


def test_a_file_in_a_group_counts_by_its_content(home, tmp_path):
    table = tmp_path / "table.txt"
    table.write_text("1")
    assert run_recipe(recipe(table=str(table)), home=home).steps["a"].status == "ran"
    assert run_recipe(recipe(table=str(table)), home=home).steps["a"].status == "hit"
    table.write_text("2")
    assert run_recipe(recipe(table=str(table)), home=home).steps["a"].status == "ran"


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("rat: 1", "has no input or setting 'rat'", "did you mean 'rate'"),
        ("speed: {rate: 1}", "has no input or setting 'speed'", "did you mean"),
        ("rate: 0", "rate should be greater than 0", ""),
        ("rows: 0", "rows should be greater than or equal to 1", ""),
        ("rows: many", "rows is 'many'; rows should be a valid integer", ""),
        ("shape: bend", "shape should be 'straight' or 'bent'", ""),
        ("table: none.txt", "no such file or folder: none.txt", ""),
    ],
)
def test_what_is_wrong_with_them_is_told_before_the_first_step(load: Load, given, message, hint):
    with pytest.raises(RecipeError, match=message) as error:
        load(f"steps:\n  a:\n    use: '{USE}'\n    {given}\n")
    assert hint in str(error.value)
    assert "r.yaml, line 4" in str(error.value) or ":4" in str(error.value)


def test_ranges_of_training_are_checked_before_the_first_step(load: Load):
    wrong = {"learning_rate": 0, "ema": 1.0, "rank": 0, "batch": 0, "seed": -1, "clip_norm": -1, "schedule": "cosinus"}
    lines = "".join(f"    {name}: {value}\n" for name, value in wrong.items())
    base = "  base: {use: train.base}\n  data: {use: data.read, path: .}\n"
    with pytest.raises(RecipeError) as error:
        load(f"steps:\n{base}  m:\n    use: train.sft\n    base: $base\n    data: $data\n{lines}")
    for name in wrong:
        assert f"{name} should be" in str(error.value) or f"{name} is" in str(error.value), name


def test_loom_call_takes_them_flat():
    found = as_step(find_step(USE), ["rate=2", "rows=3", "shape=bent"])
    assert found == {"use": USE, "rate": 2, "rows": 3, "shape": "bent"}


def test_loom_steps_documents_them_flat():
    settings = {s["name"]: s for s in describe(USE)["settings"]}
    assert list(settings) == ["name", "rate", "shape", "table", "rows"]
    assert (settings["rate"]["type"], settings["rate"]["default"]) == ("float", 0.5)
    assert (settings["rate"]["about"], settings["rows"]["about"]) == ("of change.", "at once.")
    assert settings["table"]["files"] == "*"
    assert "keys" not in settings["rows"]


def test_a_name_that_is_there_twice_is_refused():
    @dataclass(frozen=True)
    class More:
        rows: int = 1

    ours, mine = Size(), More()

    def clash(*, rows: int = 1, size: Annotated[Size, Group()] = ours, out: Path) -> Card: ...
    def twice(*, size: Annotated[Size, Group()] = ours, more: Annotated[More, Group()] = mine, out: Path) -> Card: ...

    twice.__annotations__["more"] = Annotated[More, Group()]  # its name is known in this function only
    for function in (clash, twice):
        with pytest.raises(TypeError, match=r"\['rows'\] of the group .* are settings already"):
            _ = step(makes="note")(function).step.settings


def test_the_code_of_a_group_counts_with_the_step(files: Files):
    text = """
        from dataclasses import dataclass
        from pathlib import Path
        from typing import Annotated
        from loomwork.core.step import Card, Group, step

        @dataclass(frozen=True)
        class Size:
            rows: int = 1
            def doubled(self): return 2 * self.rows

        @step(makes="note")
        def run(*, size: Annotated[Size, Group()] = Size(), out: Path) -> Card:
            return Card({"rows": size.doubled()})
    """
    files.write(step=text)
    before = files.parts()
    files.write(step=text.replace("2 * self", "3 * self"))
    after = files.parts()
    assert [name for name in before if before[name] != after[name]] == ["step:Size"]


def test_steps_of_training_share_their_groups():
    from loomwork.learn.settings import Adapter, Rows, Training

    for name in ("classify", "tag", "sft", "pretrain", "embed"):
        found = find_step(f"train.{name}")
        assert found.groups.items() <= {"training": Training, "rows": Rows, "tuning": Adapter}.items()
        assert {"learning_rate", "seed"} <= set(found.settings)
    assert inspect.signature(find_step("train.sft").function).parameters["training"].default == Training()
