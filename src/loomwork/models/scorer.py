"""A causal language model that answers requests, on the engine that its `loomwork.json` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.engines import Scorer, find_engine
from loomwork.models.folder import read_about

if TYPE_CHECKING:
    from loomwork.models.scoring.run import Settings


def load_scorer(model: Model, *, threads: int | None = None, settings: Settings | None = None) -> Scorer:
    """Open a model to be scored.

    Args:
        model: a folder of a causal language model, or one that says where it answers (models/engines/http.py).
        threads: of the engine; None for what the running step may use.
        settings: of models that run here; None for the usual ones.

    Raises:
        InputError: it is no causal language model, or its engine cannot score.
    """
    about = read_about(model)
    if about.task != "generate":
        raise InputError(f"the model {model.path} is for the task {about.task!r}: it gives texts no probabilities")
    engine = find_engine(about.engine)
    if not hasattr(engine, "scorer"):
        raise InputError(
            f"the engine {about.engine!r} of {model.path} scores no texts", "engines that do: torch and http"
        )
    scorer: Scorer = engine.scorer(model, about, threads or context().threads, settings)
    return scorer
