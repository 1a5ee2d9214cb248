"""The packed forward against transformers' LlamaForCausalLM, one text at a time."""

from __future__ import annotations

import pytest
import torch
from loomwork.models.packed_llama import PackedLlama, not_covered, pack_rows
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM


def small(**changes) -> LlamaForCausalLM:
    torch.manual_seed(0)
    settings = {
        "vocab_size": 97,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 40,
        "initializer_range": 0.2,  # far from the uniform distribution
        "tie_word_embeddings": True,
    }
    return LlamaForCausalLM(LlamaConfig(**settings | changes))


def some_rows() -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    lengths = [[13, 2, 20], [40], [5, 5, 5, 5], [39, 1]]
    return [[torch.randint(0, 97, (n,), generator=generator) for n in row] for row in lengths]


def transformers_loss(model: LlamaForCausalLM, rows: list[list[torch.Tensor]]) -> torch.Tensor:
    """The mean over all targets, each text alone."""
    texts = [t for row in rows for t in row if len(t) > 1]
    losses = [model(input_ids=t[None], labels=t[None]).loss * (len(t) - 1) for t in texts]
    return sum(losses) / sum(len(t) - 1 for t in texts)


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"num_key_value_heads": 4},
                                     {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}])  # fmt: skip
def test_loss_and_gradients_are_those_of_the_texts_alone(changes, monkeypatch):
    monkeypatch.setattr("loomwork.models.packed_llama.CHUNK_ROWS", 37)
    model, rows = small(**changes), some_rows()
    packed = PackedLlama(model)
    loss, expected = packed(pack_rows(rows, 40)), transformers_loss(model, rows)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    (loss * 3).backward()  # a factor in front must reach every gradient
    (expected * 3).backward()
    gradients = {n: p.grad for n, p in model.named_parameters()}
    for parameter in packed.parameters():
        parameter.data = parameter.grad  # so that the splitting back of joined weights is the one that is tested
    for name, found in packed.to_transformers().named_parameters():
        wanted = gradients[name]
        assert (found - wanted).norm() <= 1e-4 * wanted.norm(), name


def test_a_real_model_has_its_own_loss(test_data):
    model = LlamaForCausalLM.from_pretrained(test_data / "models" / "stories260K-hf", dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    rows = [[torch.randint(3, 512, (n,), generator=generator) for n in row] for row in ([300, 200], [512], [7])]
    with torch.no_grad():
        found = PackedLlama(model)(pack_rows(rows, 512))
        assert float(found) == pytest.approx(float(transformers_loss(model, rows)), abs=1e-5)


def test_bfloat16_is_near_and_its_gradients_are_float32():
    model, rows = small(initializer_range=0.05), some_rows()
    packed = PackedLlama(model, torch.bfloat16)
    loss = packed(pack_rows(rows, 40))
    loss.backward()
    assert loss.item() == pytest.approx(transformers_loss(model, rows).item(), abs=0.02)
    assert {p.grad.dtype for p in packed.parameters()} == {torch.float32}


def test_the_weights_come_back_as_they_went_in():
    for changes in ({}, {"tie_word_embeddings": False}):
        model = small(**changes)
        back = PackedLlama(model).to_transformers().state_dict()
        assert all(torch.equal(w, back[n]) for n, w in model.state_dict().items())


def test_what_is_not_covered_says_why():
    assert not_covered(LlamaConfig()) == ""
    assert "mlp_bias" in not_covered(LlamaConfig(mlp_bias=True))
    assert "'gpt2'" in not_covered(GPT2Config())
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(ValueError, match="rope_type"):
        PackedLlama(small(rope_parameters=scaled))
