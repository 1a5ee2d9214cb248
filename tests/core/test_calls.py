"""Settings that call code by name: found by path, checked as a step's settings are, in the cache key."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest

from loomwork.core.calls import call_code, call_files, callees, checked_calls, find_callee, with_types, without_paths
from loomwork.core.errors import InputError, RecipeError
from loomwork.core.key import key_parts, make_key
from loomwork.core.recipe import load_recipe
from loomwork.core.step import Calls, Card, Step, step
from tests.core.user_package import Files

LENGTH = """
    from PKG.tools import size

    def length(data, *, column: str, most: int, least: int = 0) -> "pl.Series":
        return size
"""
LISTED = """
    from pathlib import Path
    from typing import Annotated, Literal
    from loomwork.core.step import Files, Names

    USES = ("pyyaml",)

    def listed(
        data,
        *,
        column: str,
        file: Annotated[Path | None, Files()] = None,
        by: Annotated[str | None, Names("PKG.tools")] = None,
        own: Annotated[str | None, Names("")] = None,
        how: Literal["fast", "slow"] = "fast",
    ): ...
"""


@pytest.fixture
def rules(files: Files) -> Calls:
    files.write(tools="def size(): return 1\ndef shape(): return 2\n", rules__init="", rules__length=LENGTH)
    files.write(rules__listed=LISTED, rules___hidden="", mine="def keep(row): return True\n")
    importlib.invalidate_caches()
    return Calls(f"{files.name}.rules", what="rule", given=("column",))


def test_names_are_found_by_path_and_nothing_else_is_imported(rules: Calls) -> None:
    assert callees(rules.package) == ["length", "listed"]
    assert list(find_callee(rules, "length").settings) == ["most", "least"]
    assert f"{rules.package}.listed" not in sys.modules


def test_calls_get_all_their_settings(rules: Calls) -> None:
    given: list[Any] = [{"length": {"most": "3"}}, "listed", {"listed": None}]
    nothing = {"file": None, "by": None, "own": None, "how": "fast"}
    checked = checked_calls(rules, given)
    assert checked == [{"length": {"most": 3, "least": 0}}, {"listed": nothing}, {"listed": nothing}]
    assert checked_calls(rules, checked) == checked


def test_settings_have_the_types_of_the_signature(rules: Calls, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a")
    (call,) = checked_calls(rules, [{"listed": {"file": tmp_path / "words.txt"}}])
    assert call["listed"]["file"] == str(tmp_path / "words.txt")
    callee, settings = with_types(rules, call)
    assert (callee.name, settings["file"]) == ("listed", tmp_path / "words.txt")


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("lenght", "there is no rule 'lenght'", "did you mean 'length'?"),
        ("_hidden", "there is no rule '_hidden'", ""),
        ({"length": {"mots": 3}}, "length has no setting 'mots'", "did you mean 'most'?"),
        ({"length": {"most": 3, "column": "x"}}, "length has no setting 'column'", "known: least, most"),
        ({"length": {"most": "many"}}, "length: most is 'many'; should be a valid integer", ""),
        ({"length": {}}, "length needs the setting 'most'", "most: ..."),
        ({"length": 3}, "length: 3 is not a mapping of settings", "its settings: most, least"),
        ({"length": {"most": 3}, "listed": {}}, "is no rule", "write the rule's name"),
        (3, "3 is no rule", ""),
        ({"listed": {"how": "fats"}}, "how is 'fats'; should be 'fast' or 'slow'", ""),
        ({"listed": {"file": "none.txt"}}, "listed: file: no such file or folder: none.txt", ""),
        ({"listed": {"by": "siez"}}, "nothing called 'siez'", "did you mean 'size'?"),
        ({"listed": {"own": "keep"}}, "'keep' names no function", "my_rules:keep"),
        ({"listed": {"own": "no.such:keep"}}, "the source of module 'no.such' was not found", ""),
    ],
)
def test_what_does_not_fit_is_refused(rules: Calls, value: Any, message: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        checked_calls(rules, [value])
    assert message in error.value.what
    assert hint in error.value.hint


def test_the_code_of_the_named_function_is_known(rules: Calls, files: Files) -> None:
    def code(*calls: Any) -> dict[str, str]:
        return call_code(rules, checked_calls(rules, calls))[0]

    length, name = {"length": {"most": 1}}, files.name
    first, other = code(length), code("listed")
    assert set(first) == {f"{name}.rules.length:*", f"{name}.tools:size"}
    assert f"{name}.tools:shape" in code({"listed": {"by": "shape"}})
    assert f"{name}.mine:keep" in code({"listed": {"own": f"{name}.mine:keep"}})
    files.write(tools="def size(): return 3\ndef shape(): return 2\n")
    assert code(length) != first
    assert code("listed") == other
    assert call_code(rules, ["listed"])[1] == ["pyyaml"]


def a_step(rules: Calls) -> Step:
    def run(*, rules: Annotated[list[str | dict[str, Any]], rules], out: Path) -> Card:
        return Card()

    run.__annotations__["rules"] = Annotated[list[str | dict[str, Any]], rules]
    run.__annotations__["out"] = Path
    return step(makes="dataset")(run).step  # type: ignore[attr-defined]


def test_the_key_holds_the_content_of_files_and_not_their_path(rules: Calls, tmp_path: Path) -> None:
    def key(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        calls = checked_calls(rules, [{"listed": {"file": tmp_path / name}}])
        parts = key_parts(a_step(rules), {"rules": calls}, {}, digests=tmp_path / "digests")
        assert parts["paths"] == {"rules": calls}
        assert parts["uses"].keys() == {"pyarrow", "pyyaml"}
        return make_key(parts)

    first = key("a.txt", "one")
    assert key("a.txt", "two") != first
    (tmp_path / "b").mkdir()
    assert key("b/a.txt", "one") == first
    assert call_files(rules, [{"length": {"most": 3}}], tmp_path) == {}
    assert without_paths(rules, [{"length": {"most": 3}}]) == ([{"length": {"most": 3}}], False)


def test_a_recipe_refuses_them_before_its_first_step(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("steps:\n  f:\n    use: data.filter\n    data: $x\n    rules:\n    - {lenght: {min_words: 3}}\n")
    path.write_text(path.read_text().replace("$x", str(path)))
    with pytest.raises(RecipeError, match=r"r.yaml:5: step 'f': rules: there is no rule 'lenght'"):
        load_recipe(path)


def test_artifacts_are_no_settings() -> None:
    assert "data" not in find_callee(Calls("loomwork.data.filters", given=("column",)), "length").settings
