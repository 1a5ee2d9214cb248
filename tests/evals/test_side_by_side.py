"""Systems side by side: the numbers of the page are those of the tests below it, and the page holds them."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.classification import classification
from loomwork.evals.side_by_side import side_by_side
from loomwork.stats.paired_binary import mcnemar

SHARES = {"old": 0.7, "new": 0.85, "same": 0.7}


@pytest.fixture(scope="module")
def answers() -> dict[str, list[dict]]:
    generator = np.random.default_rng(5)
    base = generator.random(300)
    made = {}
    for name, share in SHARES.items():
        noise = 0.05 * generator.random(300)
        made[name] = [
            {
                "text": f"Question {i}: which <b>one</b>?",
                "label": "xy"[i % 2],
                "prediction": "xy"[i % 2] if base[i] + noise[i] < share else "xy"[1 - i % 2],
                "sure": float(0.5 + base[i] / 2),
                "kind": "ab"[i % 3 == 0],
            }
            for i in range(300)
        ]
    return made


@pytest.fixture
def scored(answers, make_dataset, run_step):
    """Scores of each system over one dataset: its row ids stand for the items."""
    data = make_dataset([{k: r[k] for k in ("text", "label", "kind")} for r in answers["old"]])
    ids = [r["row_id"] for r in data.rows()]
    found = {}
    for name, rows in answers.items():
        scores, _ = run_step(classification, data=make_dataset(rows), probabilities="sure")
        items = scores.items()
        import pyarrow as pa
        import pyarrow.parquet as pq

        items = items.set_column(items.column_names.index("row_id"), "row_id", pa.array(ids, pa.binary(16)))
        pq.write_table(items, scores.path / "items" / "00000.parquet")
        text = (scores.path / "scores.json").read_text()
        own = scores.score().data
        (scores.path / "scores.json").write_text(text.replace(own, data.digest))
        found[name] = scores
    return data, found


def test_the_numbers(scored, answers, run_step):
    data, scores = scored
    made, card = run_step(
        side_by_side, scores=scores, data=data, baseline="old", by=["kind"], metrics=["accuracy", "macro_f1"]
    )
    report = made.read_json("comparison.json")
    by = {(d["metric"], d["system"]): d for d in report["differences"]}
    right = {n: np.array([r["label"] == r["prediction"] for r in rows]) for n, rows in answers.items()}
    new = by["accuracy", "new"]
    assert new["difference"] == pytest.approx(right["new"].mean() - right["old"].mean())
    assert new["low"] < new["difference"] < new["high"]
    wins, losses = int((right["new"] & ~right["old"]).sum()), int((~right["new"] & right["old"]).sum())
    assert new["p_value"] == pytest.approx(mcnemar(wins, losses), rel=0.6, abs=3e-4)
    assert new["adjusted"] <= 0.05 < by["accuracy", "same"]["adjusted"]
    assert by["macro_f1", "new"]["difference"] > 0
    same, old, best = right["same"], right["old"], right["new"]
    assert report["items"]["counts"] == {
        "new does better than old": int((best & ~old).sum()),
        "old does better than new": int((~best & old).sum()),
        "same does better than old": int((same & ~old).sum()),
        "old does better than same": int((~same & old).sum()),
        "all alike": int(((same == old) & (best == old)).sum()),
    }
    assert [c["system"] for c in report["calibration"]] == ["old", "new", "same"]
    for told in report["calibration"]:  # as evals.classification itself has it
        own = scores[told["system"]].score("calibration_error").to_json()
        assert {k: told[k] for k in ("value", "unit", "interval", "n")} == {
            k: own[k] for k in ("value", "unit", "interval", "n")
        }
        assert sum(b["items"] for b in told["bins"]) == told["n"] == 300
    page = (made.path / "page.html").read_text("utf-8")
    calibration = page[page.index('id="calibration"') : page.index('id="contamination"')]
    for name in SHARES:
        assert f">{name}</text>" in calibration
    assert calibration.count("n = 300") >= 3
    assert {r["value"] for r in report["slices"]["rows"]} == {"a", "b"}
    assert len(card.notes) == 4 + 3


def test_the_effect_that_could_be_found_is_one_that_the_adjusted_p_value_finds(scored, run_step):
    """Of more comparisons each must be clearer; and at 80 % power its p-value is far below the strictest level."""
    two = {name: scored[1][name] for name in ("old", "new")}
    effects = {}
    for count, some, metrics in (
        (1, two, ["accuracy"]),
        (2, scored[1], ["accuracy"]),
        (4, scored[1], ["accuracy", "macro_f1"]),
    ):
        made, card = run_step(side_by_side, scores=some, baseline="old", metrics=metrics)
        report = made.read_json("comparison.json")
        (own,) = (d for d in report["differences"] if (d["metric"], d["system"]) == ("accuracy", "new"))
        effects[count] = own["minimum_detectable_effect"]
        level = f" at alpha / {count}, which Holm's" if count > 1 else ""
        assert any(f"a true difference of {effects[count]:.4f} is found 4 times in 5{level}" in n for n in card.notes)
    normal = NormalDist()
    for count, effect in effects.items():
        strict, alone = (normal.inv_cdf(1 - 0.025 / m) + normal.inv_cdf(0.8) for m in (count, 1))
        assert effect / effects[1] == pytest.approx(strict / alone)


def test_what_was_set_otherwise_is_named(answers, make_dataset, run_step):
    """Also of scorers of predictions, which know no model."""
    data = make_dataset([r | {"second": r["prediction"]} for r in answers["old"]])
    scores = {
        "a": run_step(classification, data=data)[0],
        "b": run_step(classification, data=data, prediction="second", classes=["x", "y"])[0],
    }
    made, _ = run_step(side_by_side, scores=scores)
    assert made.read_json("comparison.json")["settings"]["words"] == (
        "classes: not set in a, ['x', 'y'] in b; prediction: prediction in a, second in b"
    )


def test_the_page_needs_no_network_and_escapes_what_it_shows(scored, run_step):
    data, scores = scored
    made, _ = run_step(side_by_side, scores=scores, data=data, by=["kind", "length"])
    page = (made.path / "page.html").read_text("utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<b>one</b>" not in page
    assert "&lt;b&gt;one" in page
    for part in ("Paired differences", "Slices", "Calibration", "Contamination", "Items side by side"):
        assert part in page


def test_what_cannot_be_compared(scored, make_dataset, run_step):
    _, scores = scored
    with pytest.raises(InputError, match="nothing to compare"):
        run_step(side_by_side, scores={"old": scores["old"]})
    with pytest.raises(InputError, match="no system 'odl'"):
        run_step(side_by_side, scores=scores, baseline="odl")
    with pytest.raises(InputError, match="not every system has"):
        run_step(side_by_side, scores=scores, metrics=["acc"])
    other, _ = run_step(classification, data=make_dataset([{"label": "x", "prediction": "x"}] * 3))
    with pytest.raises(InputError, match="not measured alike"):
        run_step(side_by_side, scores={"old": scores["old"], "other": other})
