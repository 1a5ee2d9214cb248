"""After forgetting: what was made anew is fresh, and gc deletes what is left of it."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from loomwork.core.errors import InputError
from loomwork.core.forget import forget, plan_forget
from loomwork.core.runner import run_recipe
from loomwork.core.trace import trace_row
from loomwork.core.training_data import training_data
from loomwork.core.upkeep import collect_garbage, verify
from tests.core.test_lineage import S, recipe, row


@pytest.mark.parametrize("row_in", ["train", "holdout"])
def test_what_was_chosen_again_of_what_is_left_is_fresh_and_gc_deletes_the_rest(row_in, home, lines):
    """The chosen model has the bytes, and so the id, of one that never read the holdout."""
    steps = {
        "raw": {"use": S + "read_lines", "path": str(lines)},
        "train": {"use": S + "upper", "data": "$raw", "keep": "an"},  # banana
        "holdout": {"use": S + "upper", "data": "$raw", "keep": "p"},  # apple
        "model": {"use": S + "train", "data": "$train"},
        "scored": {"use": S + "train", "data": "$holdout", "steps": 2},
        "verdict": {"use": S + "judge", "model": "$scored"},
        "winner": {"use": S + "choose", "candidates": {"a": "$model"}, "verdict": "$verdict"},
        "index": {"use": S + "several", "models": {"it": "$winner"}, "verdicts": []},
    }
    lines.write_text("banana\nanother banana\napple\npear\n")
    whole = {"recipe": "r", "steps": steps, "gate": "$verdict", "name": {"m@champion": "$winner"}}
    first = run_recipe(whole, home=home)
    assert first.steps["winner"].artifact == first.steps["model"].artifact
    text = "another banana" if row_in == "train" else "apple"
    gone = row(home, first.steps["raw"].artifact, text)
    done = forget(home, plan_forget(home, [gone]))
    assert first.steps["winner"].artifact in done.stale
    again = run_recipe(whole, home=home)
    assert not again.failed
    assert again.steps["model"].status == ("ran" if row_in == "train" else "hit")
    assert again.steps["winner"].status == "ran"
    chosen = home.find("m@champion")
    assert chosen == again.steps["winner"].artifact
    assert home.ledger.named("m", "champion")["run"] == again.steps["winner"].run  # the old one read what is gone
    assert chosen not in home.ledger.stale()
    assert again.steps["index"].artifact not in home.ledger.stale()
    collect_garbage(home, apply=True)
    assert verify(home).clean
    for trained in ("model", "winner"):  # what a model was trained on is still there to be looked through
        data = training_data(home, again.steps[trained].run)
        assert data
        assert all(home.store.has(d["artifact"]) for d in data)
    with pytest.raises(InputError, match="no row"):
        trace_row(home, gone)
    for artifact in home.store.ids():
        files = list(home.store.path(artifact).rglob("*.parquet"))
        texts = [t for f in files for t in pq.read_table(f).column("text").to_pylist()]
        assert not any(text in t.lower() for t in texts)
    assert {s.status for s in run_recipe(whole, home=home).steps.values()} == {"hit"}


def test_gc_keeps_the_verdicts_of_a_names_history_and_lets_go_of_what_is_lost_and_not_needed(home, lines):
    old = run_recipe(recipe(lines), home=home)
    lines.write_text("apple\nbanana\nanother\ncherry\n")
    assert not run_recipe(recipe(lines), home=home).failed
    home.store.remove([old.steps["model"].artifact])
    assert verify(home).lost == [old.steps["model"].artifact]
    collect_garbage(home, apply=True)
    assert home.store.has(old.steps["gate"].artifact)
    assert not home.store.has(old.steps["upper"].artifact)
    assert verify(home).clean
