"""How far a student's distribution is from its teacher's, with the gradient of that in the student's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

Kind = Literal["forward", "reverse", "jensen_shannon"]


@dataclass(frozen=True)
class Top:
    """A teacher's likeliest classes.

    Args:
        ids: int64 (rows, k), none twice in a row.
        log_probabilities: (rows, k), natural logarithms at the divergence's temperature.
    """

    ids: Tensor
    log_probabilities: Tensor


@dataclass(frozen=True)
class Divergence:
    """A divergence of a teacher's distribution P and a student's Q, both softened, times the temperature squared.

    Args:
        kind: "forward" is KL(P, Q), "reverse" KL(Q, P). "jensen_shannon" is b KL(P, M) + (1 - b) KL(Q, M), with
            M = b P + (1 - b) Q and b the mixture: it is like the forward one where b is small, but for a factor.
        temperature: what logits are divided by. The square keeps gradients about as large as at 1.
        mixture: b, between 0 and 1.

    Source: Hinton et al. 2015, arXiv:1503.02531 (temperature); Agarwal et al. 2023, arXiv:2306.13649 (the three).
    """

    kind: Kind = "forward"
    temperature: float = 1.0
    mixture: float = 0.5

    def losses(self, student: Tensor, teacher: Tensor | Top) -> Tensor:
        """The divergence of each row, with a gradient for the student.

        Args:
            student: logits (rows, classes); float64 is computed in float64, all else in float32.
            teacher: logits of the same shape; or, for "forward", its likeliest classes. All others are then one class
                of both: a lower bound of the whole divergence, equal to it where all classes are given.

        Returns: (rows).
        """
        found: Tensor = _Losses.apply(student, teacher, self)  # type: ignore[no-untyped-call]
        return found

    def with_gradient(self, student: Tensor, teacher: Tensor | Top) -> tuple[Tensor, Tensor]:
        """The divergence of each row (rows), and its gradient (rows, classes). Args as in `losses`."""
        softened = self._softened(student)
        if isinstance(teacher, Top):
            losses, gradient = _top(softened, teacher)
        else:
            losses, gradient = self._whole(softened.log_softmax(-1), self._softened(teacher).log_softmax(-1))
        return losses.mul_(self.temperature**2), gradient.mul_(self.temperature)

    def _softened(self, logits: Tensor) -> Tensor:
        wide = logits if logits.dtype == torch.float64 else logits.float()
        return wide if self.temperature == 1 else wide / self.temperature

    def _whole(self, log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
        q = log_q.exp()
        if self.kind == "forward":
            p = log_p.exp()
            return (log_p.sub_(log_q).mul_(p)).sum(-1), q.sub_(p)
        if self.kind == "reverse":
            apart = log_q.sub_(log_p)
            losses = (q * apart).sum(-1)
            return losses, apart.sub_(losses[:, None]).mul_(q)
        b = torch.tensor(self.mixture, dtype=log_q.dtype, device=log_q.device)
        log_m = torch.logaddexp(log_p + b.log(), log_q + (-b).log1p())
        of_p = (log_p.exp() * (log_p - log_m)).sum(-1)
        apart = log_q.sub_(log_m)
        of_q = (q * apart).sum(-1)
        return b * of_p + (1 - b) * of_q, apart.sub_(of_q[:, None]).mul_(q).mul_(1 - b)


def _top(softened: Tensor, teacher: Top) -> tuple[Tensor, Tensor]:
    """KL(P, Q) where all classes but the teacher's likeliest are one, and its gradient."""
    log_q = softened.log_softmax(-1)
    ids, log_p = teacher.ids, teacher.log_probabilities.to(log_q.dtype)
    p, log_q_top = log_p.exp(), log_q.gather(1, ids)
    losses = (p * (log_p - log_q_top)).sum(-1)
    gradient = log_q.exp()
    of_top = log_q_top.exp() - p
    if ids.shape[1] < log_q.shape[1]:
        rest = (1 - p.sum(-1)).clamp_(min=0)
        log_q_rest = log_q.scatter(1, ids, -torch.inf).logsumexp(-1)
        losses = losses + torch.xlogy(rest, rest) - rest * log_q_rest
        gradient.mul_((1 - rest * (-log_q_rest).exp())[:, None])
    return losses, gradient.scatter_(1, ids, of_top)


class _Losses(Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor | Top, how: Divergence) -> Tensor:
        losses, gradient = how.with_gradient(student, teacher)
        ctx.save_for_backward(gradient)
        ctx.dtype = student.dtype
        return losses

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * above[:, None]).to(ctx.dtype), None, None
