"""Settings that are paths: which files they mean, and a digest of those that is cheap to take again."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import json
import os
import time
import uuid
from pathlib import Path

from loomwork.core.artifact import digest, file_digest
from loomwork.core.errors import InputError
from loomwork.core.step import Files

# A file changed so lately could change again within the clock's grain without showing it.
FRESH_SECONDS = 2.0


def list_files(path: str | Path, marker: Files | None = None) -> list[tuple[str, Path]]:
    """The files that a path setting means: a file, a glob, or all files below a folder.

    Args:
        path: a file, a folder, or a glob ("corpus/**/*.jsonl").
        marker: for a folder, which file names count and which names are skipped at any depth.

    Returns: (name relative to the folder, or to the glob's fixed part; path), sorted by name.

    Raises:
        InputError: nothing is there.
    """
    marker = marker or Files()
    text = str(Path(path).expanduser())
    if glob.has_magic(text) and not Path(text).exists():
        pieces = Path(text).parts
        fixed = next(i for i, piece in enumerate(pieces) if glob.has_magic(piece))
        base = Path(*pieces[:fixed]) if fixed else Path()
        found = [p for p in base.glob("/".join(pieces[fixed:])) if p.is_file()]
        if not found:
            raise InputError(f"no file matches {path}", f"the part without a wildcard is {base.resolve()}")
        return sorted((p.relative_to(base).as_posix(), p) for p in found)
    top = Path(text)
    if top.is_file():
        return [(top.name, top)]
    if not top.is_dir():
        raise InputError(f"no such file or folder: {path}", f"looked in {Path.cwd()}")
    return sorted(_below(top, marker))


def _below(top: Path, marker: Files) -> list[tuple[str, Path]]:
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = [f for f in folders if not _skipped(f, marker)]
        for name in names:
            if fnmatch.fnmatch(name, marker.pattern) and not _skipped(name, marker):
                path = Path(folder, name)
                found.append((path.relative_to(top).as_posix(), path))
    return found


def _skipped(name: str, marker: Files) -> bool:
    return name.startswith(".") or any(fnmatch.fnmatch(name, skip) for skip in marker.skip)


def digest_files(path: str | Path, marker: Files, cache: Path) -> str:
    """The digest of the names and bytes that a path setting means.

    Args:
        path, marker: as for `list_files`.
        cache: a folder of digests by (size, time, inode), so that unchanged files are not read again.
    """
    files = list_files(path, marker)
    book_path = cache / (digest([str(Path(path).absolute()), marker.pattern, marker.skip])[:32] + ".json")
    book: dict[str, list[object]] = {}
    with contextlib.suppress(OSError, ValueError):
        book = json.loads(book_path.read_bytes())
    now, found, new = time.time(), {}, {}
    for name, file in files:
        stat = file.stat()
        key = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = book.get(name)
        sha = str(known[4]) if known and known[:4] == key else file_digest(file)
        found[name] = sha
        if now - max(stat.st_mtime, stat.st_ctime) > FRESH_SECONDS:
            new[name] = [*key, sha]
    if new != book:
        cache.mkdir(parents=True, exist_ok=True)
        aside = book_path.with_suffix(f".{uuid.uuid4().hex}")
        aside.write_text(json.dumps(new))
        aside.replace(book_path)
    return digest(found)
