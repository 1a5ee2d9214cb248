"""The mixed loss in chunks against the same, whole; and as what it is at the ends of its dials."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from loomwork.learn import distill_loss
from loomwork.learn.distill_loss import Mix, Projections, linear_distillation
from loomwork.learn.divergence import Divergence, Top
from loomwork.models.cross_entropy import linear_cross_entropy
from loomwork.models.kernels import TiedGradient


def given(tokens: int = 50, width: int = 12, vocabulary: int = 40) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(tokens, width, generator=generator).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator).requires_grad_()
    teacher = 2 * torch.randn(tokens, vocabulary, generator=generator)
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator)
    return x, weight, teacher, targets


@pytest.mark.parametrize("kind", ["forward", "reverse", "jensen_shannon"])
@pytest.mark.parametrize("teacher_share", [0.3, 1.0])
def test_in_chunks_as_whole(kind, teacher_share, monkeypatch):
    monkeypatch.setattr(distill_loss, "CHUNK_LOGITS", 40 * 16)  # 16 tokens at once, the last time two
    monkeypatch.setattr(distill_loss, "CACHED_LOGITS", 40 * 5)
    x, weight, teacher, targets = given()
    mix = Mix(Divergence(kind, 2.0, 0.3), teacher_share)
    asked = []

    def taught(start: int, end: int) -> torch.Tensor:
        asked.append((start, end))
        return teacher[start:end]

    chunked = 3 * linear_distillation(x, weight, targets, taught, mix, share=0.1)
    found = torch.autograd.grad(chunked, (x, weight))
    assert asked == [(0, 16), (16, 32), (32, 48), (48, 50)]
    whole = 0.3 * mix.losses(x @ weight.T, targets, teacher).sum()
    torch.testing.assert_close(chunked, whole)
    for mine, expected in zip(found, torch.autograd.grad(whole, (x, weight)), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_at_alpha_0_it_is_cross_entropy_and_a_tied_gradient_is_left_where_it_is_wanted():
    x, weight, teacher, targets = given()
    box = TiedGradient()
    ours = linear_distillation(x, weight, targets, lambda a, b: teacher[a:b], Mix(teacher_share=0.0), 0.5, box)
    theirs = linear_cross_entropy(x, weight, targets, share=0.5)
    torch.testing.assert_close(ours, theirs)
    expected = torch.autograd.grad(theirs, (x, weight))
    (of_x,) = torch.autograd.grad(ours, x)
    torch.testing.assert_close(of_x, expected[0])
    torch.testing.assert_close(box.made, expected[1])


def test_all_of_a_vocabulary_as_the_likeliest_is_the_teacher_itself():
    x, weight, teacher, targets = given()
    mix = Mix(Divergence("forward", 2.0), 0.7)
    top = (teacher / 2).log_softmax(-1).topk(40)

    def cached(start: int, end: int) -> Top:
        return Top(top.indices[start:end], top.values[start:end])

    live = linear_distillation(x, weight, targets, lambda a, b: teacher[a:b], mix)
    kept = linear_distillation(x, weight, targets, cached, mix)
    torch.testing.assert_close(live, kept)
    for a, b in zip(torch.autograd.grad(live, (x, weight)), torch.autograd.grad(kept, (x, weight)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_vocabulary_filled_up_to_another_size_does_not_matter():
    x, weight, teacher, targets = given()
    mix = Mix(Divergence("forward"), 1.0)
    losses = mix.losses(x @ weight.T, targets, teacher)
    filled = torch.cat([teacher, torch.full((50, 8), 3.0)], 1)
    torch.testing.assert_close(mix.losses(x @ weight.T, targets, filled), losses)
    torch.testing.assert_close(mix.losses(x @ weight.T, targets, teacher[:, :30]),
                               mix.losses((x @ weight.T)[:, :30], targets % 30, teacher[:, :30]))  # fmt: skip


def test_hidden_states_are_compared_by_their_mean_squared_error():
    generator = torch.Generator().manual_seed(1)
    mine, theirs = ([torch.randn(5, 8, generator=generator) for _ in range(2)] for _ in range(2))
    same = Projections({1: 2, 2: 4}, 8, 8, seed=0)
    assert not list(same.parameters())
    expected = sum(F.mse_loss(a, b) for a, b in zip(mine, theirs, strict=True)) / 2
    torch.testing.assert_close(same(mine, theirs).mean(), expected)
    wider = Projections({1: 2}, 8, 6, seed=0)
    errors = wider(mine[:1], [theirs[0][:, :6]])
    expected = (mine[0] @ wider.maps["1"].weight.T - theirs[0][:, :6]).square().mean(1)
    torch.testing.assert_close(errors, expected)
