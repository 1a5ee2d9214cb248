"""Every error a user can meet. Each says what happened, where, and what to do next.

LoomError               exit code
├── InputError          2   bad data, path, setting or name given by the user
├── RecipeError         2   a recipe that cannot run; carries file and line
├── MissingDependency   2   an optional library that a step needs
├── StepFailed          1   a step raised, or its process died
├── GateRefused         3   the recipe ran, and its gate did not pass
├── DamagedArtifact     4   bytes in the store that are not what they were
├── LostArtifact        4   an artifact the ledger knows and the store does not have
└── Stopped             130 the user asked to stop; finished work is kept
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

USER = re.compile(r"(\w+://)([^\s/@:]*):[^\s/]*@")  # a password may hold "@" itself: up to the last one
SECRET = re.compile(r"([?&;][\w-]*(?:key|secret|token|sig|signature|password)=)[^\s&;]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A text whose URLs have no passwords, keys or tokens: it may go into messages and the ledger."""
    return SECRET.sub(r"\1***", USER.sub(r"\1\2:***@", text))


class LoomError(Exception):
    """An error with a message for people. The secrets of URLs in it are hidden.

    Args:
        what: what happened, and where.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = without_secrets(what), without_secrets(hint)
        super().__init__(self.what, self.hint)

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}" if self.hint else self.what


class InputError(LoomError):
    exit_code = 2


class RecipeError(LoomError):
    """A fault in a recipe, at `file:line` where they are known."""

    exit_code = 2

    def __init__(self, what: str, hint: str = "", file: str | Path = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + what, hint)
        self.file, self.line = str(file), line


class MissingDependency(LoomError):
    exit_code = 2

    def __init__(self, needed_by: str, package: str, extra: str = "") -> None:
        target = f"'loomwork[{extra}]'" if extra else package
        super().__init__(f"{needed_by} needs the package {package!r}, which is not installed", f"pip install {target}")


class StepFailed(LoomError):
    exit_code = 1


class GateRefused(LoomError):
    exit_code = 3


class DamagedArtifact(LoomError):
    exit_code = 4


class LostArtifact(LoomError):
    exit_code = 4


class Stopped(LoomError):
    exit_code = 130


def did_you_mean(word: str, known: Iterable[str], *, show: int = 8) -> str:
    """A hint with the nearest known words, or the list of them when none is near."""
    choices = sorted(set(known))
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(w) for w in near) + "?"
    if not choices:
        return "there are none to choose from"
    more = f", ... ({len(choices)} in all)" if len(choices) > show else ""
    return "known: " + ", ".join(choices[:show]) + more
