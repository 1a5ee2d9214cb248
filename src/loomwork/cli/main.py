"""The `loom` command: its verbs, found and imported only when they are asked for, and how its errors end.

A verb's module imports nothing but typer and cli helpers at its top, so `loom --help` stays quick.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from loomwork.core.errors import LoomError

VERBS = {
    "init": "loomwork.cli.init:init",
    "run": "loomwork.cli.run:run",
    "estimate": "loomwork.cli.estimate:estimate",
    "call": "loomwork.cli.call:call",
    "steps": "loomwork.cli.steps:steps",
    "show": "loomwork.cli.show:show",
    "rows": "loomwork.cli.rows:rows",
    "why": "loomwork.cli.why:why",
    "diff": "loomwork.cli.diff:diff",
    "compare": "loomwork.cli.compare:compare",
    "lineage": "loomwork.cli.lineage:lineage",
    "name": "loomwork.cli.name:name",
    "ask": "loomwork.cli.ask:ask",
    "generate": "loomwork.cli.generate:generate",
    "serve": "loomwork.cli.serve:serve",
    "watch": "loomwork.cli.watch:watch",
    "forget": "loomwork.cli.forget:forget",
    "gc": "loomwork.cli.gc:gc",
    "verify": "loomwork.cli.verify:verify",
    "remake": "loomwork.cli.remake:remake",
}
STOPPED = 130


class LazyCommands(Mapping[str, Any]):
    """The verbs' commands by name; a verb's module is imported when its command is taken out."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, verb: str) -> Any:
        if verb not in self._made:
            module, _, function = VERBS[verb].partition(":")
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(verb)(getattr(importlib.import_module(module), function))
            self._made[verb] = typer.main.get_command(single)
        return self._made[verb]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class Verbs(TyperGroup):
    """Typer's group with lazy commands. Errors of ours become a message and an exit code, never a traceback."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a closed pipe must show here, where it ends quietly
            return result
        except (LoomError, KeyboardInterrupt, OSError) as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):
                raise
            if isinstance(error, KeyboardInterrupt):
                sys.stdout.flush()
                # a further one while Python is ending would make it a death by signal, with another exit code
                signal.signal(signal.SIGINT, lambda *_: os._exit(STOPPED))
            raise typer.Exit(complain(error)) from None


def complain(error: BaseException) -> int:
    """Print an error for people on standard error. Returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        return STOPPED
    if isinstance(error, LoomError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    from loomwork.core.errors import without_secrets
    from loomwork.core.job import explain

    print(f"error: {without_secrets(explain(error))}", file=sys.stderr)
    return LoomError.exit_code


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"loomwork {version('loomwork')}")
        raise typer.Exit


app = typer.Typer(
    cls=Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@app.callback()
def loom(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", envvar="LOOMWORK_DEBUG", help="Show the traceback of an error; that of a step is in its log."
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """From raw text and a base model to a smaller, better, proven model behind an API, with one lineage.

    \b
    Examples:
      loom init my-project --data texts/     a project that runs on your own files
      loom run recipe.yaml                   run its steps; what is unchanged is not run again
      loom show                              what is there
      loom rows dedup/dropped                the rows that the step dedup dropped, and why
      loom steps data.near_dedup             everything about one step

    \b
    The home, where results are kept, is the `.loom` of this folder or of the nearest one above; --home or the
    variable LOOMWORK_HOME choose another.

    \b
    Exit codes: 0 done; 1 a step failed; 2 bad input or recipe; 3 a gate refused, the name was not moved;
    4 damage or loss was found; 130 stopped.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" for our marks
    here = os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    if here not in sys.path:
        sys.path.append(here)  # a project's own steps: `use: my_steps:function`
