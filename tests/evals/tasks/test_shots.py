"""Examples: never the question itself, the same for the same seed, and those of lm-eval's samplers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.evals.tasks.shots import Sampler

ROWS = st.lists(st.fixed_dictionaries({"q": st.integers(0, 6)}), min_size=8, max_size=30)
NAMES: Any = st.sampled_from(["default", "first_n"])


@settings(deadline=None)
@given(rows=ROWS, sampler=NAMES, leave_out=st.booleans(), n=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_question_is_never_among_its_examples(rows, sampler, leave_out, n, seed) -> None:
    """Also not as a copy: rows repeat here."""
    drawing = Sampler(rows, sampler, seed, leave_out)
    for question in rows:
        others = sum(row != question for row in rows)
        try:
            drawn = drawing.draw(n, question)
        except InputError:
            assert others < n or len(rows) < n + leave_out
            continue
        assert len(drawn) == n
        assert question not in drawn
        assert all(row in rows for row in drawn)


@settings(deadline=None)
@given(rows=ROWS, sampler=NAMES, leave_out=st.booleans(), seed=st.integers(0, 99))
def test_the_same_seed_draws_the_same(rows, sampler, leave_out, seed) -> None:
    question = {"q": -1}
    one, two = (Sampler(rows, sampler, seed, leave_out) for _ in range(2))
    assert [one.draw(3, question) for _ in range(5)] == [two.draw(3, question) for _ in range(5)]


def test_another_seed_draws_others_and_examples_differ_from_one_another() -> None:
    rows = [{"q": i} for i in range(50)]
    draws = [tuple(r["q"] for r in Sampler(rows, "default", seed, True).draw(5, {"q": -1})) for seed in range(20)]
    assert len(set(draws)) == 20
    assert all(len(set(d)) == 5 for d in draws)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=12, max_size=30, unique=True), st.integers(0, 5), st.booleans())
def test_draws_are_those_of_lm_evals_samplers(values, n, first) -> None:
    samplers = pytest.importorskip("lm_eval.api.samplers", reason="lm-eval is not installed")
    rows = [{"q": v} for v in values]
    theirs = samplers.get_sampler("first_n" if first else "default")(list(rows), rnd=1234)
    ours = Sampler(rows, "first_n" if first else "default", 1234, leave_out=True)
    for question in rows:
        assert ours.draw(n, question) == list(theirs.sample(n, eval_doc=question))


def test_no_examples_draw_nothing() -> None:
    rows = [{"q": i} for i in range(20)]
    one, two = Sampler(rows, "default", 1, False), Sampler(rows, "default", 1, False)
    one.draw(0, rows[0])
    assert one.draw(3, {"q": -1}) == two.draw(3, {"q": -1})


def test_too_small_a_pool_is_refused() -> None:
    with pytest.raises(InputError, match="3 examples are needed, and there are 2"):
        Sampler([{"q": 1}, {"q": 2}], "first_n", 0, False).draw(3, {"q": 9})
    with pytest.raises(InputError, match="3 examples are needed, and there are 2"):
        Sampler([{"q": 1}, {"q": 2}], "default", 0, True).draw(2, {"q": 9})
    with pytest.raises(InputError, match="fewshot_split"):
        Sampler([{"q": 1}] * 5, "default", 0, True).draw(2, {"q": 1})
