"""Settings of evaluations out of range are refused before a recipe's first step."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from loomwork.core.errors import RecipeError
from loomwork.core.recipe import load_recipe
from loomwork.core.step import find_step, step_names
from tests.step_ranges import without_range

INTERVAL = {"level": 1.0, "seed": -1}
WRONG = {
    "answer": {"longest_tokens": 0},
    "bits_per_byte": {"ngram_order": 0, **INTERVAL},
    "classification": {"bins": 0, "classes": [float("nan")], **INTERVAL},
    "classify": {"bins": 0, **INTERVAL},
    "compare": {"alpha": 0.7, "not_worse_than": -0.01, "better_than": "a bit"},
    "correlation": {"level": 0},
    "decide": {
        "alpha": 0.7,
        "better_than": "a bit",
        "look_every": 0,
        "num_fewshot": -1,
        "max_tokens": 1,
        "seed": -1,
    },
    "endpoint": {"timeout_seconds": 0, "attempts": 0, "at_once": 0, "window_characters": 1},
    "glue": INTERVAL,
    "ner": INTERVAL,
    "perplexity": {"max_tokens": 1, **INTERVAL},
    "retrieval": {"k": 0, "top": -1, "max_tokens": 0, **INTERVAL},
    "run_task": {"num_fewshot": -1, "limit": -1, "max_tokens": 1, **INTERVAL},
    "sample": {"prompts": [], "max_tokens": 0, "temperature": -1, "seed": -1},
    "side_by_side": {"bins": 1, "least": 1, "alpha": 1, "examples": -1},
    "slices": {"by": [], "bins": 1, "least": 1, "alpha": 0},
    "speed": {"texts": 0, "rounds": 0, "max_tokens": 0},
    "squad": INTERVAL,
    "summary": {"metrics": [], **INTERVAL},
    "translate": {"beams": 0, "longest_tokens": 0},
    "translation": {"metrics": [], **INTERVAL},
}
NEEDED = {
    "endpoint": {"url": "http://a", "model": "m"},
    "glue": {"task": "rte"},
    "run_task": {"task": "piqa"},
    "decide": {"task": "piqa"},
}
ANY = {  # random.Random takes any number, and a difference may be any
    "evals.answer": ["least_margin"],
    "evals.decide": ["shots_seed"],
    "evals.run_task": ["shots_seed"],
}


@pytest.mark.parametrize("name", [n for n in step_names() if n.startswith("evals.")])
def test_every_number_of_a_step_has_its_range(name):
    assert without_range(find_step(name)) == ANY.get(name, [])


@pytest.mark.parametrize("name", WRONG)
def test_each_setting_out_of_range_is_refused(name):
    with pytest.raises(ValidationError) as caught:
        find_step(f"evals.{name}").settings_model(**NEEDED.get(name, {}), **WRONG[name])
    assert {str(fault["loc"][0]) for fault in caught.value.errors()} == set(WRONG[name])


def test_a_margin_that_is_none_is_refused_at_its_line(tmp_path: Path):
    (tmp_path / "r.yaml").write_text(
        "steps:\n  verdict: {use: evals.compare, candidate: a@b, baseline: a@c, not_worse_than: 1 percent}\n"
    )
    told = r"r\.yaml:2: step 'verdict': not_worse_than is '1 percent'; not_worse_than is no margin: write 0\.01"
    with pytest.raises(RecipeError, match=told):
        load_recipe(tmp_path / "r.yaml")
