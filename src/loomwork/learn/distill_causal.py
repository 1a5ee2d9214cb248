"""The objective of a causal language model that learns from a teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from loomwork.core.errors import InputError
from loomwork.learn.causal import TokenPart
from loomwork.learn.distill_loss import Mix, Projections, linear_distillation
from loomwork.learn.teachers import Teacher
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.plain_decoder import PlainDecoder


class DistilledCausal(torch.nn.Module):
    """The mean over a batch's learned tokens of the mixed loss.

    Args:
        decoder: of the student.
        teacher: not trained, and no part of this module.
        mix: the loss.
        projections: for hidden states; None where they are not compared.

    Raises:
        InputError: hidden states are to be compared, and transformers' own forward pass has to run the student.
    """

    def __init__(
        self, decoder: FlatDecoder | PlainDecoder, teacher: Teacher, mix: Mix, projections: Projections | None
    ) -> None:
        super().__init__()
        if projections is not None and isinstance(decoder, PlainDecoder):
            raise InputError("hidden states of this student cannot be compared", "set hidden_weight: 0")
        self.decoder, self.mix, self.projections = decoder, mix, projections
        self.teacher = teacher

    def forward(self, part: TokenPart) -> Tensor:
        scored = (part.targets != IGNORED).nonzero().squeeze(1)
        targets = part.targets.index_select(0, scored)
        given = self.teacher.of(part, scored)
        if isinstance(self.decoder, PlainDecoder):
            logits = self.decoder.logits(part.flat, scored)
            return self.mix.losses(logits, targets, given.taught(0, len(scored))).sum() * part.share
        found, head, tied = self.decoder.states_and_head(part.flat, tuple(self.mix.layers))
        *between, last = (states.index_select(0, scored) for states in found)
        loss = linear_distillation(last, head, targets, given.taught, self.mix, part.share, tied)
        if self.projections is not None:
            loss = loss + self.mix.hidden_weight * self.projections(between, given.states).sum() * part.share
        return loss
