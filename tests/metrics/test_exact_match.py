"""Exact match, as Hugging Face evaluate has it (the port of it in lm-eval is the oracle)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.metrics.exact_match import exact_match

TEXT = st.text(alphabet="aAbÉß1 2,.!$。", max_size=6)


@pytest.mark.parametrize(
    ("prediction", "reference", "settings", "same"),
    [
        ("cat", "cat", {}, True),
        ("Cat", "cat", {}, False),
        ("Cat", "cat", {"ignore_case": True}, True),
        ("cat!", "cat", {"ignore_punctuation": True}, True),
        ("cat。", "cat", {"ignore_punctuation": True}, False),  # of ASCII only
        ("cat33", "cat", {"ignore_numbers": True}, True),
        ("the cat", "cat", {"regexes_to_ignore": ["^the "]}, True),
        ("YELLING", "yelling", {"regexes_to_ignore": ["yell"], "ignore_case": True}, False),  # before the case
        (" cat", "cat", {}, False),
    ],
)
def test_what_is_ignored(prediction, reference, settings, same) -> None:
    assert exact_match(prediction, reference, **settings) is same


@settings(deadline=None)
@given(TEXT, TEXT, st.booleans(), st.booleans(), st.booleans(), st.none() | st.just([r"[,$]", "^a"]))
def test_it_is_what_evaluate_computes(prediction, reference, case, punctuation, numbers, regexes) -> None:
    theirs = pytest.importorskip("lm_eval.api.metrics", reason="lm-eval is not installed").exact_match_hf_evaluate
    chosen = dict(ignore_case=case, ignore_punctuation=punctuation, ignore_numbers=numbers, regexes_to_ignore=regexes)
    wanted = theirs(predictions=[prediction], references=[reference], **chosen)["exact_match"]
    assert exact_match(prediction, reference, **chosen) == wanted
