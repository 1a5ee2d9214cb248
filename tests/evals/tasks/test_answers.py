"""Filters give what lm-evaluation-harness' filters give."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.evals.tasks.answers import apply, check_filter
from loomwork.evals.tasks.task import Pipeline, Step

TEXTS = [
    "",
    " so 3 + 4 = 7\n#### 7 ",
    "The answer is (B).",
    "answer: C",
    "Guilty of Romance, not Guilty",
    "no number here",
    "#### 1,234.50\n#### -9",
    "PERSON: Ann $$ location: Brno, none\ncompany: x",
    "[('Ann', 'NOUN'), ('goes', 'VERB')]",
    "(A) (B)",
    "true! YES. :B",
]
DOCUMENT = {"choices": ["Guilty", "Guilty of Romance", "yes?"]}
PIPELINES: list[list[dict[str, Any]]] = [
    [{"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"}],
    [
        {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
        {"function": "take_first"},
    ],
    [{"function": "regex", "regex_pattern": "(x)?(y)?", "fallback": "none"}, {"function": "take_first"}],
    [{"function": "regex"}, {"function": "majority_vote"}, {"function": "take_first"}],
    [{"function": "take_first_k", "k": 2}, {"function": "lowercase"}, {"function": "majority_vote"}],
    [{"function": "remove_whitespace"}, {"function": "uppercase"}],
    [{"function": "map", "mapping_dict": {"": 0, "answer: C": 2}, "default_value": -1}, {"function": "take_first"}],
    [{"function": "format_span"}],
    [{"function": "regex_pos"}],
    [
        {
            "function": "multi_choice_regex",
            "regex_pattern": r"\(([A-Z])\)",
            "ignore_case": True,
            "ignore_punctuation": True,
        },
        {"function": "take_first"},
    ],
    [
        {
            "function": "multi_choice_regex",
            "regex_pattern": "(\\([A-Z]\\))",
            "regexes_to_ignore": ["not .*"],
            "group_select": 0,
        }
    ],
]


def theirs(steps: list[dict[str, Any]], answers: list[list[str]]) -> list[Any]:
    from lm_eval.api.instance import Instance
    from lm_eval.filters import build_filter_ensemble

    parts = [[s["function"], {k: v for k, v in s.items() if k != "function"}] for s in steps]
    instances = [Instance("generate_until", DOCUMENT, ("",), 0, ("t", 0, 1), resps=list(a)) for a in answers]
    build_filter_ensemble("x", parts).apply(instances)
    return [i.filtered_resps["x"] for i in instances]


def ours(steps: list[dict[str, Any]], answers: list[list[str]]) -> list[Any]:
    made = [Step(s["function"], {k: v for k, v in s.items() if k != "function"}) for s in steps]
    assert [check_filter(s.name, s.settings) for s in made] == [None] * len(made)
    return [apply(Pipeline("x", tuple(made)), a, DOCUMENT) for a in answers]


@pytest.mark.parametrize("steps", PIPELINES, ids=lambda s: ">".join(x["function"] for x in s))
def test_filters_are_lm_evals(shipped, steps) -> None:
    answers = [[text, TEXTS[-1 - i], text] for i, text in enumerate(TEXTS)]
    assert ours(steps, answers) == theirs(steps, answers)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="AB()#: 17.,-gG\n", max_size=14), min_size=2, max_size=4))
def test_filters_are_lm_evals_on_any_text(answers) -> None:
    pytest.importorskip("lm_eval.filters", reason="lm-eval is not installed")
    for steps in (PIPELINES[1], PIPELINES[2], PIPELINES[4], PIPELINES[5]):
        assert ours(steps, [answers]) == theirs(steps, [answers])


def test_a_function_of_the_task_filters() -> None:
    pipeline = Pipeline(
        "x", (Step("custom", {"filter_fn": lambda answers, docs: [[*a, docs[0]["q"]] for a in answers]}),)
    )
    assert apply(pipeline, ["a"], {"q": "b"}) == ["a", "b"]


def test_what_cannot_be_filtered() -> None:
    with pytest.raises(InputError, match=r"takes 3 answers, and there are 1\n.*repeats"):
        apply(Pipeline("x", (Step("take_first_k", {"k": 3}),)), ["a"], {})
    with pytest.raises(InputError, match="needs a column 'choices'"):
        apply(Pipeline("x", (Step("multi_choice_regex"),)), ["a"], {"choice": []})
    # There lm-eval ends with an IndexError; one short answer must not end an evaluation.
    assert apply(Pipeline("x", (Step("regex", {"regex_pattern": "a", "group_select": 2}),)), ["aa"], {}) == [
        "[invalid]"
    ]
