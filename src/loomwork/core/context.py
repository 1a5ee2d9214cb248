"""What a running step can ask of its runner. Outside a runner every answer is a harmless default."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from loomwork.core.scratch import scratch_folder

Event = dict[str, Any]


@dataclass
class Context:
    """The running step's side of the runner.

    Args:
        key: the step's cache key; names its `work` folder.
        work_folder: kept across kills until the step has succeeded, so that a step can resume.
        kept_folder: kept across calls of the step by the same code, libraries, device and precision, whatever their
            settings and inputs.
        device: where models run ("cpu", "cuda:0", "mps").
        precision: the resolved number format ("float32", "bfloat16", "float16").
        threads: how many threads the step may use.
        forgotten: ids of rows that `loom forget` removed; DatasetWriter leaves them out.
        report: receives progress and metric events.
        stop_file: exists once the user has asked to stop.
    """

    key: str = ""
    work_folder: Path | None = None
    kept_folder: Path | None = None
    device: str = "cpu"
    precision: str = "float32"
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    forgotten: frozenset[bytes] = frozenset()
    report: Callable[[Event], None] = lambda event: None
    stop_file: Path | None = None

    @cached_property
    def work(self) -> Path:
        """A folder for half-done work. The runner keeps it per key; alone, it is gone when the process ends."""
        if self.work_folder is None:
            return scratch_folder()
        self.work_folder.mkdir(parents=True, exist_ok=True)
        return self.work_folder

    @property
    def kept(self) -> Path:
        """A folder for what other calls of the step may need too, under keys of its own; `loom gc` empties it."""
        if self.kept_folder is None:
            return self.work
        self.kept_folder.mkdir(parents=True, exist_ok=True)
        return self.kept_folder

    @property
    def stop_requested(self) -> bool:
        """True once the user has asked to stop: save what can be resumed, then raise errors.Stopped."""
        return self.stop_file is not None and self.stop_file.exists()

    def progress(self, done: float, total: float | None = None, unit: str = "", note: str = "") -> None:
        """Show how far the step is, e.g. progress(120, 400, "steps", note="loss 0.41")."""
        self.report({"type": "progress", "done": done, "total": total, "unit": unit, "note": note})

    def metric(self, name: str, value: float, step: int) -> None:
        """Record one point of a metric series (a live curve)."""
        self.report({"type": "metric", "name": name, "value": float(value), "step": int(step)})


_current: ContextVar[Context | None] = ContextVar("loomwork_context", default=None)


def context() -> Context:
    """The context of the step that is running here."""
    return _current.get() or Context()  # alone, each call has a `work` of its own: nothing is resumed by mistake


@contextmanager
def use_context(new: Context) -> Iterator[Context]:
    """Run a block under another context (for executors)."""
    token = _current.set(new)
    try:
        yield new
    finally:
        _current.reset(token)
