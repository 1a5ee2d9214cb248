"""Whole texts under a model, wherever it runs; what was answered is kept in the step's folder `kept`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loomwork.core.artifact import Model
from loomwork.core.context import context

if TYPE_CHECKING:
    from loomwork.models.scoring.requests import Scoring, Windows


def rolled(model: Model, texts: list[str], windows: Windows, max_tokens: int | None = None) -> Scoring:
    """The log-probability of each text.

    Args:
        model: a causal language model, of any engine that scores.
        texts: however long.
        windows: see `Rolling`.
        max_tokens: the most tokens that the model reads at once; None for all of its context.
    """
    from loomwork.models.scorer import load_scorer
    from loomwork.models.scoring.requests import Rolling

    settings = None
    if max_tokens is not None:
        from loomwork.models.scoring.run import Settings

        settings = Settings(max_tokens=max_tokens)
    keep = context().kept / "answers.sqlite" if context().work_folder else None  # alone, nothing could read it again
    return load_scorer(model, settings=settings).score([Rolling(text, windows) for text in texts], keep=keep)
