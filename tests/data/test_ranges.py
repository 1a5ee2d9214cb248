"""Settings out of range are refused before a recipe's first step, at their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from loomwork.core.calls import callees, checked_calls, find_callee
from loomwork.core.errors import InputError, RecipeError
from loomwork.core.recipe import load_recipe
from loomwork.core.step import Calls, find_step, step_names
from loomwork.data.filter import filter
from tests.step_ranges import without_range

WRONG = {
    "balance": {"column": "a", "most_repeats": 0, "temperature": 0, "shares": {"a": -1}, "seed": -1},
    "clean": {
        "min_chars": -1, "repeated_lines": -1, "boilerplate_documents": -2, "boilerplate_share": 1.5,
        "spelling_common": -1,
    },
    "decontaminate": {"words": 0, "shortest": 0},
    "exact_dedup": {"columns": []},
    "expect": {
        "min_rows": -1, "max_rows": -1, "most_duplicates": 1.1, "tolerance": -0.1, "sample_rows": 1, "alpha": 0.5,
        "seed": -1, "columns": {"a": {"most_null": 5}, "b": {"most_outside": -1}, "c": {"min_chars": -1}},
    },
    "index": {"max_tokens": 0},
    "language": {"min_score": 2.0},
    "mix": {"size": 0, "most_repeats": 0, "temperature": -1, "weights": {"a": 0}, "seed": -1},
    "near_dedup": {"threshold": 0.01, "shingle_words": 0},
    "pack": {"length": 0},
    "paragraph_dedup": {"min_chars": 0},
    "profile": {"sample_rows": 0, "examples": -1, "seed": -1},
    "query_pairs": {"min_words": -1},
    "read": {"path": "a", "max_row_bytes": 0, "max_unpacked_bytes": 0, "max_ratio": 0},
    "semantic_dedup": {"threshold": 0, "clusters": 0, "max_tokens": 0, "seed": -1},
    "split": {"holdout": 1.0, "validation": -0.1, "largest_group": 0, "disjoint_words": 1, "seed": -1},
    "substring_dedup": {"words": 1, "min_chars": -1},
    "tokenize": {"max_tokens": 1},
}  # fmt: skip
WRONG_RULES = {
    "c4": {"min_sentences": -1, "min_words_per_line": -1, "max_word_length": 0, "end_marks": ""},
    "fineweb": {"short_line_chars": -1, "max_feeds_per_word": -0.1, "min_terminal_lines": 12},
    "gopher_quality": {
        "min_words": -1, "max_words": -1, "min_mean_word_length": -1, "max_mean_word_length": -1,
        "max_symbol_ratio": -1, "min_stop_words": -1, "max_bullet_lines": 90,
    },
    "gopher_repetition": {"max_lines": 30},
    "language": {"min_score": 50, "keep": []},
    "length": {"min_chars": -1, "max_chars": -1, "min_words": -1, "max_words": -1, "min_lines": -1, "max_lines": -1},
    "perplexity": {
        "max_quantile": 1.5, "min_quantile": 0, "order": 9, "train_megabytes": 0, "max_perplexity": 0,
        "min_perplexity": -1,
    },
    "profanity": {"max_share": 1.0, "min_count": 0},
    "quality_classifier": {"min_score": 7.0, "strength": 0, "max_examples": 3},
    "script": {"min_share": 90, "keep": []},
    "terms": {"max_count": -1},
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in step_names() if n.startswith("data.")])
def test_every_number_of_a_step_has_its_range(name):
    assert without_range(find_step(name)) == []


@pytest.mark.parametrize("name", callees("loomwork.data.filters"))
def test_every_number_of_a_rule_has_its_range(name):
    assert without_range(find_callee(filter.step.marker("rules", Calls), name)) == []


@pytest.mark.parametrize("name", WRONG)
def test_each_setting_out_of_range_is_refused(name):
    given = {k: v for k, v in WRONG[name].items() if k not in ("column", "path")}
    with pytest.raises(ValidationError) as caught:
        find_step(f"data.{name}").settings_model(**WRONG[name])
    assert {str(fault["loc"][0]) for fault in caught.value.errors()} == set(given)


@pytest.mark.parametrize(("name", "setting"), [(n, s) for n, wrong in WRONG_RULES.items() for s in wrong])
def test_each_setting_of_a_rule_out_of_range_is_refused(name, setting, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    examples = dict.fromkeys(("good", "bad"), tmp_path / "a.txt")
    needed = {"quality_classifier": examples, "script": {"keep": ["Han"]}, "language": {"keep": ["en"]}}
    given = {**needed.get(name, {}), setting: WRONG_RULES[name][setting]}
    with pytest.raises(InputError, match=rf"^{name}: {setting} is "):
        checked_calls(filter.step.marker("rules", Calls), [{name: given}])


def test_a_recipe_is_refused_at_the_line_before_its_first_step(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "r.yaml").write_text(
        f"steps:\n  raw: {{use: data.read, path: {tmp_path}/a.txt}}\n"
        "  tidy:\n    use: data.clean\n    data: $raw\n    boilerplate_share: .nan\n"
        "  one: {use: data.exact_dedup, data: $tidy, columns: []}\n"
        "  kept: {use: data.filter, data: $one, rules: [{profanity: {words: [a], max_share: 1.0}}]}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.yaml")
    told = re.findall(r"r\.yaml:(\d+): (.*)", str(caught.value))
    assert told == [
        ("6", "step 'tidy': boilerplate_share is nan; boilerplate_share should be less than or equal to 1"),
        ("7", "step 'one': columns is []; columns should have at least 1 item"),
        ("8", "step 'kept': rules: profanity: max_share is 1.0; should be less than 1"),
    ]
