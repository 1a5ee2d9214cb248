"""A model that answers over HTTP, as a model that evaluations can score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt

from loomwork.core.step import Card, step


@step(makes="model")
def endpoint(
    *,
    url: str,
    model: str,
    revision: str = "",
    key_variable: str = "",
    begin: str = "",
    timeout_seconds: Annotated[float, Gt(0)] = 60.0,
    attempts: Annotated[int, Ge(1)] = 5,
    at_once: Annotated[int, Ge(1)] = 8,
    window_characters: Annotated[int, Ge(2)] = 8000,
    out: Path,
) -> Card:
    """Name an OpenAI-compatible endpoint as a model. Nothing is asked of it yet.

    Its answers may change while its name stays: whoever runs the server says so with another `revision`.

    Args:
        url: such as http://127.0.0.1:8000/v1; calls go to its /completions.
        model: its name there.
        revision: any text that tells what answers now from what answered before.
        key_variable: the environment variable that holds the key; the key itself is never written down.
        begin: the text of the beginning-of-text token, for empty contexts.
        timeout_seconds: of one call.
        attempts: how often a call is made that fails in a way that may pass.
        at_once: how many calls are under way at the same time.
        window_characters: the most of a long text that one call holds.

    Raises:
        InputError: the url is none.
    """
    from loomwork.core.artifact import Model
    from loomwork.models.engines.http import Endpoint
    from loomwork.models.folder import About, save_about

    given = {
        "url": url, "model": model, "key_variable": key_variable, "begin": begin, "timeout_seconds": timeout_seconds,
        "attempts": attempts, "at_once": at_once, "window_characters": window_characters,
    }  # fmt: skip
    about = About("generate", engine="http", origin={"revision": revision} if revision else {}, endpoint=given)
    Endpoint.of(Model(out), about)
    save_about(out, about)
    return Card(notes=[f"{model} at {url}"])
