from __future__ import annotations

from loomwork.evals.sample import sample


def test_a_real_model_tells_stories_the_same_each_time(stories, run_step):
    settings = {"model": stories, "prompts": ["Once upon a time", ""], "max_tokens": 12}
    one, card = run_step(sample, **settings)
    two, _ = run_step(sample, **settings)
    written = one.read_json("samples.json")
    assert [s["prompt"] for s in written] == ["Once upon a time", ""]
    assert all(len(s["text"]) > 5 for s in written)
    assert one.read_json("samples.json") == two.read_json("samples.json")
    assert card.metrics["samples"] == 2
    other, _ = run_step(sample, **settings, seed=8)
    assert other.read_json("samples.json")[0]["text"] != written[0]["text"]
