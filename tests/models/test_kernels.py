"""Functions with gradients of their own: against finite differences and against what autograd derives."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from loomwork.models.kernels import GatedSilu, Lookup, Rotation, ShortAttention, Spread, causal_bias


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("turned", [6, 4])  # of 6 numbers a head
def test_rotation(turned):
    angles = torch.rand(5, 1, turned // 2, dtype=torch.float64)
    cos, sin = angles.cos(), angles.sin()
    x = numbers(5, 2, 6)
    assert gradcheck(lambda x: Rotation.apply(x, cos, sin), (x,))
    first, rest = x[..., :turned], x[..., turned:]
    half = torch.cat([-first[..., turned // 2 :], first[..., : turned // 2]], -1)
    both = [torch.cat([t, t], -1) for t in (cos, sin)]
    torch.testing.assert_close(Rotation.apply(x, cos, sin), torch.cat([first * both[0] + half * both[1], rest], -1))


def test_rotation_of_a_piece_of_a_larger_tensor():
    joined = numbers(5, 2, 12)
    angles = torch.rand(5, 1, 2, dtype=torch.float64)
    assert gradcheck(lambda x: Rotation.apply(x.chunk(3, -1)[1], angles.cos(), angles.sin()), (joined,))


def test_gated_silu():
    gate, up = numbers(4, 5), numbers(4, 5, seed=1)
    assert gradcheck(GatedSilu.apply, (gate, up))
    torch.testing.assert_close(GatedSilu.apply(gate, up), F.silu(gate) * up)


def test_spread_there_and_back():
    x = numbers(4, 3)
    back = torch.tensor([1, 2, 4, 5])  # rows 0 and 3 of the result are gaps
    there = torch.tensor([0, 0, 1, 0, 2, 3])
    real = torch.tensor([[False], [True], [True], [False], [True], [True]])

    def both(x):
        wide = Spread.apply(x, there, back, None)
        squares = (wide * wide)[:, :2]
        return Spread.apply(squares, back, there, real)

    assert gradcheck(both, (x,))
    torch.testing.assert_close(both(x), (x * x)[:, :2])


@pytest.mark.parametrize(("heads", "key_heads"), [(2, 2), (4, 2), (3, 1)])
@pytest.mark.parametrize("window", [None, 0, 2])
def test_short_attention(heads, key_heads, window):
    q, k, v = numbers(2, heads, 4, 3), numbers(2, key_heads, 4, 3, seed=1), numbers(2, key_heads, 4, 3, seed=2)
    bias = None if window is None else causal_bias(4, window, torch.float64, torch.device("cpu"))
    assert gradcheck(lambda q, k, v: ShortAttention.apply(q, k, v, bias, 0.7), (q, k, v), fast_mode=True)
    found = ShortAttention.apply(q, k, v, bias, 0.7)
    expected = F.scaled_dot_product_attention(q, k, v, bias, scale=0.7, enable_gqa=True)
    torch.testing.assert_close(found, expected)


def test_short_attention_hides_what_fills_a_text_up():
    q, k, v = (numbers(2, 2, 4, 3, seed=s) for s in range(3))
    bias = torch.zeros(2, 1, 1, 1, 4, dtype=torch.float64)
    bias[1, ..., 2:] = -math.inf
    assert gradcheck(lambda q, k, v: ShortAttention.apply(q, k, v, bias, 1.0), (q, k, v))
    whole = ShortAttention.apply(q, k, v, bias, 1.0)
    alone = ShortAttention.apply(q[1:, :, :2], k[1:, :, :2], v[1:, :, :2], None, 1.0)
    torch.testing.assert_close(whole[1:, :, :2], alone)


def test_lookup_sums_the_gradients_of_a_row_that_is_read_twice():
    weight = numbers(4, 3)
    ids = torch.tensor([1, 3, 1, 0])
    assert gradcheck(lambda w: Lookup.apply(w, ids, None), (weight,))


def test_a_window_of_the_bias():
    seen = causal_bias(4, 2, torch.float32, torch.device("cpu")) == 0
    assert seen.tolist() == [[j in (i, i - 1) for j in range(4)] for i in range(4)]
    assert (causal_bias(4, 0, torch.float32, torch.device("cpu")) == 0).equal(torch.ones(4, 4).tril().bool())
