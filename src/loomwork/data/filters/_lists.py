"""Lists in files, one entry a line."""

from __future__ import annotations

from pathlib import Path

from loomwork.core.errors import InputError


def read_list(path: Path) -> list[str]:
    """The entries of a list: its lines without the white space around them, blank lines and # comments left out.

    Raises:
        InputError: it is not UTF-8 text, or has no entries.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    found = [entry for line in lines if (entry := line.strip()) and not entry.startswith("#")]
    if not found:
        raise InputError(f"{path} has no entries", "one a line; lines that begin with # are comments")
    return found
