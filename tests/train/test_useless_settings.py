"""A setting that a step has no use for is refused, not taken and ignored."""

from __future__ import annotations

import pytest

from loomwork.core import key
from loomwork.core.errors import InputError, RecipeError
from loomwork.core.recipe import load_recipe
from loomwork.core.step import find_step
from loomwork.learn.settings import Training


def test_embed_runs_in_one_process():
    assert not find_step("train.embed").parallel


def test_distilling_states_splits_no_weights(stories, make_dataset, run_step):
    step = find_step("train.distill")
    assert step.parallel
    data = make_dataset([{"text": f"text {i}"} for i in range(4)])
    with pytest.raises(InputError, match=r"train\.distill takes no shard: hidden_weight compares states"):
        run_step(step.function, base=stories, teacher=stories, data=data, shard=True, hidden_weight=1.0)


@pytest.mark.parametrize(
    ("setting", "value"), [("part_tokens", 9), ("keep_every", 2), ("shard", True), ("compile", True)]
)
def test_embed_says_which_settings_it_has_no_use_for(setting, value, small_bert, make_dataset, run_step):
    data = make_dataset([{"query": f"q {i}", "passage": f"p {i}"} for i in range(4)])
    with pytest.raises(InputError, match=f"train.embed takes no {setting}: a batch is computed whole"):
        run_step(find_step("train.embed").function, base=small_bert, data=data, **{setting: value})


def test_all_that_are_not_at_their_default_are_named():
    Training(seed=3).refuse("x", ["shard", "looks"], "why")
    with pytest.raises(InputError, match="x takes no looks, shard: why"):
        Training(shard=True, looks=2).refuse("x", ["looks", "shard"], "why")


def test_a_precision_that_cannot_train_is_refused(monkeypatch):
    monkeypatch.setenv("LOOMWORK_PRECISION", "int8")
    key.precision.cache_clear()
    try:
        with pytest.raises(InputError, match=r"'int8'[\s\S]*float32 or bfloat16 or float16"):
            key.precision()
    finally:
        key.precision.cache_clear()


@pytest.mark.parametrize(
    ("step", "settings", "told"),
    [
        ("classify", {"patience": 2}, "patience needs held-out data"),
        ("classify", {"adapter": "lora", "freeze_layers": 2}, "lora takes no freeze_layers"),
        ("sft", {"rank": 64}, "none takes no rank"),
        ("classify", {"target": "number", "class_weights": "balanced"}, "are for classes"),
        ("classify", {"target": "number", "label_smoothing": 0.1}, "are for classes"),
        ("classify", {"weights": "w", "class_weights": "balanced"}, "weights and class_weights are both given"),
        ("tag", {"train_only": ["norm"], "freeze_layers": 3}, "freeze_layers and train_only are both given"),
        ("tag", {"holdout": "$raw", "patience": 1, "stop_on": "macro_f1"}, "stop_on is 'macro_f1'"),
        ("embed", {"stop_on": "mrr_in_batch"}, "patience is 0"),
        ("pretrain", {"holdout": "$raw", "patience": 1, "stop_on": "accuracy"}, "stop_on is 'accuracy'"),
        ("tokenizer", {"vocabulary": 100}, "vocabulary"),
    ],
)
def test_a_recipe_is_told_before_its_first_step(step, settings, told, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "label": "b"}\n')
    base = {} if step == "tokenizer" else {"base": "x@y"}
    steps = {
        "raw": {"use": "data.read", "path": str(file)},
        "model": {"use": f"train.{step}", "data": "$raw", **base, **settings},
    }
    with pytest.raises(RecipeError, match=told):
        load_recipe({"steps": steps})
    for name in settings.keys() - {"holdout"}:  # and it is these settings that are wrong
        del steps["model"][name]
    load_recipe({"steps": steps})
