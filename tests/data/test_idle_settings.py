"""Settings that would be taken and ignored are refused."""

import pytest

from loomwork.core.errors import InputError
from loomwork.core.step import find_step

ROWS = [{"text": f"a line {i}", "label": "ab"[i % 2], "score": i} for i in range(10)]
SPELLING = "spelling is off, so that this has no use\n  turn it on: spelling=true"


@pytest.mark.parametrize(
    ("step", "settings", "message"),
    [
        ("clean", {"spelling_protected": ["recieve"]}, f"spelling_protected: {SPELLING}"),
        ("clean", {"spelling_common": 5}, f"spelling_common: {SPELLING}"),
        ("clean", {"spelling_dictionary": "words.txt"}, f"spelling_dictionary: {SPELLING}"),
        ("expect", {"most_duplicates": 0.0}, r"most_duplicates: .*\n  name some, as in unique: \[text\]"),
        ("expect", {"tolerance": 0.1, "group": "label"}, "tolerance, group: .*so that these have no use"),
        ("expect", {"measure": "ks", "drift": []}, "measure: `drift` names no column"),
        ("expect", {"min_rows": 5, "max_rows": 4}, "max_rows 4 is below min_rows 5"),
        (
            "expect",
            {"columns": {"text": {"min_chars": 9, "max_chars": 3}}},
            "max_chars of 'text' is 3, below min_chars",
        ),
        ("expect", {"columns": {"text": {"most_outside": 0.1}}}, "most_outside of 'text'"),
        ("balance", {"column": "label", "shares": {"a": 1, "b": 1}, "temperature": 2.0}, "temperature: shares say"),
        ("mix", {"weights": {"one": 1}, "temperature": 1.0}, "temperature: weights are the shares"),
        ("redact", {"key_from": "MY_KEY"}, "key_from: no kind is pseudonymised"),
        ("redact", {"key_from": "MY_KEY", "kinds": {"email": "drop"}}, "key_from: no kind is pseudonymised"),
    ],
)
def test_a_setting_without_use_is_refused(step, settings, message, make_dataset, run_step):
    data = make_dataset(ROWS)
    with pytest.raises(InputError, match=message):
        run_step(find_step(f"data.{step}").function, data={"one": data} if step == "mix" else data, **settings)


def test_what_is_not_given_has_its_default(make_dataset, run_step):
    data = make_dataset([*ROWS, ROWS[0]])
    made, _ = run_step(find_step("data.expect").function, data=data, unique=["text"])
    assert made.ruling.decision == "refuse"
    _, card = run_step(find_step("data.mix").function, data={"one": data, "two": make_dataset(ROWS[:5])})
    assert card.metrics["share: one"] == pytest.approx(11 / 16)
