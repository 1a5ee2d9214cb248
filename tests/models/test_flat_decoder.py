"""The packed forward pass against transformers' own, one text at a time: losses, gradients, logits, states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from loomwork.models.cross_entropy import IGNORED
from loomwork.models.families import not_covered
from loomwork.models.flat import lay_flat
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.plain_decoder import PlainDecoder
from tests.models.small_decoders import FAMILIES, LLAMA_LIKE, loss_alone, next_tokens, small, texts_of

LENGTHS = (13, 2, 40, 20, 1, 39, 5, 5, 5)


def loss_of(decoder, texts) -> torch.Tensor:
    """The mean over all targets."""
    flat = lay_flat(texts)
    targets = next_tokens(texts, flat.order, IGNORED)
    return decoder.loss(flat, targets, 0.0, 1 / int((targets != IGNORED).sum()))


def assert_same_gradients(model, loss, expected) -> None:
    """Of all parameters, to 1e-4 of their norm."""
    (loss * 3).backward()  # a factor in front must reach every gradient
    found = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    (expected * 3).backward()
    for name, parameter in model.named_parameters():
        assert (found[name] - parameter.grad).norm() <= 1e-4 * parameter.grad.norm() + 1e-9, name


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_and_gradients_are_those_of_the_texts_alone(name, monkeypatch):
    monkeypatch.setattr("loomwork.models.cross_entropy.CHUNK_LOGITS", 37 * 97)
    monkeypatch.setattr("loomwork.models.cross_entropy.CACHED_LOGITS", 10 * 97)
    model, texts = small(name), texts_of(*LENGTHS)
    loss, expected = loss_of(FlatDecoder(model), texts), loss_alone(model, texts)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same_gradients(model, loss, expected)


@pytest.mark.parametrize("name", ["mistral, windowed", "gpt2"])
def test_long_texts_too(name, monkeypatch):
    monkeypatch.setattr("loomwork.models.flat.SHORT", 16)  # longer ones go to torch's fused kernel
    model, texts = small(name), texts_of(*LENGTHS)
    loss, expected = loss_of(FlatDecoder(model), texts), loss_alone(model, texts)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same_gradients(model, loss, expected)


def test_a_real_model_has_its_own_loss_longer_than_short_too(test_data):
    folder = test_data / "models" / "stories260K-hf"
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = [t % 509 + 3 for t in texts_of(400, 300, 512, 7, seed=2, vocabulary=509)]
    loss, expected = loss_of(FlatDecoder(model), texts), loss_alone(model, texts)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same_gradients(model, loss, expected)


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gpt2", "qwen2, windowed"])
def test_a_texts_logits_do_not_depend_on_its_neighbours(name):
    model, texts = small(name).eval(), texts_of(11, 30, 29, 3)
    decoder = FlatDecoder(model)
    with torch.no_grad():
        alone = decoder.logits(lay_flat(texts[:1]))
        theirs = model(input_ids=torch.from_numpy(texts[0])[None]).logits[0]
        torch.testing.assert_close(alone, theirs, rtol=1e-4, atol=1e-4)
        for others in (texts[1:], texts_of(31, 12, 10, 5, seed=9)):
            flat = lay_flat([others[0], texts[0], *others[1:]])
            lengths = [len(([others[0], texts[0], *others[1:]])[i]) for i in flat.order]
            at = sum(lengths[: flat.order.index(1)])
            rows = torch.arange(at, at + 11)
            torch.testing.assert_close(decoder.logits(flat, rows), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt_neox, in series, tied"])
def test_states_are_those_of_transformers(name):
    model, texts = small(name).eval(), texts_of(20)
    with torch.no_grad():
        found = FlatDecoder(model).states(lay_flat(texts), (0, 1, 2))
        theirs = model(input_ids=torch.from_numpy(texts[0])[None], output_hidden_states=True).hidden_states
    assert len(found) == 4
    for ours, expected in zip(found, theirs, strict=True):
        torch.testing.assert_close(ours, expected[0], rtol=1e-4, atol=1e-4)


def test_recomputing_gives_the_same_gradients():
    texts, found = texts_of(*LENGTHS), []
    for recompute in (False, True):
        model = small("qwen3")
        decoder = FlatDecoder(model, dropout=0.1, recompute=recompute).train()
        torch.manual_seed(3)  # dropout is drawn again as it was
        loss_of(decoder, texts).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-6, atol=1e-8)


def test_dropout_is_drawn_in_training_only():
    model, texts = small(), texts_of(*LENGTHS)
    decoder = FlatDecoder(model, dropout=0.3)
    plain = loss_alone(model, texts).item()
    assert loss_of(decoder.eval(), texts).item() == pytest.approx(plain, abs=1e-5)
    torch.manual_seed(0)
    first, second = (loss_of(decoder.train(), texts).item() for _ in range(2))
    assert len({round(x, 4) for x in (first, second, plain)}) == 3


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_bfloat16_is_near_and_its_gradients_are_float32(name):
    model, texts = small(name, initializer_range=0.05), texts_of(*LENGTHS)
    loss = loss_of(FlatDecoder(model, torch.bfloat16), texts)
    loss.backward()
    assert loss.item() == pytest.approx(loss_alone(model, texts).item(), abs=0.02)
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}


def test_frozen_weights_get_no_gradient_and_take_the_dtype():
    model, texts = small("qwen2"), texts_of(*LENGTHS)
    model.get_input_embeddings().requires_grad_(False)
    model.model.layers[0].requires_grad_(False)
    loss_of(FlatDecoder(model, torch.bfloat16), texts).backward()
    for parameter in model.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_the_plain_decoder_has_the_same_loss_gradients_and_logits(name):
    model, texts = small(name), texts_of(*LENGTHS)
    plain, packed = PlainDecoder(model), FlatDecoder(model)
    loss, expected = loss_of(plain, texts), loss_alone(model, texts)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same_gradients(model, loss, expected)
    flat = lay_flat(texts)
    with torch.no_grad():
        torch.testing.assert_close(plain.logits(flat), packed.logits(flat), rtol=1e-4, atol=1e-4)
        rows = torch.tensor([4, 0, 17])
        torch.testing.assert_close(plain.logits(flat, rows), packed.logits(flat, rows), rtol=1e-4, atol=1e-4)


def test_what_is_not_covered_says_why():
    assert not_covered(small()) == ""
    tiny = LLAMA_LIKE | {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    gemma = transformers.GemmaForCausalLM(transformers.GemmaConfig(**tiny, head_dim=8))
    assert "gemma" in not_covered(gemma)
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(ValueError, match="'dynamic' depends on how long"):
        FlatDecoder(small(rope_parameters=dynamic))
    crossed = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=16, n_layer=1, n_head=1, add_cross_attention=True, vocab_size=9)
    )
    assert "cross-attention" in not_covered(crossed)
    biased = small()
    biased.lm_head = torch.nn.Linear(48, 97)
    assert "output layer" not in not_covered(small())
    assert "not a plain linear one" in not_covered(biased)


def test_the_layout_is_by_length_and_counts_positions_anew():
    texts = texts_of(3, 9, 4, 8)
    flat = lay_flat(texts)
    assert [len(texts[i]) for i in flat.order] == flat.lengths.tolist() == [9, 8, 4, 3]
    assert np.array_equal(flat.ids, np.concatenate([texts[i] for i in flat.order]))
    assert flat.positions.tolist() == [*range(9), *range(8), *range(4), *range(3)]
    assert [(t.texts, t.time) for t in flat.tables] == [(2, 16), (2, 8)]  # time is even
