"""A student's loss beside its teacher: of right answers, of the teacher's distribution, and of hidden states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from loomwork.learn.divergence import Divergence, Top
from loomwork.models.cross_entropy import CACHED_LOGITS, CHUNK_LOGITS, on_device
from loomwork.models.kernels import TiedGradient

Taught = Callable[[int, int], Tensor | Top]  # what the teacher says of the scored tokens from .. to


@dataclass(frozen=True)
class Mix:
    """(1 - teacher_share) * cross-entropy + teacher_share * divergence + hidden_weight * error of hidden states.

    Args:
        divergence: of the logits.
        teacher_share: from 0 to 1.
        hidden_weight: 0 or more.
        layers: for each layer of the student that is compared, the teacher's; 0 is the embedding.
    """

    divergence: Divergence = field(default_factory=Divergence)
    teacher_share: float = 0.5
    hidden_weight: float = 0.0
    layers: Mapping[int, int] = field(default_factory=dict)

    def losses(self, logits: Tensor, targets: Tensor, teacher: Tensor | Top) -> Tensor:
        """Of rows of logits (rows, classes), hidden states left out: (rows)."""
        total = torch.zeros(len(logits), dtype=torch.float32, device=logits.device)
        if self.teacher_share < 1:
            total = total + (1 - self.teacher_share) * F.cross_entropy(logits.float(), targets, reduction="none")
        if self.teacher_share > 0:
            total = total + self.teacher_share * self.divergence.losses(*_common(logits, teacher))
        return total


class Projections(torch.nn.Module):
    """The squared error of a student's hidden states, through a linear layer where the teacher's are wider.

    These layers are trained with the student and are no part of it.

    Args:
        layers: of `Mix`.
        width: of the student's states.
        teacher_width: of the teacher's.
        seed: of the linear layers' first weights.

    Source: Jiao et al. 2019, arXiv:1909.10351.
    """

    def __init__(self, layers: Mapping[int, int], width: int, teacher_width: int, seed: int) -> None:
        super().__init__()
        made: dict[str, torch.nn.Module] = {}
        if width != teacher_width:
            with torch.random.fork_rng([]):
                torch.manual_seed(seed)
                made = {str(layer): torch.nn.Linear(width, teacher_width, bias=False) for layer in layers}
        self.maps = torch.nn.ModuleDict(made)
        self.layers = layers

    def forward(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """The mean over the width and over the compared layers, for each token.

        Args:
            student, teacher: states (..., width) of each compared layer, in the order of `layers`.
        """
        errors = []
        for layer, mine, theirs in zip(self.layers, student, teacher, strict=True):
            mapped = self.maps[str(layer)](mine.float()) if len(self.maps) else mine.float()
            errors.append((mapped - theirs.float()).square().mean(-1))
        return torch.stack(errors).mean(0)


def linear_distillation(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    taught: Taught,
    mix: Mix,
    share: float = 1.0,
    tied: TiedGradient | None = None,
) -> Tensor:
    """The sum over all tokens of the mixed loss of x @ weight.T, times a share; no logits of all tokens are held.

    Args:
        x: states (tokens, width) of scored tokens; its dtype is what the products are computed in.
        weight: of the output layer (vocabulary, width).
        targets: int64 (tokens).
        taught: what the teacher says of some of these tokens: logits, or its likeliest ones.
        mix: the loss.
        share, tied: as in `linear_cross_entropy`, which this is at teacher_share 0.

    Returns: a float32 scalar.
    """
    learned = weight.requires_grad and torch.is_grad_enabled()
    tied = tied if learned else None
    weight = (weight if learned and not tied else weight.detach()).to(x.dtype)
    found: Tensor = _LinearDistillation.apply(x, weight, targets, taught, mix, share, tied)  # type: ignore[no-untyped-call]
    return found


class _LinearDistillation(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        targets: Tensor,
        taught: Taught,
        mix: Mix,
        share: float,
        tied: TiedGradient | None,
    ) -> Tensor:
        wants_x, wants_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1] or tied is not None
        of_x = torch.empty_like(x) if wants_x else None
        of_weight: Tensor | None = None
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        size = max(1, on_device(CHUNK_LOGITS, weight.device) // len(weight))
        for at in range(0, len(x), size):
            piece = x[at : at + size]
            logits = piece @ weight.T  # (chunk, vocabulary), and then their gradient
            total += _losses_and_gradient(logits, targets[at : at + size], taught(at, at + len(piece)), mix)
            if of_x is not None:
                torch.mm(logits, weight, out=of_x[at : at + size])
            if wants_weight:
                part = (logits.T @ (piece * share)).float()
                of_weight = part if of_weight is None else of_weight.add_(part)
        ctx.of_x, ctx.of_weight = None if of_x is None else of_x.mul_(share), of_weight
        ctx.dtype, ctx.tied = weight.dtype, tied
        return total * share

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        of_x, of_weight = (None if g is None else g.mul_(above) for g in (ctx.of_x, ctx.of_weight))
        ctx.of_x = ctx.of_weight = None
        if ctx.tied is not None:
            ctx.tied.made, of_weight = of_weight, None
        of_x = None if of_x is None else of_x.to(ctx.dtype)
        return of_x, None if of_weight is None else of_weight.to(ctx.dtype), None, None, None, None, None


def _losses_and_gradient(logits: Tensor, targets: Tensor, teacher: Tensor | Top, mix: Mix) -> Tensor:
    """The sum of the losses, and in the logits' place their gradient; in float32, some rows at a time."""
    size = max(1, on_device(CACHED_LOGITS, logits.device) // logits.shape[1])
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    for at in range(0, len(logits), size):
        rows = logits[at : at + size]
        wide, wanted = rows.float(), targets[at : at + size, None]
        gradient = torch.zeros_like(wide)
        if mix.teacher_share < 1:
            log_q = wide.log_softmax(-1)
            total -= (1 - mix.teacher_share) * log_q.gather(1, wanted).sum()
            gradient.add_(log_q.exp_(), alpha=1 - mix.teacher_share)
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, mix.teacher_share - 1))
        if mix.teacher_share > 0:
            mine, theirs = _common(wide, _some(teacher, at, at + size))
            losses, of_logits = mix.divergence.with_gradient(mine, theirs)
            total += mix.teacher_share * losses.sum()
            gradient[:, : of_logits.shape[1]].add_(of_logits, alpha=mix.teacher_share)
        rows.copy_(gradient)
    return total


def _some(teacher: Tensor | Top, start: int, end: int) -> Tensor | Top:
    if isinstance(teacher, Top):
        return Top(teacher.ids[start:end], teacher.log_probabilities[start:end])
    return teacher[start:end]


def _common(student: Tensor, teacher: Tensor | Top) -> tuple[Tensor, Tensor | Top]:
    """Both over the tokens that both have: models of one tokenizer fill their vocabularies up to different sizes."""
    if isinstance(teacher, Top):
        return student, teacher
    common = min(student.shape[1], teacher.shape[1])
    return student[:, :common], teacher[:, :common]
