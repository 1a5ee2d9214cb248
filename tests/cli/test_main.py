"""The command as a whole: help, lazy imports, exit codes of errors, pipes, completion."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from cli.conftest import PYTHONPATH, Project
from loomwork.cli.main import VERBS, LazyCommands, complain
from loomwork.cli.show import RECIPE
from loomwork.core import errors, runner

HEAVY = ("torch", "transformers", "sqlalchemy", "pyarrow", "polars", "numba", "numpy", "fastapi", "rich", "scipy")
MODULES = "import sys; sys.stderr.write(chr(10) + ' '.join(sorted(sys.modules)))"


def modules_after(project: Project, *words: str) -> set[str]:
    """The modules that a command has imported by its end."""
    code = f"import atexit; atexit.register(lambda: exec({MODULES!r})); from loomwork.cli.main import app; app()"
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
    )
    return set(ended.stderr.strip().split("\n")[-1].split())


def test_help_imports_nothing_heavy(project: Project) -> None:
    assert not modules_after(project, "--help") & {*HEAVY, "pydantic", "loomwork.core.ledger"}


def test_show_imports_the_ledger_and_no_more(ran: Project) -> None:
    found = modules_after(ran, "show")
    assert "sqlalchemy" in found
    assert not found & ({*HEAVY} - {"sqlalchemy"})


def test_a_run_that_has_nothing_to_do_imports_no_model_library(ran: Project) -> None:
    assert not modules_after(ran, "run") & {"torch", "transformers", "polars", "numba", "scipy", "rich"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(project: Project, verb: str) -> None:
    out = project(verb, "--help")
    assert "Examples:" in out or "Example:" in out
    assert f"loom {verb}" in out
    command = LazyCommands()[verb]
    assert len((inspect.getdoc(command.callback) or "").split("\n")[0]) <= 100


def test_help_lists_every_verb(project: Project) -> None:
    out = project("--help")
    assert all(f"\n  {verb} " in out for verb in VERBS)
    assert project("--version").startswith("loomwork ")


def test_every_error_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(errors.StepFailed("a")) == 1
    assert complain(errors.InputError("a", "do b")) == 2
    assert complain(errors.RecipeError("a", file="r.yaml", line=3)) == 2
    assert complain(errors.GateRefused("a")) == 3
    assert complain(errors.DamagedArtifact("a")) == complain(errors.LostArtifact("a")) == 4
    assert complain(KeyboardInterrupt()) == complain(errors.Stopped("a")) == 130
    told = capsys.readouterr().err
    assert "error: a\n  do b" in told
    assert "error: r.yaml:3: a" in told


def test_an_unknown_verb_gets_the_nearest_and_2(project: Project) -> None:
    assert "Did you mean 'run'" in project.result("rum", code=2).stderr


def test_debug_shows_the_traceback(project: Project) -> None:
    result = project.result("--debug", "show", "nothing", code=1)
    assert isinstance(result.exception, errors.InputError)
    assert project.result("show", "nothing", code=2).stderr.startswith("error: ")


def test_a_closed_pipe_ends_quietly(project: Project) -> None:
    running = project.spawn("steps")
    assert running.stdout
    assert running.stderr
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    running.wait(timeout=120)


def test_completion_of_verbs_and_names(ran: Project) -> None:
    def complete(line: str) -> str:
        words = dict(_LOOM_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
        code = "from loomwork.cli.main import app; app(prog_name='loom')"
        running = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ran.folder,
            env={**words, "PYTHONPATH": PYTHONPATH},
            capture_output=True,
            text=True,
        )
        return running.stdout

    assert "remake" in complete("loom rem")
    assert "words@champion" in complete("loom show wor")
    assert "data.split" in complete("loom steps data.sp")


def test_the_name_of_recipe_runs_is_the_runners() -> None:
    assert RECIPE == runner.RECIPE
