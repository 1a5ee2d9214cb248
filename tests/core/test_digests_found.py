"""Data is found by the digest that keys, `because` lines and models tell of it."""

from __future__ import annotations

import pytest

from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


def test_the_digest_that_a_key_and_a_model_tell_of_data_leads_to_it(home, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a"}\n{"text": "b"}\n')
    steps = {
        "raw": {"use": "data.read", "path": str(file)},
        "split": {"use": "data.split", "data": "$raw", "holdout": 0.5},
        "clean": {"use": "data.clean", "data": "$split/train"},
    }
    run = run_recipe({"steps": steps}, home=home)
    read = home.ledger.last_done("", "clean", "data.clean") or home.ledger.last_runs(step="data.clean")[0]
    digest = read["parts"]["inputs"]["data"]
    assert digest != run.steps["split"].artifact
    assert home.find(digest) == home.find(digest[:12]) == run.steps["split"].artifact
    with pytest.raises(InputError, match="there is no name or artifact"):
        home.find("0" * 12)
