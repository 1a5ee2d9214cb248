from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loomwork.core.errors import InputError
from loomwork.stats.paired import Margin, better_than, not_worse_than, paired_difference


@pytest.mark.parametrize(
    ("text", "value", "relative"),
    [(0.01, 0.01, False), ("0.01", 0.01, False), ("1%", 0.01, True), (" 2.5 % ", 0.025, True), (0, 0.0, False)],
)
def test_margins(text: str | float, value: float, relative: bool) -> None:
    margin = Margin.parse(text)
    assert (margin.value, margin.relative) == (pytest.approx(value), relative)


@pytest.mark.parametrize("text", ["-0.01", "one", "1 percent", "", "%", True])
def test_what_is_no_margin(text: str) -> None:
    with pytest.raises(InputError, match="is no margin"):
        Margin.parse(text)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.sampled_from([0.0, 0.01, 0.5]))
def test_equal_scores_differ_by_exactly_zero_and_are_not_worse(values: list[float], margin: float) -> None:
    found = paired_difference(values, values, same_system=True)
    assert found.difference == found.low == found.high == 0
    other = paired_difference(values, values)
    assert other.low <= 0 == other.difference <= other.high
    assert other.low < 0 or not any(values)  # equal scores of two systems do not prove that they are equal
    assert not_worse_than(values, values, Margin(margin), same_system=True).outcome == "pass"
    assert better_than(values, values, Margin(margin)).outcome == "refuse"


def test_p_values_match_students_paired_test_on_plain_data() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(0, 1, 400)
    candidate = base + generator.normal(0.02, 0.3, 400)
    expected = stats.ttest_rel(candidate, base, alternative="greater").pvalue
    assert better_than(candidate, base, Margin(0)).p_value == pytest.approx(expected, abs=0.02)
    assert paired_difference(candidate, base).standard_error == pytest.approx(stats.sem(candidate - base))


def test_a_loss_beyond_the_margin_never_passes_and_a_tiny_one_does() -> None:
    generator = np.random.default_rng(1)
    module = np.arange(704) % 28
    base = generator.choice([1, 0.5, 1 / 3, 0], 704)
    noise = generator.normal(0, 0.05, 704)
    noise -= noise.mean()
    assert not_worse_than(base + noise - 0.016, base, Margin(0.01), clusters=module).outcome == "refuse"
    assert not_worse_than(base + noise - 0.001, base, Margin(0.01), clusters=module).outcome == "pass"
    assert not_worse_than(base + noise - 0.009, base, Margin(0.01), clusters=module).outcome == "undecided"


def test_relative_margins_are_of_the_baseline() -> None:
    generator = np.random.default_rng(2)
    base = 0.5 + generator.normal(0, 0.05, 500)
    candidate = base - 0.01 + generator.normal(0, 0.01, 500)
    assert not_worse_than(candidate, base, Margin.parse("3%")).outcome == "pass"
    assert not_worse_than(candidate, base, Margin.parse("1%")).outcome == "refuse"
    assert not_worse_than(candidate, base, Margin.parse("3%")).margin == pytest.approx(0.03 * base.mean())
    loss = not_worse_than(-base * 1.01, -base, Margin.parse("2%"))  # lower is better, turned round
    assert loss.outcome == "pass"
    assert not_worse_than(-base * 1.03, -base, Margin.parse("2%")).outcome == "refuse"
    assert better_than(-base * 0.9, -base, Margin.parse("5%")).outcome == "pass"


def test_the_minimum_detectable_effect_is_found_in_eight_of_ten_samples() -> None:
    generator = np.random.default_rng(3)
    effect = paired_difference(generator.normal(0, 1, 80), np.zeros(80)).minimum_detectable_effect
    found = [
        better_than(generator.normal(effect, 1, 80), np.zeros(80), Margin(0), seed=i).outcome == "pass"
        for i in range(300)
    ]
    assert 0.7 < np.mean(found) < 0.9


@pytest.mark.parametrize(
    ("margin", "outcomes"),
    [
        (Margin(0.01), {100: "undecided", 280: "undecided", 300: "pass"}),  # 0.99 ** 299 is 0.05
        (Margin(0.01, relative=True), {100: "undecided", 300: "undecided", 330: "pass"}),  # part of alpha is spent
    ],
)
def test_a_small_sample_without_any_loss_does_not_prove_that_there_is_none(
    margin: Margin, outcomes: dict[int, str]
) -> None:
    for items, outcome in outcomes.items():
        assert not_worse_than(np.ones(items), np.ones(items), margin).outcome == outcome
    generator = np.random.default_rng(0)
    losses = [(generator.random(100) < 0.01).astype(float) for _ in range(400)]  # truly worse by the whole margin
    passed = sum(
        not_worse_than(1 - lost, np.ones(100), margin, seed=i).outcome == "pass" for i, lost in enumerate(losses)
    )
    assert passed <= 0.05 * 400 + 3 * (0.05 * 0.95 * 400) ** 0.5


SMALL = st.integers(5, 60).flatmap(lambda n: st.lists(st.tuples(st.booleans(), st.booleans()), min_size=n, max_size=n))


@settings(max_examples=60, deadline=None)
@given(SMALL, st.floats(0, 0.3), st.sampled_from([0.01, 0.05, 0.1]))
def test_a_gate_passes_exactly_where_the_lower_bound_says_so(
    items: list[tuple[bool, bool]], margin: float, alpha: float
) -> None:
    new, base = (np.array(x, float) for x in zip(*items, strict=True))
    found = paired_difference(new, base, alpha=alpha)
    assert found.low <= found.difference <= found.high
    if abs(found.low + margin) > 1e-5:
        outcome = not_worse_than(new, base, Margin(margin), alpha=alpha).outcome
        assert (outcome == "pass") == (found.low > -margin)
    turned = paired_difference(-base, -new, alpha=alpha)  # errors, lower is better, and the systems exchanged
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high), abs=1e-5)


@pytest.mark.parametrize("differing", [1, 4, 9])
def test_rare_changes_are_bet_on_and_bound_and_decision_agree(differing: int) -> None:
    generator = np.random.default_rng(differing)
    base = generator.uniform(0.5, 1, 400)
    new = base.copy()
    new[:differing] -= generator.uniform(0, 0.4, differing)
    found = paired_difference(new, base)
    assert f"only {differing} of 400 items differ" in found.method
    assert found.low < found.difference < found.high
    for margin in np.linspace(0.001, 0.06, 12):
        decision = not_worse_than(new, base, Margin(float(margin)))
        assert (decision.outcome == "pass") == (found.low > -margin)
    assert not_worse_than(new, base, Margin(0.03)).outcome == "pass"
    assert found.minimum_detectable_effect > 0


def test_every_comparison_says_its_method() -> None:
    generator = np.random.default_rng(0)
    right = (generator.random(300) < 0.7).astype(float)
    other = (generator.random(300) < 0.7).astype(float)
    changes = int((right != other).sum())
    assert f"{changes} of 300 right-or-wrong items differ" in paired_difference(right, other).method
    module = np.arange(300) % 30
    assert "cluster bootstrap" in paired_difference(right, other, clusters=module).method
    assert "item bootstrap" in paired_difference(generator.random(300), other).method
    assert "one system" in paired_difference(right, right, same_system=True).method


def test_a_number_that_is_missing_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        not_worse_than([1.0, np.nan, 0.5], [1.0, 1.0, 0.5], Margin(0.1))
