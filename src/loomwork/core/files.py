"""Settings that are paths: which files they mean, and a digest of those that is cheap to take again."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import json
import os
import shutil
import stat
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from loomwork.core.artifact import digest, file_digest
from loomwork.core.errors import InputError
from loomwork.core.remote import Remote, is_url, list_remote
from loomwork.core.scratch import scratch_folder
from loomwork.core.step import Files

STANDARD_INPUT = "-"
ANEW = "read anew: "  # begins what stands for a source of which nothing can be known before it is read
SPOOLED = "LOOMWORK_STDIN"  # tells processes that this one starts where the standard input was written to

# A file changed so lately could change again within the clock's grain without showing it.
FRESH_SECONDS = 2.0


def list_sources(path: str | Path, marker: Files | None = None) -> list[tuple[str, Path | Remote]]:
    """The same as `list_files`, also for URLs, and for "-", the standard input.

    Raises:
        InputError: nothing is there.
    """
    if is_url(path):
        return list(list_remote(str(path)))
    if str(path) == STANDARD_INPUT:
        return [("stdin", spooled_input())]
    return list(list_files(path, marker))


def spooled_input() -> Path:
    """A file with all of the standard input, which can be read only once; it is gone when the process ends.

    Raises:
        InputError: nothing is piped in.
    """
    known = os.environ.get(SPOOLED)
    if known and Path(known).is_file():
        return Path(known)
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("path is -, and nothing is piped in", "as in: cat notes.txt | loom call data.read path=-")
    folder = scratch_folder()
    with (folder / "stdin").open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    os.environ[SPOOLED] = str(folder / "stdin")
    return folder / "stdin"


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
    if is_url(path):
        raise InputError(f"{path} is a URL, and a path on disk is needed here", "data.read takes URLs")
    if str(path).lower().startswith("file://"):
        path = unquote(urlsplit(str(path)).path)
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


def leads_out(path: str | Path, file: Path) -> bool:
    """Whether a file that a folder or glob means lies elsewhere, behind a link.

    Args:
        path: the setting; a link that it names itself is followed.
        file: what `list_files` gives for it.
    """
    text = Path(unquote(urlsplit(str(path)).path) if str(path).lower().startswith("file://") else path).expanduser()
    top = text
    if glob.has_magic(str(text)) and not text.exists():
        top = Path(*text.parts[: next(i for i, piece in enumerate(text.parts) if glob.has_magic(piece))])
    elif not text.is_dir():
        return False
    return not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(top))


def _below(top: Path, marker: Files) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []

    def refused(error: OSError) -> None:  # it is read like a file, so that it is counted
        path = Path(error.filename)
        found.append((path.relative_to(top).as_posix(), path))

    for folder, folders, names in os.walk(top, onerror=refused):
        folders[:] = [f for f in folders if not _skipped(f, marker)]
        for name in names:
            if fnmatch.fnmatch(name, marker.pattern) and not _skipped(name, marker):
                path = Path(folder, name)
                if not _endless(path):
                    found.append((path.relative_to(top).as_posix(), path))
    return found


def _endless(path: Path) -> bool:
    """Whether it is a pipe, a socket or a device: reading one may never end. A broken link is none."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _skipped(name: str, marker: Files) -> bool:
    return name.startswith(".") or any(fnmatch.fnmatch(name, skip) for skip in marker.skip)


def digest_files(path: str | Path, marker: Files, cache: Path) -> str:
    """The digest of the names and bytes that a path setting means.

    Args:
        path, marker: as for `list_files`.
        cache: a folder of digests by (size, time, inode), so that unchanged files are not read again.

    Returns: the digest; of a URL whose server tells nothing of a file's content, ANEW and something new each time.
    """
    if is_url(path):
        stamps = {name: remote.stamp for name, remote in list_remote(str(path))}
        return digest(stamps) if all(stamps.values()) else f"{ANEW}{uuid.uuid4().hex}"
    files = [(n, f) for n, f in list_sources(path, marker) if isinstance(f, Path)]
    book_path = cache / (digest([str(Path(path).absolute()), marker.pattern, marker.skip])[:32] + ".json")
    book: dict[str, list[object]] = {}
    with contextlib.suppress(OSError, ValueError):
        book = json.loads(book_path.read_bytes())
    now = time.time()
    found: dict[str, str] = {}
    new: dict[str, list[object]] = {}
    for name, file in files:
        try:
            found[name], entry = _known_digest(file, book.get(name))
        except OSError as error:  # reading it will set it aside
            found[name] = f"unreadable: {type(error).__name__}"
            continue
        if now - max(float(entry[1]), float(entry[2])) / 1e9 > FRESH_SECONDS:
            new[name] = [*entry]
    if new != book:
        cache.mkdir(parents=True, exist_ok=True)
        aside = book_path.with_suffix(f".{uuid.uuid4().hex}")
        aside.write_text(json.dumps(new))
        aside.replace(book_path)
    return digest(found)


def _known_digest(file: Path, known: list[object] | None) -> tuple[str, tuple[int, int, int, int, str]]:
    """A file's digest, and its entry in the book: size, time, change time, inode, digest."""
    seen = file.stat()
    key = (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
    sha = str(known[4]) if known and known[:4] == list(key) else file_digest(file)
    return sha, (*key, sha)
