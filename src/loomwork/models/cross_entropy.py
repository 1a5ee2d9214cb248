"""Cross-entropy of an output layer that never holds the logits of all tokens: their gradient is made with the loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

IGNORED = -100  # the target of a position that is not scored, as in transformers
CHUNK_LOGITS = 16 << 20  # that are held at once
CACHED_LOGITS = 1 << 20  # of which a float32 copy is made at once: it stays in a core's cache


def linear_cross_entropy(
    x: Tensor, weight: Tensor | None, targets: Tensor, smoothing: float = 0.0, bias: Tensor | None = None
) -> Tensor:
    """The sum over all scored tokens of the cross-entropy (nats) of x @ weight.T + bias.

    Args:
        x: states (tokens, width); its dtype is what the products are computed in.
        weight: of the output layer (vocabulary, width); None where x are logits already.
        targets: int64 (tokens), IGNORED where a token is not scored.
        smoothing: how much of each target is spread over the whole vocabulary.
        bias: of the output layer (vocabulary).

    Returns: a float32 scalar. Divide it by the number of scored tokens of the whole batch for the mean.

    Source: Szegedy et al. 2015, arXiv:1512.00567 (smoothing); Wijmans et al. 2024, arXiv:2411.09009 (the chunks).
    """
    kept = (targets != IGNORED).nonzero().squeeze(1)
    if len(kept) < len(targets):
        x, targets = x.index_select(0, kept), targets.index_select(0, kept)
    if weight is None:
        return F.cross_entropy(x.float(), targets, reduction="sum", label_smoothing=smoothing)
    weight = weight.to(x.dtype)
    if bias is not None:  # one more input that is always 1
        x = F.pad(x, (0, 1), value=1.0)
        weight = torch.cat([weight, bias.to(x.dtype)[:, None]], 1)
    found: Tensor = _LinearCrossEntropy.apply(x, weight, targets, smoothing)  # type: ignore[no-untyped-call]
    return found


class _LinearCrossEntropy(Function):
    """x is (scored tokens, width), weight (vocabulary, width), targets (scored tokens)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        vocabulary = len(weight)
        ctx.of_x, ctx.of_weight = (torch.empty_like(x) if ctx.needs_input_grad[0] else None), None
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        size = max(1, CHUNK_LOGITS // vocabulary)
        one_chunk = len(x) <= size
        for at in range(0, len(x), size):
            piece, wanted = x[at : at + size], targets[at : at + size, None]
            logits = piece @ weight.T  # (chunk, vocabulary)
            total += _sum_of_losses(logits, wanted, smoothing)
            if not any(ctx.needs_input_grad[:2]):
                continue
            gradient = torch.softmax(logits, -1)
            if smoothing:
                gradient.sub_(smoothing / vocabulary)
            gradient.scatter_(1, wanted, gradient.gather(1, wanted).sub_(1.0 - smoothing))
            if ctx.of_x is not None:
                torch.mm(gradient, weight, out=ctx.of_x[at : at + size])
            if ctx.needs_input_grad[1]:
                part = gradient.T @ piece
                if one_chunk:
                    ctx.of_weight = part
                elif ctx.of_weight is None:
                    ctx.of_weight = part.float()  # sums of many chunks are kept in float32
                else:
                    ctx.of_weight += part
        ctx.dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        factor = float(gradient)
        of_x = None if ctx.of_x is None else ctx.of_x.mul_(factor)
        of_weight = None if ctx.of_weight is None else ctx.of_weight.mul_(factor).to(ctx.dtype)
        ctx.of_x = ctx.of_weight = None
        return of_x, of_weight, None, None


def _sum_of_losses(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """In float32, some rows at a time."""
    vocabulary = logits.shape[1]
    size = max(1, CACHED_LOGITS // vocabulary)
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    for at in range(0, len(logits), size):
        rows = logits[at : at + size].float()
        wanted = rows.gather(1, targets[at : at + size]).sum() * (1.0 - smoothing)
        if smoothing:
            wanted = wanted + rows.mean(1).sum() * smoothing
        total += torch.logsumexp(rows, -1).sum() - wanted
    return total
