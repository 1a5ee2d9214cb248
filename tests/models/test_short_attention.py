"""Attention for transformers' own models, against their sdpa."""

from __future__ import annotations

import pytest
import torch
import transformers

from loomwork.models.short_attention import NAME, register, set_attention

LENGTHS = (12, 5, 1, 9)


def small_bert() -> transformers.BertModel:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    return transformers.BertModel(
        transformers.BertConfig(**shape, vocab_size=50, initializer_range=0.2, attention_probs_dropout_prob=0.0,
                                hidden_dropout_prob=0.0)
    )  # fmt: skip


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 50, (len(LENGTHS), max(LENGTHS)), generator=generator)
    seen = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return ids, seen.long()


def states_and_gradients(model, implementation: str, ids, seen, dtype=torch.float32):
    model.set_attn_implementation(implementation)
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        states = model(input_ids=ids, attention_mask=seen).last_hidden_state
    states = states.float()[seen.bool()] if seen is not None else states.float()
    (states**3).sum().backward()
    return states.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_bert_with_padding(dtype, tolerance):
    model, (ids, seen) = small_bert(), padded()
    expected, gradients = states_and_gradients(model, "sdpa", ids, seen, dtype)
    found, ours = states_and_gradients(model, register(), ids, seen, dtype)
    assert (found - expected).norm() <= tolerance * expected.norm()
    assert ours.keys() == gradients.keys()
    whole = torch.cat([g.flatten() for g in gradients.values()])
    assert (torch.cat([ours[n].flatten() for n in gradients]) - whole).norm() <= tolerance * 2 * whole.norm()


def test_longer_texts_go_to_the_fused_kernel(monkeypatch):
    monkeypatch.setattr("loomwork.models.short_attention.SHORT", 4)
    model, (ids, seen) = small_bert(), padded()
    expected, _ = states_and_gradients(model, "sdpa", ids, seen)
    found, _ = states_and_gradients(model, register(), ids, seen)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_text_does_not_depend_on_its_neighbours():
    model, (ids, seen) = small_bert().eval(), padded()
    model.set_attn_implementation(register())
    with torch.no_grad():
        together = model(input_ids=ids, attention_mask=seen).last_hidden_state[1, :5]
        alone = model(input_ids=ids[1:2, :5], attention_mask=seen[1:2, :5]).last_hidden_state[0]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_window_that_sees_only_filling_does_no_harm(dtype):
    """ModernBERT's local layers: a place far behind a short text sees filling only, which must not become NaN."""
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        local_attention=4, global_attn_every_n_layers=3, pad_token_id=0, cls_token_id=1, sep_token_id=2,
        bos_token_id=1, eos_token_id=2, initializer_range=0.2, max_position_embeddings=64,
    )  # fmt: skip
    model, (ids, seen) = transformers.ModernBertModel(config), padded()
    expected, _ = states_and_gradients(model, "sdpa", ids, seen, dtype)
    found, gradients = states_and_gradients(model, register(), ids, seen, dtype)
    assert (found - expected).norm() <= (1e-5 if dtype == torch.float32 else 0.05) * expected.norm()
    assert all(bool(g.isfinite().all()) for g in gradients.values())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("family", ["Llama", "Qwen3", "GPTNeoX"])
def test_a_decoder_with_padding_is_causal(family, dtype, tolerance):
    """Their rotary embeddings make queries and keys float32 under autocast, and leave values in bfloat16."""
    shape = {"num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48}
    shape |= {} if family == "GPTNeoX" else {"num_key_value_heads": 2, "head_dim": 8}
    config = getattr(transformers, f"{family}Config")(vocab_size=50, initializer_range=0.2, **shape)
    torch.manual_seed(0)
    model, (ids, seen) = getattr(transformers, f"{family}Model")(config), padded()
    expected, gradients = states_and_gradients(model, "sdpa", ids, seen, dtype)
    found, ours = states_and_gradients(model, register(), ids, seen, dtype)
    assert (found - expected).norm() <= tolerance * expected.norm()
    whole = torch.cat([g.flatten() for g in gradients.values()])
    assert (torch.cat([ours[n].flatten() for n in gradients]) - whole).norm() <= tolerance * 2 * whole.norm()


def test_a_model_that_asks_more_of_attention_keeps_its_own():
    shape = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "head_dim": 8}
    gemma = transformers.Gemma2Model(transformers.Gemma2Config(**shape, intermediate_size=48, num_key_value_heads=2))
    bert = small_bert()
    set_attention(gemma)
    set_attention(bert)
    assert gemma.config._attn_implementation == "eager"  # caps its scores
    assert bert.config._attn_implementation == NAME
