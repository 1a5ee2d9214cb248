from __future__ import annotations

import pytest

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.core.score import Ruling, Verdict, write_verdict
from loomwork.evals.pick import pick


@pytest.fixture
def model(tmp_path):
    def make(name: str, size: int) -> Model:
        folder = tmp_path / name
        (folder / "1_Pooling").mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(name.encode() * size)
        (folder / "1_Pooling" / "config.json").write_text("{}")
        return Model(folder)

    return make


@pytest.fixture
def verdict(tmp_path):
    made = iter(range(100))

    def make(decision: str, subject: Model, p_value: float | None = 0.001) -> Verdict:
        folder = tmp_path / f"verdict{next(made)}"
        folder.mkdir()
        numbers = {} if p_value is None else {"p_value": p_value}
        write_verdict(folder, Ruling(decision, f"because {decision}", 0.05, numbers, subject.digest))
        return Verdict(folder)

    return make


def test_the_smallest_that_passed_is_taken_whole(model, verdict, run_step):
    tuned, large, small, tiny = model("tuned", 100), model("large", 60), model("small", 30), model("tiny", 5)
    candidates = {"large": large, "small": small, "tiny": tiny}
    verdicts = {
        "large": verdict("pass", large),
        "small": verdict("pass", small),
        "tiny": verdict("refuse", tiny),
    }
    taken, card = run_step(pick, candidates=candidates, verdicts=verdicts, fallback=tuned)
    assert taken.id == small.id
    assert card.notes[0].startswith("took small: 152 bytes")
    assert any("tiny" in n and "refuse: because refuse" in n for n in card.notes)
    assert any("large" in n and "passed, but is larger" in n for n in card.notes)


def test_nothing_passed_takes_the_fallback(model, verdict, run_step):
    tuned, small = model("tuned", 100), model("small", 30)
    verdicts = {"small": verdict("undecided", small)}
    taken, card = run_step(pick, candidates={"small": small}, verdicts=verdicts, fallback=tuned)
    assert taken.id == tuned.id
    assert "took the fallback" in card.notes[0]
    assert card.metrics["passed"] == 0


def test_verdicts_must_be_on_the_candidates(model, verdict, run_step):
    tuned, small, other = model("tuned", 100), model("small", 30), model("other", 7)
    with pytest.raises(InputError, match="candidate has no verdict"):
        run_step(pick, candidates={"small": small}, verdicts={}, fallback=tuned)
    with pytest.raises(InputError, match="is on model"):
        run_step(pick, candidates={"small": small}, verdicts={"small": verdict("pass", other)}, fallback=tuned)


def test_several_chances_to_pass_are_corrected_for(model, verdict, run_step):
    tuned, large, small = model("tuned", 100), model("large", 60), model("small", 30)
    candidates = {"large": large, "small": small}
    verdicts = {"large": verdict("pass", large, 0.01), "small": verdict("pass", small, 0.04)}
    taken, card = run_step(pick, candidates=candidates, verdicts=verdicts, fallback=tuned)
    assert taken.id == small.id  # both at once: 2 * 0.01 and 1 * 0.04 are below 0.05
    verdicts["large"] = verdict("undecided", large, 0.2)
    taken, card = run_step(pick, candidates=candidates, verdicts=verdicts, fallback=tuned)
    assert taken.id == tuned.id  # alone it is one of two that were tried: 2 * 0.04
    assert any("passed alone, not among 2 (corrected p = 0.08)" in note for note in card.notes)
    assert "at most 5% of samples" in card.notes[-1]
    alone = {"small": verdict("pass", small, 0.04)}
    assert run_step(pick, candidates={"small": small}, verdicts=alone, fallback=tuned)[0].id == small.id


def test_a_pass_without_a_p_value_is_no_better_than_its_alpha(model, verdict, run_step):
    tuned, large, small = model("tuned", 100), model("large", 60), model("small", 30)
    alone = {"small": verdict("pass", small, None)}
    assert run_step(pick, candidates={"small": small}, verdicts=alone, fallback=tuned)[0].id == small.id
    verdicts = {"small": verdict("pass", small, None), "large": verdict("refuse", large)}
    candidates = {"small": small, "large": large}
    assert run_step(pick, candidates=candidates, verdicts=verdicts, fallback=tuned)[0].id == tuned.id
    first = {"small": verdict("first", small, None), "large": verdict("refuse", large)}
    assert run_step(pick, candidates=candidates, verdicts=first, fallback=tuned)[0].id == small.id
