"""Recipes: what they mean, and every error before the first step, with file, line and hint."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.core.errors import RecipeError
from loomwork.core.recipe import Recipe, Reference, load_recipe
from loomwork.core.recipe_yaml import parse_value

S = "tests.core.sample_steps:"
Load = Callable[..., Recipe]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(text, name=text2): write r.yaml, and other files beside it, and load the first. @ stands for our steps."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str, settings: dict[str, Any] | None = None, **others: str) -> Recipe:
        for name, content in {"r": text, **others}.items():
            (tmp_path / f"{name}.yaml").write_text(textwrap.dedent(content).replace("@:", S), "utf-8")
        return load_recipe("r.yaml", settings)

    return write_and_load


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


RAW = "steps:\n  raw: {use: '@:make_rows'}\n"
FIT = RAW + "  model: {use: '@:fit', data: $raw, steps: 1}\n"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("steps: [\n", 2, "not YAML", ""),
        ("a: b: c\n", 1, "not YAML", ""),
        ("- a\n", 1, "a recipe is a mapping", ""),
        ("", 1, "a recipe is a mapping", ""),
        (RAW + "gates: $raw\n", 3, "unknown key 'gates'", "did you mean 'gate'"),
        ("recipe: x\n", 1, "the recipe has no steps", "use: data.read"),
        ("steps: [a]\n", 1, "steps: must be a mapping", ""),
        ("steps:\n  a: 3\n", 2, "step 'a' does not say which step to use", "use:"),
        ("steps:\n  a b: {use: x}\n", 2, "'a b' cannot be the name of a step", ""),
        (RAW + "  raw: {use: '@:make_rows'}\n", 3, "'raw' is here twice", "line 2"),
        ("steps:\n  raw: {use: x, use: y}\n", 2, "'use' is here twice", ""),
        ("steps:\n  raw: {use: !!python/name:os.system x}\n", 2, "the tag .* is not allowed", ""),
        ("steps: !x\n  raw: {use: x}\n", 1, "the tag '!x' is not allowed", ""),
        ("steps: &a\n  raw: *a\n", 1, "refers to itself", ""),
        ("steps:\n  raw: {use: data.raed}\n", 2, "step 'raw': no step 'data.raed'", "did you mean 'data.read'"),
        ("steps:\n  raw: {use: '@:make_row'}\n", 2, "no step", ""),
        ("steps:\n  raw: {use: '@:no_step'}\n", 2, "no step", ""),
        ("steps:\n  raw: {use: 'no.module:f'}\n", 2, "no step 'no.module:f'", ""),
        ("steps:\n  raw:\n    use: '@:make_rows'\n    m: 3\n", 4, "has no input or setting 'm'", "known: n"),
        (RAW + "  x: {use: '@:change', data: $raw, rat: 1}\n", 3, "setting 'rat'", "did you mean 'rate'"),
        (RAW + "  x: {use: '@:change'}\n", 3, "needs the input 'data'", r"data: \$step"),
        (RAW + "  x: {use: '@:change', data: null}\n", 3, "needs the input 'data'", ""),
        (RAW + "  x: {use: '@:fit', data: $raw}\n", 3, "needs the setting 'steps'", ""),
        (
            RAW + "  x:\n    use: '@:change'\n    data: $raw\n    rate: a\n",
            6,
            "rate is 'a'; rate should be a valid number",
            "",
        ),
        (RAW + "  x: {use: '@:change', data: $raw, how: fats}\n", 3, "how should be 'fast' or 'slow'", ""),
        (
            RAW + "  x: {use: '@:change', data: $raw, columns: [a, 1]}\n",
            3,
            r"columns\[1\] should be a valid string",
            "",
        ),
        (RAW + "  x: {use: '@:change', data: $raw, margin: 1}\n", 3, "valid string", "write it in quotes"),
        (
            RAW + "  x: {use: '@:change', data: $raw, metric: digets}\n",
            3,
            "nothing called 'digets'",
            "did you mean 'digest'",
        ),
        (RAW + "  x: {use: '@:change', data: $rw}\n", 3, "there is no step 'rw'", "did you mean 'raw'"),
        (RAW + "  x: {use: '@:change', data: raw}\n", 3, "'raw' is not a reference", r"did you mean \$raw"),
        (RAW + "  x: {use: '@:change', data: raw.jsonl}\n", 3, "is not a reference, and no such file", ""),
        (RAW + "  x: {use: '@:change', data: '$'}\n", 3, "is not a reference", ""),
        (RAW + "  x: {use: '@:change', data: [$raw]}\n", 3, "takes one artifact, not several", ""),
        (RAW + "  x: {use: '@:judge', models: $raw}\n", 3, "takes several by name", ""),
        (RAW + "  x: {use: '@:join', parts: [[$raw]]}\n", 3, "is not a reference", ""),
        (
            RAW + "  x: {use: '@:change', data: $raw, rate: $sed}\nsettings: {seed: 1}\n",
            3,
            "no setting \\$sed",
            "did you mean 'seed'",
        ),
        (
            RAW + "  x: {use: '@:change', data: $raw, rate: $raw}\n",
            3,
            "rate is a setting, and \\$raw is the result",
            "",
        ),
        (
            RAW + "  x: {use: '@:change', data: $seed}\nsettings: {seed: 1}\n",
            3,
            "\\$seed is a setting, and a step is needed",
            "",
        ),
        ("settings: {raw: 1}\n" + RAW, 2, "'raw' stands for two things", ""),
        (
            "steps:\n  a: {use: '@:look', thing: $c}\n  b: {use: '@:look', thing: $a}\n"
            "  c: {use: '@:look', thing: $b}\n",
            None,
            "in a circle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)",
            "",
        ),
        ("steps:\n  a: {use: '@:change', data: $a}\n", 2, "in a circle: a -> a", ""),
        (
            FIT + "  x: {use: '@:change', data: $model}\n",
            4,
            r"data needs a dataset, and \$model makes a model",
            r"make one: \$raw",
        ),
        (
            FIT + "  x: {use: '@:look', thing: $raw, verdict: $raw}\n",
            4,
            "verdict needs a verdict",
            "no step here makes",
        ),
        ("steps:\n  x: {use: '@:from_files', path: none.txt}\n", 2, "no such file or folder: none.txt", ""),
        ("steps:\n  x: {use: '@:from_files', path: 'n/*.txt'}\n", 2, "no file matches", ""),
        ("steps:\n  x: {use: '@:from_files', path: ., more: [., q]}\n", 2, "more: no such file or folder: q", ""),
        ("steps:\n  x: {use: data.read, path: none.jsonl}\n", 2, "no such file or folder: none.jsonl", ""),
        (FIT + "gate: $model\n", 4, r"gate: \$model makes a model, and a gate needs a verdict", "evals.compare"),
        (FIT + "gate: [$modle]\n", 4, "there is no step 'modle'", "did you mean 'model'"),
        (FIT + "gate: model\n", 4, "'model' is not a reference", r"write \$step"),
        (FIT + "name: {docs: $model}\n", 4, "'docs' is not a name", "name@label"),
        (FIT + "name:\n  docs@champion: $modle\n", 5, "there is no step 'modle'", "did you mean 'model'"),
        (FIT + "name: {docs@champion: $model/x}\n", 4, "needs a whole artifact", ""),
        ("inputs: [raw]\nsteps:\n  x: {use: '@:change', data: $raw}\n", 1, "this recipe needs raw", r"raw: \$step"),
        ("inputs: x\n" + RAW, 1, "inputs: is a list", ""),
        ("steps:\n  x: {use: other.yaml}\n", 2, "there is no recipe other.yaml", ""),
    ],
)
def test_errors_come_first_with_their_place(load: Load, text: str, line: int | None, message: str, hint: str) -> None:
    place = rf"r\.yaml:{line or '[0-9]+'}: "
    with pytest.raises(RecipeError, match=f"^{place}.*{message}") as caught:
        load(text)
    if hint:
        assert caught.match(rf"\n  .*{hint}")
    assert caught.value.exit_code == 2


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"recipe: \xff\n")
    with pytest.raises(RecipeError, match=r"not UTF-8 text: .* at byte 8"):
        load_recipe(tmp_path / "bytes.yaml")


def test_a_step_whose_module_does_not_import(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_steps_x.py").write_text("1 / 0\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:2: .*cannot be imported: ZeroDivisionError"):
        load("steps:\n  x: {use: 'broken_steps_x:f'}\n")


SUB = """\
    inputs: [raw]
    settings: {rate: 0.1, n: 1}
    steps:
      clean: {use: '@:change', data: $raw, rate: $rate}
      model: {use: '@:fit', data: $clean, steps: $n}
      verdict: {use: '@:judge', models: {a: $model}}
    result: $model
    gate: $verdict
    """


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


@pytest.mark.parametrize(
    ("text", "sub", "message"),
    [
        ("  s: {use: sub.yaml}\n", SUB, r"r\.yaml:3: .* needs the input 'raw'"),
        ("  s: {use: sub.yaml, raw: $raw, rat: 1}\n", SUB, r"r\.yaml:3: .* no input or setting 'rat'\n.*'rate'"),
        ("  s: {use: sub.yaml, raw: $rw}\n", SUB, r"r\.yaml:3: raw: there is no step 'rw'"),
        ("  s: {use: sub.yaml, raw: $raw}\n", SUB.replace("$clean", "$claen"), r"sub\.yaml:5: .*'claen'\n.*'clean'"),
        ("  s: {use: sub.yaml, raw: $raw}\n  t: {use: '@:look', thing: $s.claen}\n", SUB, r"r\.yaml:4: .*'claen'"),
        ("  s: {use: sub.yaml, raw: $raw}\n", SUB.replace("result: $model", "result: $raw"), "result: must be a step"),
        ("  s: {use: sub.yaml}\n", "steps:\n  t: {use: sub.yaml}\n", r"sub\.yaml:2: step 't': .* uses itself"),
        ("  s: {use: sub.yaml}\n", "steps:\n  t: {use: r.yaml}\n", r"sub\.yaml:2: step 't': .* uses itself"),
        ("  s: {use: sub.yaml, raw: $s.clean}\n", SUB, "in a circle: s.clean -> s.clean"),
    ],
)
def test_faults_of_sub_recipes(load: Load, text: str, sub: str, message: str) -> None:
    more = "  last: {use: '@:look', thing: $s}\n" if "result: $raw" in sub else ""
    with pytest.raises(RecipeError, match=message):
        load(RAW + text + more, sub=sub)


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
