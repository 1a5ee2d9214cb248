"""A setting that a step has no use for is refused, not taken and ignored."""

from __future__ import annotations

import pytest

from loomwork.core import key
from loomwork.core.errors import InputError
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
