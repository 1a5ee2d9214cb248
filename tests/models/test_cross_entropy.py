"""Cross-entropy without the logits of all tokens, against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from loomwork.models import cross_entropy
from loomwork.models.cross_entropy import IGNORED, linear_cross_entropy
from loomwork.models.kernels import Lookup, TiedGradient


def drawn(tokens: int, width: int, vocabulary: int, ignored: float, seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator)
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator)
    targets[torch.rand(tokens, generator=generator) < ignored] = IGNORED
    return x, weight, targets


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(2, 30),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.floats(0.001, 3.0),
    st.sampled_from([1, 7, 1000]),
    st.sampled_from([1, 3, 1000]),
    st.integers(0, 99),
)
def test_equal_to_torch_for_any_sizes_of_chunks(
    tokens, width, vocabulary, ignored, smoothing, share, chunk, cached, seed
):
    x, weight, targets = drawn(tokens, width, vocabulary, ignored, seed)
    ours, theirs = [(x.clone().requires_grad_(), weight.clone().requires_grad_()) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "CHUNK_LOGITS", chunk * vocabulary)
        patch.setattr(cross_entropy, "CACHED_LOGITS", cached * vocabulary)
        found = linear_cross_entropy(*ours, targets, smoothing, share)
        (found * 2).backward()
    expected = (
        F.cross_entropy(
            theirs[0] @ theirs[1].T, targets, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing
        )
        * share
    )
    (expected * 2).backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for our, their in zip(ours, theirs, strict=True):
        made = torch.zeros_like(our) if our.grad is None else our.grad  # none where nothing is scored
        torch.testing.assert_close(made, their.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("of_x", "of_weight"), [(True, False), (False, True), (False, False)])
def test_only_the_gradients_that_are_wanted(of_x, of_weight):
    x, weight, targets = drawn(12, 5, 11, 0.2, 0)
    whole = linear_cross_entropy(x.clone().requires_grad_(), weight.clone().requires_grad_(), targets)
    x.requires_grad_(of_x)
    weight.requires_grad_(of_weight)
    found = linear_cross_entropy(x, weight, targets)
    assert found.item() == pytest.approx(whole.item())
    assert found.requires_grad == (of_x or of_weight)
    if found.requires_grad:
        found.backward()
    assert (x.grad is not None, weight.grad is not None) == (of_x, of_weight)


@pytest.mark.parametrize("chunk", [3, 1000])
@pytest.mark.parametrize("ignored", [0.0, 0.5, 1.0])
def test_a_tied_embedding_gets_both_its_gradients(monkeypatch, chunk, ignored):
    monkeypatch.setattr(cross_entropy, "CHUNK_LOGITS", chunk * 11)
    _, weight, targets = drawn(12, 5, 11, ignored, 0)
    ids = torch.arange(12) % 7
    ours, theirs = (weight.clone().requires_grad_() for _ in range(2))
    for _ in range(2):  # gradients of two parts sum up
        tied = TiedGradient()
        x = Lookup.apply(ours, ids, tied)
        linear_cross_entropy(x.tanh(), ours, targets, 0.1, 0.5, tied).backward()
        assert tied.made is None
        logits = F.embedding(ids, theirs).tanh() @ theirs.T
        (F.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1) * 0.5).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_large_logits_and_bfloat16_are_summed_in_float32(monkeypatch):
    x, weight, targets = drawn(64, 16, 50, 0.0, 1)
    monkeypatch.setattr(cross_entropy, "CHUNK_LOGITS", 8 * 50)
    huge = linear_cross_entropy(x * 1e4, weight, targets)
    torch.testing.assert_close(huge, F.cross_entropy(x * 1e4 @ weight.T, targets, reduction="sum"), rtol=1e-5, atol=1)
    weight.requires_grad_()
    half = linear_cross_entropy(x.bfloat16(), weight, targets, 0.0, 1 / 64)
    half.backward()
    assert half.dtype == weight.grad.dtype == torch.float32
    expected = F.cross_entropy(x @ weight.T, targets)
    assert half.item() == pytest.approx(expected.item(), rel=0.02)
    (gradient,) = torch.autograd.grad(expected, weight)
    assert (weight.grad - gradient).norm() < 0.02 * gradient.norm()
