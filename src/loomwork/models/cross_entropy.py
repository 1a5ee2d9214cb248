"""Cross-entropy of an output layer that never holds the logits of all tokens: their gradient is made with the loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from loomwork.models.kernels import EVEN, TiedGradient

IGNORED = -100  # the target of a position that is not scored, as in transformers
CHUNK_LOGITS = 16 << 20  # that are held at once
CACHED_LOGITS = 1 << 20  # of which a float32 copy is made at once: it stays in a core's cache
TIMES_ON_GPU = 16  # both: small pieces leave a GPU idle between them


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    smoothing: float = 0.0,
    share: float = 1.0,
    tied: TiedGradient | None = None,
) -> Tensor:
    """The sum over all scored tokens of the cross-entropy (nats) of x @ weight.T, times a share.

    Args:
        x: states (tokens, width); its dtype is what the products are computed in.
        weight: of the output layer (vocabulary, width).
        targets: int64 (tokens), IGNORED where a token is not scored.
        smoothing: how much of each target is spread over the whole vocabulary.
        share: one over the number of scored tokens of the whole batch, for the mean.
        tied: where the weight's gradient is left for the embedding that shares the weight; see `Lookup`.

    Returns: a float32 scalar.

    Source: Szegedy et al. 2015, arXiv:1512.00567 (smoothing); Wijmans et al. 2024, arXiv:2411.09009 (the chunks).
    """
    kept = (targets != IGNORED).nonzero().squeeze(1)
    if len(kept) < len(targets):
        x, targets = x.index_select(0, kept), targets.index_select(0, kept)
    x = F.pad(x, (0, 0, 0, -len(targets) % EVEN))
    learned = weight.requires_grad and torch.is_grad_enabled()
    tied = tied if learned else None
    weight = (weight if learned and not tied else weight.detach()).to(x.dtype)
    found: Tensor = _LinearCrossEntropy.apply(x, weight, targets, smoothing, share, tied)  # type: ignore[no-untyped-call]
    return found


def on_device(logits: int, device: torch.device) -> int:
    """How many logits are taken at once, where that many are on a CPU."""
    return logits if device.type == "cpu" else TIMES_ON_GPU * logits


class _LinearCrossEntropy(Function):
    """x is (scored tokens, width), weight (vocabulary, width), targets (scored tokens)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, smoothing: float, share: float, tied: TiedGradient | None
    ) -> Tensor:
        vocabulary = len(weight)
        wants_x, wants_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1] or tied is not None
        of_x = torch.empty_like(x) if wants_x else None
        of_weight: Tensor | None = None
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        size = max(EVEN, on_device(CHUNK_LOGITS, x.device) // vocabulary // EVEN * EVEN)
        for at in range(0, len(x), size):
            piece, wanted = x[at : at + size], targets[at : at + size]
            logits = piece @ weight.T  # (chunk, vocabulary), and then their gradient
            total += _losses_and_gradient(logits[: len(wanted)], wanted, smoothing, wants_x or wants_weight)
            logits[len(wanted) :] = 0.0
            if of_x is not None:
                torch.mm(logits, weight, out=of_x[at : at + size])
            if wants_weight:
                part = logits.T @ (piece * share)
                if of_weight is None:  # sums of many chunks are kept in float32
                    of_weight = part if len(x) <= size else part.float()
                else:
                    of_weight += part
        ctx.of_x, ctx.of_weight = None if of_x is None else of_x.mul_(share), of_weight
        ctx.dtype, ctx.tied = weight.dtype, tied
        return total * share

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        factor = float(gradient)
        of_x, of_weight = ctx.of_x, ctx.of_weight
        ctx.of_x = ctx.of_weight = None
        if factor != 1.0:
            of_x, of_weight = (None if g is None else g.mul_(factor) for g in (of_x, of_weight))
        if ctx.tied is not None:
            ctx.tied.made, of_weight = of_weight, None
        return of_x, None if of_weight is None else of_weight.to(ctx.dtype), None, None, None, None


def _losses_and_gradient(logits: Tensor, targets: Tensor, smoothing: float, gradient: bool) -> Tensor:
    """The sum of the losses, and in the logits' place their gradient; in float32, some rows at a time."""
    vocabulary = logits.shape[1]
    size = max(1, on_device(CACHED_LOGITS, logits.device) // vocabulary)
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    for at in range(0, len(logits), size):
        some = logits[at : at + size]
        wanted = targets[at : at + size, None]
        rows = some.to(torch.float32, copy=True)
        right = rows.gather(1, wanted).sum() * (1.0 - smoothing)
        if smoothing:
            right = right + rows.mean(1).sum() * smoothing
        largest = rows.amax(1, keepdim=True)
        sums = rows.sub_(largest).exp_().sum(1, keepdim=True)
        total += (sums.log() + largest).sum() - right
        if gradient:
            rows.div_(sums)
            if smoothing:
                rows.sub_(smoothing / vocabulary)
            places = torch.arange(len(rows), device=rows.device) * vocabulary + wanted[:, 0]
            rows.view(-1).index_add_(0, places, rows.new_full((len(rows),), smoothing - 1.0))
            some.copy_(rows)
    return total
