"""Light steps for the tests of the command line, used in recipes as `sample_steps:name`."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loomwork.core.artifact import Artifact
from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import Stopped
from loomwork.core.score import Interval, Ruling, Score, Scores, write_scores, write_verdict
from loomwork.core.step import Card, step


@step(makes="dataset")
def lines(*, path: Path, out: Path) -> Card:
    """Read the lines of a text file.

    Args:
        path: the file.
    """
    rows = [{"text": line} for line in Path(path).read_text("utf-8").splitlines()]
    with DatasetWriter(out) as writer:
        writer.write(rows)
    return Card({"rows": len(rows)})


@step(makes="dataset")
def longer(data: Dataset, *, words: int = 2, out: Path) -> Card:
    """Keep the rows of at least so many words.

    Args:
        data: rows with a text.
        words: how many.
    """
    with DatasetWriter(out) as writer:
        for shard in data.shards():
            texts = pq.read_table(shard).column("text").to_pylist()
            writer.keep(shard, [len(t.split()) >= words for t in texts], "too short")
    return Card({"rows": writer.counts["data"], "rows_dropped": sum(writer.reasons.values())})


@step(makes="page")
def page(data: Dataset, *, out: Path) -> None:
    """Show how many rows there are.

    Args:
        data: rows.
    """
    (out / "page.html").write_text(f"<!doctype html><title>{len(data)} rows</title>", "utf-8")


@step(makes="model")
def vocabulary(data: Dataset, *, out: Path) -> Card:
    """The words of a dataset, a line each."""
    words = sorted({w for row in data.rows(["text"]) for w in row["text"].split()})
    (out / "words.txt").write_text("\n".join(words), "utf-8")
    return Card({"words": len(words), "size_bytes": 1536.0})


@step(makes="scores")
def coverage(model: Artifact, data: Dataset, *, out: Path) -> Card:
    """The share of words that the vocabulary has."""
    known = set(model.file("words.txt").read_text("utf-8").split())
    rows = [(r["row_id"], [w in known for w in r["text"].split()]) for r in data.rows()]
    values = [sum(found) / len(found) for _, found in rows]
    value = sum(values) / len(values)
    score = Score(
        name="coverage", value=value, unit="share of words", direction="higher is better", n=len(rows),
        cluster_unit="item", n_clusters=len(rows), interval=Interval(max(0.0, value - 0.1), value, 0.95, "by hand"),
        items="items", data=data.digest, model=model.digest, settings="none", contamination="unknown",
    )  # fmt: skip
    items = pa.table({"row_id": pa.array([r for r, _ in rows], pa.binary(16)), "coverage": values})
    write_scores(out, [score], items)
    return Card(scores=[score])


@step(makes="verdict")
def at_least(scores: Scores, *, limit: float = 0.5, out: Path) -> Card:
    """Pass when the score reaches a limit."""
    score = scores.score()
    passed = score.value >= limit
    reason = f"{score.value:.2f} is {'at least' if passed else 'below'} {limit}"
    write_verdict(out, Ruling("pass" if passed else "refuse", reason, 0.05, {"value": score.value}))
    return Card(notes=[reason])


@step(makes="dataset")
def broken(data: Dataset, *, out: Path) -> Card:
    """Fail."""
    raise ValueError("this one is broken")


@step(makes="measurement")
def sleepy(data: Dataset, *, seconds: float = 60.0, out: Path) -> Card:
    """Sleep in the runner's own process."""
    time.sleep(seconds)
    (out / "done.txt").write_text("done")
    return Card()


@step(makes="measurement", heavy=True)
def deaf(data: Dataset, *, seconds: float = 60.0, out: Path) -> Card:
    """Sleep in a process of its own, and hear nothing."""
    time.sleep(seconds)
    (out / "done.txt").write_text("done")
    return Card()


@step(makes="measurement", heavy=True)
def patient(data: Dataset, *, seconds: float = 60.0, out: Path) -> Card:
    """Wait, and stop when asked."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        context().progress(passed, seconds, "s", note="waiting")
        if context().stop_requested:
            raise Stopped("stopped while waiting")
        time.sleep(0.05)
    (out / "done.txt").write_text("done")
    return Card()
