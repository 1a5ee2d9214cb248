"""Keys from the environment: refused when they could be guessed, and in no file of the home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from loomwork.core.errors import InputError, RecipeError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.core.secret import read_secret, secret_id
from loomwork.core.step import Card, Secret, step

NAME = "LOOMWORK_TEST_KEY"
KEY = "3f9a0c77d1e24b5896f0ab13cd57e2048b6d1f93a5c7e80b"
OTHER = "9b1d44e07c6a2f8350e1bd97a64c20f8d3571ae9604bfc82"


@step(makes="note")
def keyed(*, key_from: Annotated[str | None, Secret()] = None, out: Path) -> Card:
    """Writes how long its key is."""
    (out / "note").write_text(str(len(read_secret(key_from)) if key_from else 0))
    return Card()


def recipe(name: str | None = NAME) -> dict:
    return {"recipe": "keyed", "steps": {"a": {"use": keyed.step.name, "key_from": name}}}


def test_a_key_is_read(monkeypatch):
    monkeypatch.setenv(NAME, KEY)
    assert read_secret(NAME) == KEY.encode()
    assert secret_id(NAME) == secret_id(NAME)
    first = secret_id(NAME)
    monkeypatch.setenv(NAME, OTHER)
    assert secret_id(NAME) != first
    assert KEY not in first


@pytest.mark.parametrize("value", ["", "short", "password", "a" * 64, "abababababababababababababab", "0123456789" * 2])
def test_keys_that_could_be_guessed_are_refused(monkeypatch, value):
    monkeypatch.setenv(NAME, value)
    with pytest.raises(InputError) as caught:
        read_secret(NAME)
    assert "openssl rand -hex 32" in caught.value.hint
    assert not value or value not in str(caught.value).replace(NAME, "")


def test_a_key_given_in_place_of_a_name_is_not_repeated():
    given = "3f9a/0c77+d1e2"
    with pytest.raises(InputError) as caught:
        read_secret(given)
    assert given not in str(caught.value)


def test_a_missing_key_stops_a_recipe_before_it_starts(monkeypatch, tmp_path):
    monkeypatch.delenv(NAME, raising=False)
    with pytest.raises(RecipeError, match=f"{NAME} is not set"):
        run_recipe(recipe(), home=Home(tmp_path))
    assert run_recipe(recipe(None), home=Home(tmp_path)).steps["a"].status == "ran"


def test_the_key_decides_the_result_and_is_in_no_file(monkeypatch, tmp_path):
    home = Home(tmp_path)
    reasons = []

    def listen(event, name, data):
        if event == "start":
            reasons.append(data)

    for value, status in ((KEY, "ran"), (KEY, "hit"), (OTHER, "ran"), (KEY, "hit")):
        monkeypatch.setenv(NAME, value)
        assert run_recipe(recipe(), home=home, listen=listen).steps["a"].status == status
    assert "the key that key_from names changed" in str(reasons)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(NAME.encode() in file.read_bytes() for file in files)  # the name is kept, so the search can find
    for file in files:
        assert KEY.encode() not in file.read_bytes(), file
