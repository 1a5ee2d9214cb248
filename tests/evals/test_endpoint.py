from __future__ import annotations

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.endpoint import endpoint
from loomwork.models.engines.http import HttpScorer
from loomwork.models.scorer import load_scorer

URL = "http://127.0.0.1:9/v1"


def test_an_endpoint_is_a_model_that_can_be_scored(run_step, monkeypatch):
    monkeypatch.setenv("MY_KEY", "a secret value")
    made, _ = run_step(endpoint, url=URL, model="m", key_variable="MY_KEY", at_once=2)
    scorer = load_scorer(made)
    assert isinstance(scorer, HttpScorer)
    assert (scorer.endpoint.url, scorer.endpoint.model, scorer.endpoint.at_once) == (URL, "m", 2)
    assert "a secret value" not in (made.path / "loomwork.json").read_text()
    again, _ = run_step(endpoint, url=URL, model="m", key_variable="MY_KEY", at_once=2)
    other, _ = run_step(endpoint, url=URL, model="m", key_variable="MY_KEY", at_once=2, revision="june")
    assert made.digest == again.digest != other.digest


def test_a_wrong_description_is_refused_at_once(run_step):
    with pytest.raises(InputError, match="neither http"):
        run_step(endpoint, url="ftp://host", model="m")
    with pytest.raises(InputError, match="1 or more"):
        run_step(endpoint, url=URL, model="m", attempts=0)
