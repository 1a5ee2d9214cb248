"""loom watch: take in data as it arrives."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from loomwork.core.home import Home
    from loomwork.core.recipe import Recipe

State = dict[str, tuple[int, int]]  # path -> (bytes, modification time in nanoseconds)
FAILED = 1


def watch(
    folder: Annotated[Path, typer.Argument(help="Where files arrive.")],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Run this instead of reading, checking and naming the folder.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of --recipe.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The name that the newest good version gets.")] = "",
    tolerance: Annotated[float, typer.Option("--tolerance", help="How much drift is allowed, as a distance.")] = 0.1,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", metavar="COLUMN", help="No drift of this column, such as a running number."),
    ] = None,
    every_seconds: Annotated[float, typer.Option("--every", min=0.1, help="How often to look, in seconds.")] = 5.0,
    quiet_seconds: Annotated[
        float, typer.Option("--quiet", min=0.0, help="How long files must rest before they are read, in seconds.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Take in what is there now, and end.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a folder, and take in what arrives as a new version of a dataset.

    Each time files were added, changed or removed and then rested, the folder is read, checked (data.expect: drift of
    any column against the last good version, at alpha 0.05, but of those left out; a column that is gone is drift)
    and, if that passes, named. A version that is refused is kept and not named; the reason is told. With --recipe that
    recipe is run instead. What has not changed since it was last taken in, also by an earlier watch, is not read again.
    Ctrl-C ends it.

    \b
    Examples:
      loom watch inbox/                                  names inbox@latest
      loom watch inbox/ --name corpus@latest --tolerance 0.05 --leave-out id
      loom watch inbox/ --recipe recipe.yaml --set path=inbox/
      loom watch inbox/ --once                           for cron; exits like loom run

    \b
    Exit codes of --once: 0 taken in, 1 a step failed, 2 it cannot run, 3 refused.
    """
    from loomwork.core.errors import InputError, Stopped
    from loomwork.core.home import open_home

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", "make it first, then watch it")
    if settings and recipe is None:
        raise InputError("--set needs --recipe", "the built-in recipe has no settings of its own")
    opened, built_in = open_home(home), arrival_recipe(folder, name, tolerance, leave_out or [])
    done: State | None = None
    told = _Told()
    while True:
        seen = _resting(folder, quiet_seconds)
        if seen is not None and seen != done and (seen or done):
            code = _take_in(opened, folder, recipe or built_in, settings or [], as_json=as_json)
            if once or told.to_stop:  # a run may have taken the Ctrl-C for itself
                raise typer.Exit(Stopped.exit_code if told.to_stop else code)
            done = seen
        elif once:
            _say(f"{folder} holds no file" if seen is not None else f"{folder} is still being written to", as_json)
            raise typer.Exit(0 if seen is not None else FAILED)
        time.sleep(every_seconds)


class _Told:
    """Remembers that Ctrl-C was pressed, whoever took the KeyboardInterrupt."""

    def __init__(self) -> None:
        self.to_stop = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: Any) -> None:
        self.to_stop = True
        raise KeyboardInterrupt


def _resting(folder: Path, quiet_seconds: float) -> State | None:
    """The files below a folder, or None while they change."""
    before = _files(folder)
    newest = max((changed for _, changed in before.values()), default=0)
    if time.time() - newest / 1e9 < quiet_seconds:
        time.sleep(quiet_seconds)
        return before if _files(folder) == before else None
    return before


def _files(folder: Path) -> State:
    found: State = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith("."):
            continue  # half-written by rsync and editors
        try:
            status = path.stat()
        except OSError:  # it went away between the listing and here
            continue
        if path.is_file():
            found[str(path.relative_to(folder))] = status.st_size, status.st_mtime_ns
    return found


def _take_in(home: Home, folder: Path, recipe: Path | dict[str, Any], settings: list[str], *, as_json: bool) -> int:
    """Run the recipe once. Its errors are told, and do not end the watch."""
    from loomwork.cli.run import carry_out, parse_settings
    from loomwork.core.errors import LoomError
    from loomwork.core.recipe import load_recipe

    _say(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {folder}", as_json)
    try:
        found: Recipe = load_recipe(recipe, parse_settings(settings))
        return carry_out(home, found, jobs=1, on="local", as_json=as_json)
    except LoomError as error:
        typer.echo(f"error: {error}", err=True)
        return error.exit_code


def arrival_recipe(folder: Path, name: str, tolerance: float, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """The recipe that reads a folder, checks it against the last good version, and names it."""
    label = name if "@" in name else f"{name or folder.resolve().name}@latest"
    drift = ["*", *(f"-{column}" for column in leave_out)]
    checked = {"use": "data.expect", "data": "$raw", "baseline": label, "drift": drift, "tolerance": tolerance}
    return {
        "recipe": f"watch-{label.partition('@')[0]}",
        "steps": {"raw": {"use": "data.read", "path": str(folder)}, "checked": checked},
        "gate": "$checked",
        "name": {label: "$raw"},
    }


def _say(text: str, as_json: bool) -> None:
    if not as_json:
        typer.echo(text)
