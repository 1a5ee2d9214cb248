"""Recipes: what they mean. Their errors: test_recipe_errors.py."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.core.errors import RecipeError
from loomwork.core.recipe import Reference, load_recipe
from loomwork.core.recipe_yaml import parse_value
from tests.core.recipe_files import RAW, SUB, Load, S

WHOLE = """\
    recipe: whole
    settings: {seed: 7, rate: 0.25, names: [a, b]}
    steps:
      model:   {use: "@:fit", data: $split/train, steps: $seed, base: whole@champion}
      raw:     {use: "@:make_rows"}
      split:   {use: "@:change", data: $raw, rate: $rate, columns: [x, $$y], margin: 1%}
      old:     {use: "@:look", thing: 00112233aa/items}
      both:    {use: "@:join", parts: [$raw, $split/holdout]}
      verdict: {use: "@:judge", models: {new: $model, base: whole@champion}, alpha: 1e-3}
    gate: $verdict
    name:
      whole@champion: $model
    report: reports/whole.html
    ask: [what is it]
    """


def test_a_whole_recipe(load: Load) -> None:
    recipe = load(WHOLE)
    assert recipe.name == "whole"
    assert list(recipe.steps) == ["raw", "split", "model", "old", "both", "verdict"]
    split, model, verdict = recipe.steps["split"], recipe.steps["model"], recipe.steps["verdict"]
    assert split.settings == {
        "rate": 0.25,
        "margin": "1%",
        "how": "fast",
        "columns": ["x", "$y"],
        "weights": None,
        "metric": "digest",
    }
    assert split.line == 6
    assert model.settings == {"steps": 7}
    assert model.inputs == {
        "data": Reference("step", "split", "train"),
        "base": Reference("name", "whole@champion"),
    }
    assert recipe.steps["raw"].settings == {"n": 3}
    assert recipe.steps["old"].inputs == {"thing": Reference("artifact", "00112233aa", "items"), "verdict": None}
    assert recipe.steps["both"].inputs == {"parts": [Reference("step", "raw"), Reference("step", "split", "holdout")]}
    assert verdict.inputs["models"]["new"] == Reference("step", "model")
    assert verdict.settings == {"alpha": 0.001}
    assert verdict.use == S + "judge"
    assert recipe.gates == ["verdict"]
    assert recipe.names == {"whole@champion": Reference("step", "model")}
    assert (recipe.report, recipe.ask) == ("reports/whole.html", ["what is it"])
    assert str(split.inputs["data"]) == "$raw"


def test_a_setting_can_name_what_is_compared_and_named(load):
    text = RAW.replace("steps:", "settings: {to: docs}\nsteps:")
    text += "  old: {use: '@:look', thing: $to@latest}\nname: {$to@latest: $raw, other@latest: $raw}\n"
    for value in ("docs", "books"):
        recipe = load(text, {"to": value})
        assert recipe.steps["old"].inputs["thing"] == Reference("name", f"{value}@latest")
        assert list(recipe.names) == [f"{value}@latest", "other@latest"]


def test_the_digest_is_of_the_text(load: Load) -> None:
    one, same, other = load(WHOLE), load(WHOLE), load(WHOLE + "    # more\n")
    assert one.text == same.text != other.text


def test_the_same_from_python() -> None:
    recipe = load_recipe(
        {
            "steps": {
                "raw": {"use": S + "make_rows", "n": 5},
                "out": {"use": S + "change", "data": "$raw", "columns": ("a", "b")},
            },
            "gate": [],
        }
    )
    assert recipe.name == "recipe"
    assert recipe.steps["out"].settings["columns"] == ["a", "b"]
    with pytest.raises(RecipeError, match=r"^step 'x': .* has no input or setting 'm'"):
        load_recipe({"steps": {"x": {"use": S + "make_rows", "m": 5}}})


def test_a_path_as_an_input_is_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    recipe = load("steps:\n  x: {use: '@:change', data: '*.jsonl'}\n  y: {use: '@:join', parts: [a.jsonl, $x]}\n")
    assert list(recipe.steps) == ["x.data", "x", "y.parts.0", "y"]
    reader = recipe.steps["x.data"]
    assert (reader.use, reader.settings["path"], reader.line) == ("data.read", "*.jsonl", 2)
    assert recipe.steps["x"].inputs["data"] == Reference("step", "x.data")
    with pytest.raises(RecipeError, match=r"r\.yaml:2: base needs a model, and a\.jsonl is a path"):
        load("steps:\n  x: {use: '@:fit', steps: 1, data: a.jsonl, base: a.jsonl}\n")


def test_overrides(load: Load) -> None:
    recipe = load(WHOLE, {"rate": 0.5, "steps.verdict.alpha": 0.2, "steps.raw.n": "9"})
    assert recipe.settings["rate"] == recipe.steps["split"].settings["rate"] == 0.5
    assert recipe.steps["verdict"].settings["alpha"] == 0.2
    assert recipe.steps["raw"].settings["n"] == 9
    with pytest.raises(RecipeError, match=r"--set sed: the recipe has no such setting\n.*did you mean 'seed'"):
        load(WHOLE, {"sed": 1})
    with pytest.raises(RecipeError, match=r"--set steps.verdct.alpha: .*\n.*did you mean 'steps.verdict'"):
        load(WHOLE, {"steps.verdct.alpha": 1})
    with pytest.raises(RecipeError, match=r"has no input or setting 'alfa'\n.*did you mean 'alpha'"):
        load(WHOLE, {"steps.verdict.alfa": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("-3", -3),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("0x1f", 31),
        ("true", True),
        ("null", None),
        ("1%", "1%"),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-01-02", "2026-01-02"),
        ("'8'", "8"),
        ("[a, 1]", ["a", 1]),
        ("{a: 1}", {"a": 1}),
        ("corpus/*.jsonl", "corpus/*.jsonl"),
        ("*.jsonl", "*.jsonl"),
        ("a: b: c", "a: b: c"),
        (".inf", float("inf")),
    ],
)
def test_values_are_what_people_mean(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value) or isinstance(value, dict)


@given(st.one_of(st.floats(allow_nan=False), st.integers()))
def test_every_number_that_python_prints_is_that_number(number: float) -> None:
    assert parse_value(str(number).replace("inf", ".inf")) == number


def test_merge_keys_and_aliases(load: Load) -> None:
    recipe = load(
        """\
        steps:
          raw: {use: '@:make_rows'}
          a: &a {use: '@:change', data: $raw, rate: 0.3}
          b: {<<: *a, margin: 1%}
        """
    )
    assert recipe.steps["b"].settings["rate"] == 0.3
    assert recipe.steps["b"].settings["margin"] == "1%"


def test_a_recipe_as_a_step(load: Load) -> None:
    recipe = load(
        """\
        settings: {much: 0.9}
        steps:
          rows: {use: '@:make_rows'}
          sub: {use: sub.yaml, raw: $rows/train, rate: $much}
          again: {use: sub.yaml, raw: $sub.clean, n: 4}
          last: {use: '@:look', thing: $sub}
          more: {use: '@:look', thing: $again.clean/train}
        """,
        {"steps.sub.n": 3, "steps.sub.verdict.alpha": 0.5},
        sub=SUB,
    )
    assert sorted(recipe.steps) == sorted(
        ["rows", "sub.clean", "sub.model", "sub.verdict", "again.clean", "again.model", "again.verdict", "last", "more"]
    )
    assert recipe.steps["sub.clean"].inputs["data"] == Reference("step", "rows", "train")
    assert recipe.steps["sub.clean"].settings["rate"] == 0.9
    assert recipe.steps["sub.model"].settings["steps"] == 3
    assert recipe.steps["sub.verdict"].settings["alpha"] == 0.5
    assert recipe.steps["again.clean"].inputs["data"] == Reference("step", "sub.clean")
    assert recipe.steps["again.model"].settings["steps"] == 4
    assert recipe.steps["last"].inputs["thing"] == Reference("step", "sub.model")
    assert recipe.steps["more"].inputs["thing"] == Reference("step", "again.clean", "train")
    assert recipe.gates == ["sub.verdict", "again.verdict"]


def test_a_recipe_in_a_recipe_in_a_recipe(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    recipe = load(
        "steps:\n  top: {use: middle.yaml, given: a.jsonl}\n  x: {use: '@:look', thing: $top.inner.clean}\n",
        middle="inputs: [given]\nsteps:\n  inner: {use: sub.yaml, raw: $given}\n",
        sub=SUB,
    )
    assert recipe.steps["top.inner.clean"].inputs["data"] == Reference("step", "top.inner.clean.data")
    assert recipe.steps["x"].inputs["thing"] == Reference("step", "top.inner.clean")


@given(st.integers(1, 25), st.randoms(use_true_random=False))
def test_a_random_graph_comes_out_in_order(n: int, luck: random.Random) -> None:
    steps: dict[str, Any] = {}
    for i in range(n):
        needs = luck.sample(range(i), k=luck.randint(0, min(i, 3)))
        steps[f"s{i}"] = {"use": S + "join", "parts": [f"$s{j}" for j in needs]}
    names = list(steps)
    luck.shuffle(names)
    found = list(load_recipe({"steps": {name: steps[name] for name in names}}).steps)
    assert sorted(found) == sorted(names)
    for name, keys in steps.items():
        assert all(found.index(need[1:]) < found.index(name) for need in keys["parts"])


def test_written_order_stays_where_it_can(load: Load) -> None:
    recipe = load(RAW + "  b: {use: '@:change', data: $raw}\n  other: {use: '@:make_rows'}\n")
    assert list(recipe.steps) == ["raw", "b", "other"]
