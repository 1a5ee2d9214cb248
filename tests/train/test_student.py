"""A student of some of its teacher's layers: transformers opens it, and its numbers are the cut model's."""

from __future__ import annotations

import pytest
import torch
import transformers

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.models.folder import read_about
from loomwork.train.student import spread, student


def test_spread_is_distilberts_choice_of_layers():
    """scripts/extract_distilbert.py of transformers takes 0, 2, 4, 7, 9, 11 of twelve."""
    assert spread(12, 6) == [0, 2, 4, 7, 9, 11]
    assert spread(6, 3) == [0, 2, 5]
    assert spread(6, 1) == [0]
    assert spread(6, 6) == [0, 1, 2, 3, 4, 5]


def outputs(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=ids).to_tuple()[0]


CAUSAL = {
    "llama": lambda c: transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=2, **c)),
    "qwen3": lambda c: transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(num_key_value_heads=2, head_dim=8, use_sliding_window=True, sliding_window=3,
                                 max_window_layers=2, **c)),
    "gpt2": lambda c: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=c["vocab_size"], n_embd=32, n_layer=4, n_head=4)),
    "gpt_neox": lambda c: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**c)),
}  # fmt: skip


@pytest.mark.parametrize("family", CAUSAL)
def test_causal_families(family, tmp_path, run_step):
    config = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4)
    torch.manual_seed(0)
    model = CAUSAL[family](config)
    model.save_pretrained(tmp_path / "model")
    made, card = run_step(student, teacher=Model(tmp_path / "model"), layers=[0, 2])
    assert card.metrics["layers"] == 2
    found, loaded = type(model).from_pretrained(made.path, output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 4)
    for at in (3, 1):
        del layers[at]
    for number, layer in enumerate(layers):  # the place of its keys and values in a cache
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = number
    model.config.num_hidden_layers = 2
    if family == "qwen3":
        assert found.config.layer_types == ["full_attention", "sliding_attention"]
        model.config.layer_types = found.config.layer_types
    ids = torch.arange(24).view(2, 12)
    torch.testing.assert_close(outputs(found, ids), outputs(model, ids))


def test_an_encoder_keeps_its_kind_and_its_first_state(minilm, run_step):
    made, _ = run_step(student, teacher=minilm, keep=3)
    theirs = transformers.AutoModel.from_pretrained(minilm.path)
    ours, loaded = transformers.AutoModel.from_pretrained(made.path, output_loading_info=True)
    assert not loaded["missing_keys"]
    assert ours.config.num_hidden_layers == 3
    ids = torch.tensor([[101, 7592, 2088, 102]])
    with torch.no_grad():
        mine, whole = ours(ids, output_hidden_states=True), theirs(ids, output_hidden_states=True)
    torch.testing.assert_close(mine.hidden_states[1], whole.hidden_states[1])
    about = read_about(made)
    assert (about.task, about.training["layers"]) == ("embed", [0, 2, 5])
    assert about.pooling == read_about(minilm).pooling


def test_a_real_model_with_all_layers_is_itself(stories, run_step):
    made, _ = run_step(student, teacher=stories, keep=5)
    ids = torch.arange(20)[None]
    first, second = (transformers.AutoModelForCausalLM.from_pretrained(m.path) for m in (stories, made))
    torch.testing.assert_close(outputs(first, ids), outputs(second, ids))


def test_what_cannot_be_is_refused(stories, run_step):
    with pytest.raises(InputError, match="layers or keep"):
        run_step(student, teacher=stories)
    with pytest.raises(InputError, match="layers or keep"):
        run_step(student, teacher=stories, keep=2, layers=[0])
    with pytest.raises(InputError, match="has 5 layers"):
        run_step(student, teacher=stories, keep=6)
    with pytest.raises(InputError, match="not in order"):
        run_step(student, teacher=stories, layers=[3, 1])
    with pytest.raises(InputError, match="not of the 5"):
        run_step(student, teacher=stories, layers=[0, 5])
