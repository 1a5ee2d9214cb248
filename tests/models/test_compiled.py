"""Compiled layers against the same layers as they are, and attention in one call against attention in tables."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from loomwork.learn.adapters import adapted
from loomwork.learn.settings import Adapter
from loomwork.models import compiled
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.flat import attend, lay_flat
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.packed_attention import attend_packed
from loomwork.models.packed_encoder import use_compiler
from tests.models.small_decoders import FAMILIES, next_tokens, small, texts_of
from tests.models.test_packed_encoder import SEEN, WANTED, ids_of, model_of, packed

LENGTHS = (31, 9, 23, 1, 17, 30)


@pytest.fixture(autouse=True)
def _nothing_compiled_yet():
    """Past a number of kernels for one function torch gives up, and computes it as it is."""
    torch._dynamo.reset()


def loss_of(decoder: FlatDecoder, lengths: tuple[int, ...] = LENGTHS) -> torch.Tensor:
    texts = texts_of(*lengths)
    flat = lay_flat(texts)
    return decoder.loss(flat, next_tokens(texts, flat.order, IGNORED), share=0.01)


def compile_or_skip(reason: str) -> None:
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip(f"no C++ compiler: {reason}")
    assert reason == ""


def same_gradients(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            assert float((a.grad - b.grad).abs().max()) < 1e-4, name


@pytest.mark.parametrize(
    "family", ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name != "llama")]
)
def test_decoders(family):
    plain = FlatDecoder(small(family)).train()
    faster = FlatDecoder(copy.deepcopy(plain.model)).train()
    compile_or_skip(faster.use_compiler())
    assert faster.name == "packed, compiled"
    assert all(p.grad is None for p in faster.parameters())
    made = counters["stats"]["unique_graphs"]
    for lengths in (LENGTHS, (5, 3), (200, 40, 2)):  # of any number of tokens, by the same kernels
        losses = [loss_of(decoder, lengths) for decoder in (plain, faster)]
        for loss in losses:
            loss.backward()
        assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-5)
    assert counters["stats"]["unique_graphs"] == made
    same_gradients(plain.model, faster.model)
    with torch.no_grad():
        assert loss_of(faster).item() == loss_of(plain).item()  # not compiled: it is looked at only


@pytest.mark.slow
def test_lora_with_dropout_and_recomputed_layers():
    losses, gradients = [], []
    for recompute in (False, True):
        model = adapted(small(), Adapter("lora", rank=4), "CAUSAL_LM")
        decoder = FlatDecoder(model.get_base_model(), dropout=0.2, recompute=recompute).train()
        compile_or_skip(decoder.use_compiler())
        torch.manual_seed(3)
        losses.append(loss_of(decoder))
        losses[-1].backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    assert losses[0].item() == losses[1].item()
    assert any(float(g.abs().max()) > 0 for g in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_encoders():
    theirs = model_of("Bert")
    ours, ids = packed(theirs), ids_of(theirs)
    compile_or_skip(use_compiler(ours, torch.float32))
    losses = []
    for model in (theirs, ours):
        losses.append(model(input_ids=ids, attention_mask=SEEN, **WANTED["SequenceClassification"]).loss)
        losses[-1].backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-5)
    same_gradients(theirs, ours)


def test_what_cannot_be_compiled_stays_as_it_is(monkeypatch):
    def refuse(function: Any, **given: Any) -> Any:
        def raises(*given: Any) -> Any:
            raise RuntimeError("no such compiler\nand more")

        return raises

    compiled.compiled.cache_clear()
    monkeypatch.setattr(torch, "compile", refuse)
    decoder = FlatDecoder(small()).train()
    before = loss_of(decoder).item()
    assert decoder.use_compiler() == "RuntimeError: no such compiler"
    assert decoder.name == "packed"
    assert loss_of(decoder).item() == before
    compiled.compiled.cache_clear()


@pytest.mark.parametrize(("causal", "window"), [(True, 0), (True, 7), (False, 0)])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2)])
@torch.no_grad()
def test_attention_in_one_call(causal, window, heads, key_heads):
    """Forward only: on a CPU torch gives FlexAttention no gradient."""
    flat = lay_flat(texts_of(*LENGTHS))
    tokens = len(flat.ids) + 5  # filling behind
    torch.manual_seed(0)
    given = [torch.randn(tokens, n, 16) for n in (heads, key_heads, key_heads)]
    theirs = attend(*given, flat, 0.3, causal=causal, window=window)
    ours = attend_packed(*given, flat, 0.3, causal=causal, window=window, fused=False)
    torch.testing.assert_close(ours[: len(flat.ids)], theirs[: len(flat.ids)], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_blocks_that_are_skipped():
    """The compiled kernel reads only the blocks of 128 tokens in which a token sees another."""
    flat = lay_flat(texts_of(300, 200, 137, 90, 3))
    tokens = 768
    q, k, v = (torch.randn(tokens, 2, 16) for _ in range(3))
    for causal, window in ((True, 0), (True, 50), (False, 0)):
        attend_packed(q, k, v, flat, 0.2, causal=causal, window=window, fused=False)
        text = torch.full((tokens,), -1)
        text[: len(flat.ids)] = torch.repeat_interleave(torch.arange(5), flat.lengths)
        away = torch.arange(tokens)[:, None] - torch.arange(tokens)
        seen = text[:, None] == text
        seen &= (away >= 0) if causal else True
        seen &= (away < window) if window else True
        blocks = seen.view(6, 128, 6, 128).any(3).any(1)
        assert torch.equal(flat.masks[tokens, causal, window].to_dense()[0, 0].bool(), blocks)
        assert blocks.sum() < 36


@torch.no_grad()
def test_filling_is_seen_by_nobody():
    flat = lay_flat([np.arange(5), np.arange(3)])
    q, k, v = (torch.randn(12, 2, 16) for _ in range(3))
    before = attend_packed(q, k, v, flat, 1.0, causal=False, fused=False)[:8]
    v[8:] = 1e30
    assert torch.equal(attend_packed(q, k, v, flat, 1.0, causal=False, fused=False)[:8], before)
