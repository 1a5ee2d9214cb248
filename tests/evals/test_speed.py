from __future__ import annotations

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.speed import speed


def test_two_encoders_are_timed_in_turn(minilm, cranfield, make_dataset, run_step):
    rows = [{"passage": " ".join(row["passage"].split()[:20])} for row in cranfield[:10]]
    found, card = run_step(speed, models={"a": minilm, "b": minilm}, data=make_dataset(rows), texts=8, rounds=2)
    report = found.read_json("speed.json")
    assert report["texts"] == 8
    for name in ("a", "b"):
        one = report["models"][name]
        assert one["texts_per_second"] == pytest.approx(1 / one["wall_seconds_per_text"])
        assert 0 < one["query_p50_seconds"] < 8 / one["texts_per_second"]
        assert one["bytes"] > 20_000_000
        assert 22_000_000 < one["stored_numbers"] < 23_000_000  # MiniLM-L6 has 22.7 M parameters
        assert card.metrics[f"{name}.bytes"] == one["bytes"]
        assert card.metrics[f"{name}.cpu_seconds_per_text"] > 0


def test_nothing_to_time_is_refused(minilm, make_dataset, run_step):
    with pytest.raises(InputError, match="has no model to time"):
        run_step(speed, models={}, data=make_dataset([{"passage": "a"}]))
    with pytest.raises(InputError, match="no column"):
        run_step(speed, models={"a": minilm}, data=make_dataset([{"body": "a"}]))
