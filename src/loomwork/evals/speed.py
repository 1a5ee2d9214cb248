"""How fast, and how large, are these encoders or classifiers? Measured side by side in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.score import write_json
from loomwork.core.step import Card, step
from loomwork.evals._mean_score import texts_of
from loomwork.models.engines import library_versions
from loomwork.models.stored import stored_numbers

QUERY_WORDS = 8  # a short query is this many first words of a text
QUERIES = 20  # single queries a round


@step(makes="measurement", uses=["numpy", "torch", "tokenizers"], heavy=True, version=library_versions(), measures=True)
def speed(
    models: dict[str, Model],
    data: Dataset,
    *,
    text: str = "passage",
    texts: Annotated[int, Ge(1)] = 256,
    rounds: Annotated[int, Ge(1)] = 5,
    max_tokens: Annotated[int, Ge(1)] | None = None,
    out: Path,
) -> Card:
    """Time encoders or classifiers in turn, interleaved so that a busy machine slows all of them alike.

    For each model: medians over the rounds of wall and CPU seconds a text (all texts in one call) and of the wall
    seconds of one short query alone, its files' bytes, and the numbers that its safetensors files hold. Written to
    `speed.json` and to the card as `NAME.texts_per_second` and so on.

    Args:
        models: encoders by name, or classifiers.
        data: rows with a text column.
        text: the column.
        texts: how many of the first texts are embedded each round.
        rounds: how often; each round starts with another model.
        max_tokens: how much of each text is read; by default as much as each model says.

    Raises:
        InputError: there is no model, or no text.
    """
    if not models:
        raise InputError("evals.speed has no model to time", "for example models: {small: $small}")
    data.require(text)
    data.require_rows()
    chosen = texts_of(data, text)[:texts]
    queries = [" ".join(t.split()[:QUERY_WORDS]) for t in chosen[:QUERIES]]
    runs = {name: _open(model, max_tokens) for name, model in models.items()}
    for run in runs.values():  # the first call allocates and compiles
        run(chosen[:8])
        run(queries[:1])
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    names = list(models)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(_time(runs[name], chosen, queries))
        context().progress(turn + 1, rounds, "rounds")
    report = {name: _summary(models[name], times[name], len(chosen)) for name in names}
    write_json(out / "speed.json", {"texts": len(chosen), "rounds": rounds, "models": report})
    return Card(metrics={f"{name}.{key}": float(v) for name, one in report.items() for key, v in one.items()})


def _open(model: Model, max_tokens: int | None) -> Callable[[list[str]], object]:
    """What is timed: texts to vectors, or to probabilities of classes."""
    from loomwork.models.classifier import TASK, load_classifier
    from loomwork.models.encoder import load_encoder
    from loomwork.models.folder import read_about

    if read_about(model).task != TASK:
        encoder = load_encoder(model)
        return lambda texts: encoder.embed(texts, max_tokens=max_tokens)
    classifier = load_classifier(model)
    classifier.max_tokens = max_tokens or classifier.max_tokens
    return classifier.probabilities


def _time(run: Callable[[list[str]], object], texts: list[str], queries: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of all texts, and the median wall seconds of one query."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    singles = []
    for query in queries:
        start = time.perf_counter()
        run([query])
        singles.append(time.perf_counter() - start)
    return wall, cpu, median(singles)


def _summary(model: Model, times: list[tuple[float, float, float]], texts: int) -> dict[str, float]:
    wall, cpu, query = (median(column) for column in zip(*times, strict=True))
    summary = {
        "texts_per_second": texts / wall,
        "wall_seconds_per_text": wall / texts,
        "cpu_seconds_per_text": cpu / texts,
        "query_p50_seconds": query,
        "bytes": sum(part["bytes"] for part in model.manifest["parts"].values()),
    }
    parameters = sum(map(stored_numbers, sorted(model.path.rglob("*.safetensors"))))
    return {**summary, "stored_numbers": parameters} if parameters else summary
