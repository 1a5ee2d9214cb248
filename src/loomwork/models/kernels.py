"""Small functions with gradients of their own: fewer passes over memory than what autograd derives."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


class Rotation(Function):
    """Rotary position embedding of the first numbers of each head, halves paired. Its gradient is the rotation back.

    x is (tokens, heads, head width); cos and sin (tokens, 1, half of the rotated width).

    Source: Su et al. 2021, arXiv:2104.09864.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(gradient, cos, sin, -1), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    half = cos.shape[-1]
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    a, b = x[..., :half], x[..., half : 2 * half]
    torch.mul(a, cos, out=out[..., :half]).addcmul_(b, sin, value=-sign)
    torch.mul(b, cos, out=out[..., half : 2 * half]).addcmul_(a, sin, value=sign)
    if 2 * half < x.shape[-1]:
        out[..., 2 * half :] = x[..., 2 * half :]
    return out


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`Rotation`, or the formula as it is where a compiler reads it, which joins such passes by itself."""
    if not torch.compiler.is_compiling():
        made: Tensor = Rotation.apply(x, cos, sin)  # type: ignore[no-untyped-call]
        return made
    half = cos.shape[-1]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


def gated_silu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up. Source: Shazeer 2020, arXiv:2002.05202."""
    if torch.compiler.is_compiling():
        return F.silu(gate) * up
    made: Tensor = GatedSilu.apply(gate, up)  # type: ignore[no-untyped-call]
    return made


class GatedSilu(Function):
    """What `gated_silu` gives."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        of_up = F.silu(gate).mul_(gradient)
        of_gate = torch.ops.aten.silu_backward(gradient * up, gate)
        return of_gate, of_up


class Spread(Function):
    """Rows moved to other places, each to one: what index_select does, with a gradient that only moves them back.

    Row i of the result is x[there[i]], and x[j] is at back[j] in it; `real`, bool (rows of the result, 1), is false
    where a row of the result fills a gap and must not give a gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor, real: Tensor | None) -> Tensor:
        ctx.there, ctx.back, ctx.real = there, back, real
        return x.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        moved = gradient.index_select(0, ctx.back)
        return moved if ctx.real is None else moved.mul_(ctx.real), None, None, None


# Rows of a matrix are filled up to a multiple of this. On a CPU each new shape of a product makes a new program that is
# kept, of tens of megabytes with its buffers: 90 steps of 340 tokens took 2,830 MB without, 1,220 with, and a tenth
# longer without.
EVEN = 64
SHORT = 384  # tokens of a text, up to which all scores of attention are held at once


class ShortAttention(Function):
    """Attention of short texts with all its scores at once.

    On a CPU, torch's fused kernel takes three times as long as this, there and back, in bfloat16 (8 texts of 49
    tokens, 6 heads of 64: 4.1 and 1.4 ms), and as long in float32; its gain is memory, which short texts do not need.

    q is (texts, heads, time, head width), k and v (texts, key heads, time, head width), bias broadcasts to
    (texts, key heads, heads of each, time, time); `dropped` is the share of the weights that is left out.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, dropped: float = 0.0
    ) -> Tensor:
        q = _by_key_head(q, k)
        scores = q.mul(scale) @ k[:, :, None].transpose(-1, -2)  # (texts, key heads, each, time, time)
        weights = torch.softmax(scores if bias is None else scores.add_(bias), -1)
        kept = dropout_mask(weights, dropped) if dropped else None
        ctx.save_for_backward(q, k, v, weights, kept)
        ctx.scale = scale
        return ((weights if kept is None else weights * kept) @ v[:, :, None]).flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, weights, kept = ctx.saved_tensors
        gradient = _by_key_head(gradient, k)
        of_v = ((weights if kept is None else weights * kept).transpose(-1, -2) @ gradient).sum(2)
        of_weights = gradient @ v[:, :, None].transpose(-1, -2)
        if kept is not None:
            of_weights.mul_(kept)
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        of_q = (of_scores @ k[:, :, None]).flatten(1, 2)
        of_k = (of_scores.transpose(-1, -2) @ q).sum(2)
        return of_q, of_k, of_v, None, None, None


def dropout(x: Tensor, share: float) -> Tensor:
    """Leave a share of the numbers out, and enlarge the others so that the mean stays."""
    if torch.compiler.is_compiling():
        return F.dropout(x, share) if share else x
    return x * dropout_mask(x, share) if share else x


def dropout_mask(x: Tensor, share: float) -> Tensor:
    """Zeros for a share of the numbers of x, 1 / (1 - share) for the others, in its shape and dtype.

    On a CPU each takes 16 random bits; torch's dropout takes 1.2 ms for 448 x 384 in bfloat16, this 0.4.

    Source: Srivastava et al. 2014, JMLR 15.
    """
    if x.device.type != "cpu":
        return F.dropout(torch.ones_like(x), share)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(share * 65536) - 32768
    return kept.to(x.dtype).div_(1.0 - share)


def _by_key_head(x: Tensor, k: Tensor) -> Tensor:
    """(texts, heads, time, width) -> (texts, key heads, heads of each, time, width)"""
    texts, heads, time, width = x.shape
    return x.reshape(texts, k.shape[1], heads // k.shape[1], time, width)


class TiedGradient:
    """The gradient of an embedding as the output layer that shares it has made it, until `Lookup` adds its own.

    Autograd would make a second gradient of the whole vocabulary for a few hundred rows, and add the two.
    """

    made: Tensor | None = None


class Lookup(Function):
    """Rows of an embedding, weight (vocabulary, width); `tied` where the output layer gives it its gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, tied: TiedGradient | None) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape, ctx.dtype, ctx.tied = weight.shape, weight.dtype, tied
        return weight.index_select(0, ids)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (ids,) = ctx.saved_tensors
        made = None if ctx.tied is None else ctx.tied.made
        if made is None:
            whole = torch.zeros(ctx.shape, dtype=ctx.dtype, device=gradient.device)
        else:
            whole, ctx.tied.made = made.to(ctx.dtype), None
        return whole.index_add_(0, ids, gradient.to(ctx.dtype)), None, None


def causal_bias(time: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0 where a token may look, -inf elsewhere: at itself and what is before it, `window` tokens back. (time, time)"""
    at = torch.arange(time, device=device)
    away = at[:, None] - at
    seen = (away >= 0) & (away < window) if window else away >= 0
    return torch.zeros(time, time, dtype=dtype, device=device).masked_fill_(~seen, -math.inf)
