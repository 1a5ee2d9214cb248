"""Which files a path setting means: the same ones that its digest covers."""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase
from pathlib import Path

from loomwork.core.errors import InputError
from loomwork.core.step import Files


def list_files(path: Path, marker: Files) -> list[tuple[str, Path]]:
    """The files that a path setting stands for, in a fixed order.

    Args:
        path: a file, a folder (searched at every depth) or a glob.
        marker: the setting's mark; its pattern is matched with the file's name, its skip list with every piece
            of the path below the folder.

    Returns: pairs of a name relative to the folder (or to the part of the glob that has no wildcard) and the path.

    Raises:
        InputError: nothing is there.
    """
    if path.is_file():
        return [(path.name, path)]
    if path.is_dir():
        base, found = path, list(path.rglob("*"))
    else:
        base = _fixed_part(path)
        found = [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (Path.glob takes no absolute pattern)
        found += [p for folder in found if folder.is_dir() for p in folder.rglob("*")]
        if not found:
            raise InputError(f"nothing at {path}", "give a file, a folder or a glob such as 'corpus/**/*.jsonl'")
    named = {p.relative_to(base).as_posix(): p for p in found}
    return sorted((name, p) for name, p in named.items() if _counts(name, marker) and p.is_file())


def _counts(name: str, marker: Files) -> bool:
    pieces = name.split("/")
    return fnmatchcase(pieces[-1], marker.pattern) and not any(piece in marker.skip for piece in pieces)


def _fixed_part(pattern: Path) -> Path:
    """The folders of a glob that come before its first wildcard."""
    pieces = pattern.parts
    wild = next((i for i, piece in enumerate(pieces) if glob.has_magic(piece)), len(pieces) - 1)
    return Path(*pieces[:wild])
