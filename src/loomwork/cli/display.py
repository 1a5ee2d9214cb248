"""What `loom run` shows while it runs: a line for each finished step, and live bars below on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from loomwork.cli.card import main_numbers
from loomwork.cli.text import COLOURS, MARKS, clip, duration, number, paint, width_of

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from loomwork.core.schedule import StepResult

QUIET_SECONDS = 20.0  # between two plain lines on one step's progress
FIRST = "it has not been run before"
REASONS_SHOWN = 3


class Display(AbstractContextManager["Display"], Protocol):
    def listen(self, event: str, name: str, data: Any) -> None:
        """Hear what the runner tells: see core.runner.Runner."""

    def say(self, line: str) -> None:
        """Print a line among the others."""


def open_display(steps: Iterable[str], *, silent: bool = False) -> Display:
    """The display that fits: none, live on a terminal, plain lines elsewhere.

    Args:
        steps: names of all steps, so that columns are aligned from the first line on.
        silent: show nothing.
    """
    if silent:
        return SilentDisplay()
    width = max((len(s) for s in steps), default=0)
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return LiveDisplay(width) if live else PlainDisplay(width)


class SilentDisplay(AbstractContextManager["SilentDisplay"]):
    def listen(self, event: str, name: str, data: Any) -> None:
        pass

    def say(self, line: str) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """Lines for logs and pipes: a step's end, and now and then how far a long one is."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.stream: IO[str] = sys.stdout  # kept: a light step's own standard output goes to its log
        self._told: dict[str, float] = {}
        self._why: dict[str, list[str]] = {}

    def listen(self, event: str, name: str, data: Any) -> None:
        if event in ("hit", "end"):
            for line in step_lines(data, self.width, self.stream):
                self.say(line)
        elif event == "wait":
            self.say(f"  … {name:{self.width}}  waits: {data}")
        elif event == "start":
            self._told[name] = time.monotonic()
        elif data["type"] == "progress" and time.monotonic() - self._told.get(name, 0.0) >= QUIET_SECONDS:
            self._told[name] = time.monotonic()
            with contextlib.suppress(BrokenPipeError):  # we are in a worker's thread: the next step's end will tell
                self.say(f"  … {name:{self.width}}  {_how_far(data)}")

    def say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def __exit__(self, *_: object) -> None:
        pass


def _how_far(event: Mapping[str, Any]) -> str:
    done, total, unit, note = event["done"], event["total"], event["unit"], event["note"]
    text = f"{number(done)} of {number(total)} {unit}" if total else f"{number(done)} {unit}"
    return f"{text.strip()}  {note}".rstrip()


class LiveDisplay:
    """Finished steps scroll up as lines; each running one has a bar below them."""

    def __init__(self, width: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.width = width
        self.stream: IO[str] = sys.stdout
        console = Console(file=self.stream, highlight=False)
        self._bars: Progress = Progress(
            TextColumn("  [cyan]●[/] {task.fields[title]}"),
            BarColumn(bar_width=24, style="bright_black", complete_style="cyan", pulse_style="cyan"),
            TextColumn("{task.fields[far]}[bright_black]{task.fields[rate]}[/]{task.fields[note]}"),
            console=console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._done: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def listen(self, event: str, name: str, data: Any) -> None:
        if event == "start":
            self._forget(name)
            self._add(name, "")
        elif event == "wait":
            self._add(name, f"waits: {data}")
        elif event in ("hit", "end"):
            self._forget(name)
            for line in step_lines(data, self.width, self.stream):
                self.say(line)
        elif data["type"] == "progress" and name in self._tasks:
            self._advance(name, data)

    def say(self, line: str) -> None:
        from rich.text import Text

        self._bars.console.print(Text.from_ansi(line), overflow="ellipsis", no_wrap=True)

    def _add(self, name: str, far: str) -> None:
        from rich.markup import escape

        fields: dict[str, Any] = {"title": escape(f"{name:{self.width}}"), "far": escape(far), "rate": "", "note": ""}
        self._tasks[name] = self._bars.add_task(name, total=None, **fields)
        self._started[name] = time.monotonic()
        self._done[name] = 0.0

    def _forget(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            self._bars.remove_task(task)

    def _advance(self, name: str, event: Mapping[str, Any]) -> None:
        from rich.markup import escape

        done, total, unit, note = event["done"], event["total"], event["unit"], event["note"]
        if done < self._done[name]:  # the step has begun another round
            self._started[name] = time.monotonic()
        self._done[name] = done
        passed = time.monotonic() - self._started[name]
        far = f"{number(done)} of {number(total)} {unit}" if total else f"{number(done)} {unit}"
        rate = ""
        if passed > 1 and done > 0 and unit not in ("s", "seconds"):
            rate = f"  {number(float(f'{done / passed:.3g}'))}/s"
            if total and total > done:
                rate += f"  {duration((total - done) * passed / done)} left"
        self._bars.update(
            self._tasks[name],
            completed=done,
            total=total,
            far=escape(far.strip()),
            rate=escape(rate),
            note=escape(f"  {note}" if note else ""),
        )


def step_lines(result: StepResult, width: int, stream: IO[str]) -> list[str]:
    """A finished step: its line, and a second one where there is a reason to tell."""
    if result.status == "stopped" and not result.run:
        return []  # never begun: the end of the run lists these
    style = COLOURS[result.status]
    mark = paint(MARKS[result.status], style, stream)
    status = paint(f"{result.status:7}", style, stream)
    spent = (
        f"{duration(result.seconds):>8}" if result.status in ("ran", "failed", "stopped") and result.run else " " * 8
    )
    told = clip(result.error, 200) if result.error else main_numbers(result.card)
    name = f"{result.name:{width}}"
    line = f"  {mark} {paint(name, 'dim', stream) if result.status == 'hit' else name}  {status}  {spent}  {told}"
    lines = [line.rstrip()]
    if result.why and result.why != [FIRST] and result.status in ("ran", "failed"):
        more = f"; and {len(result.why) - REASONS_SHOWN} more" if len(result.why) > REASONS_SHOWN else ""
        because = "; ".join(result.why[:REASONS_SHOWN]) + more
        lines.append(" " * (width_of(f"  x {name}  ")) + paint(f"because {because}", "dim", stream))
    return lines
