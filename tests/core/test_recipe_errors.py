"""Every error of a recipe comes before the first step, with file, line and hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwork.core.errors import RecipeError
from loomwork.core.recipe import load_recipe
from tests.core.recipe_files import RAW, SUB, Load

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
        (RAW + "name: {$to@latest: $raw}\n", 3, "name.*no setting \\$to|no setting \\$to", ""),
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


ALL_FAULTS = """\
recipe: many
gates: $x
steps:
  raw: {use: data.raed, path: none.jsonl}
  bare: {path: x}
  files: {use: '@:from_files', path: none.txt, strict: perhaps, more: [no.txt], stric: true}
  x:
    use: '@:change'
    data: $rw
    rate: fast
    how: $sed
  y: {use: '@:fit', data: $raw, base: $bare}
  z: {use: '@:join', parts: [$x, $y]}
gate: [$y, $raw]
name:
  docs: $y
  docs@champion: $modle
"""


def test_all_faults_are_told_at_once_in_the_order_of_the_file(load: Load) -> None:
    with pytest.raises(RecipeError) as caught:
        load(ALL_FAULTS)
    first, *lines = str(caught.value).splitlines()
    told = [line.removeprefix("  r.yaml:") for line in lines if line.startswith("  r.yaml:")]
    assert first == "r.yaml: 15 faults"
    assert len(told) == 15
    for line, start in zip(
        told,
        [
            "2: unknown key 'gates'",
            "4: step 'raw': no step 'data.raed'",
            "5: step 'bare' does not say which step to use",
            "6: step 'files': tests.core.sample_steps:from_files has no input or setting 'stric'",
            "6: step 'files': strict is 'perhaps'; strict should be a valid boolean",
            "6: step 'files': path: no such file or folder: none.txt",
            "6: step 'files': more: no such file or folder: no.txt",
            "9: data: there is no step 'rw'",
            "10: step 'x': rate is 'fast'; rate should be a valid number",
            "11: step 'x': how: no setting $sed",
            "12: step 'y': tests.core.sample_steps:fit needs the setting 'steps'",
            "13: step 'z': parts needs a dataset, and $y makes a model",
            "14: gate: $y makes a model, and a gate needs a verdict",
            "16: name: 'docs' is not a name",
            "17: docs@champion: there is no step 'modle'",
        ],
        strict=True,
    ):
        assert line.startswith(start)
    assert lines[lines.index("  r.yaml:9: data: there is no step 'rw'") + 1] == "    did you mean 'raw'?"


def test_faults_that_end_the_reading_come_with_those_before_them(load: Load) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml: 2 faults\n  r\.yaml:1: steps: must be .*\n  r\.yaml:2: unknown"):
        load("steps: [a]\ngates: x\n")
    with pytest.raises(RecipeError, match=r"^2 faults\n  step 'a': no step 'x'\n(.|\n)*\n  step 'b': no step 'y'"):
        load_recipe({"steps": {"a": {"use": "x"}, "b": {"use": "y"}}})


def test_faults_of_sub_recipes_are_told_once_and_make_no_others(load: Load) -> None:
    text = RAW + (
        "  s: {use: sub.yaml, rat: 1}\n  t: {use: '@:change', data: $s, rate: a}\n"
        "  u: {use: '@:look', thing: $s.clean}\n"
        "  v: {use: gone.yaml}\n  w: {use: '@:join', parts: [$v, $v.clean]}\n  q: {use: sub.yaml, raw: $rw}\n"
    )
    sub = SUB.replace("steps: $n", "steps: few").replace("result: $model", "result: $clean")
    with pytest.raises(RecipeError) as caught:
        load(text, sub=sub)
    told = [line.split(": ", 1)[0].strip() for line in str(caught.value).splitlines() if ".yaml:" in line]
    assert told == ["r.yaml", "r.yaml:3", "r.yaml:3", "r.yaml:4", "r.yaml:6", "r.yaml:8", "sub.yaml:5", "sub.yaml:5"]
    assert "step 's.model'" in str(caught.value)
    assert "step 'q.model'" in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("  b: {use: data.near_dedup, data: $raw/train}\n", "raw makes no part 'train'.*\n.*known: cut, data, dropped"),
        ("  s: {use: data.split, data: $raw}\n  b: {use: data.clean, data: $s/trian}\n", "'trian'.*\n.*'train'"),
        ("  s: {use: data.split, data: $raw}\n  b: {use: data.clean, data: $s/validation}\n", "no part 'validation'"),
        (
            "  f: {use: train.init, tokenizer: $raw}\n  t: {use: train.sft, base: $f, data: $raw, adapter: lora}\n"
            "  b: {use: train.merge, base: $f, adapters: {a: $t/adaptor}}\n",
            "t makes no part 'adaptor'.*\n.*'adapter'",
        ),
    ],
)
def test_a_part_that_a_step_will_not_make_is_refused(load: Load, tmp_path: Path, steps: str, message: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(RecipeError, match=message):
        load(f"steps:\n  raw: {{use: data.read, path: {tmp_path / 'a.txt'}}}\n{steps}")


def test_parts_that_a_step_makes_or_may_make_are_taken(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    steps = (
        f"steps:\n  raw: {{use: data.read, path: {tmp_path / 'a.txt'}}}\n"
        "  s: {use: data.split, data: $raw, validation: 0.1}\n"
        "  a: {use: data.clean, data: $raw/dropped}\n  b: {use: data.clean, data: $s/validation}\n"
        "  c: {use: data.clean, data: $a/cut}\n  h: {use: data.read_hub, path: x/y}\n"
        "  d: {use: data.clean, data: $h/test}\n"
    )
    assert "d" in load(steps).steps
