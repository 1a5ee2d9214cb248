"""Files behind URLs: http:// and https://, and through fsspec s3://, gs://, memory:// and whatever else it knows.

Keys and regions come from where fsspec and the store's own library look for them (environment, configuration files),
never from a recipe. What else is secret in a URL is written ${NAME}, an environment variable's name.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from loomwork.core.errors import InputError, LoomError, MissingDependency, did_you_mean
from loomwork.core.secret import filled, hidden

WEB = ("http", "https")  # core/web.py reads them; its imports take 30 ms
URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z0-9+.-]+)*://", re.IGNORECASE)
# What tells one content from the next, by the names that file systems give it.
MARKS = ("etag", "content-md5", "md5hash", "crc32c", "version_id", "generation", "checksum", "digest", "sha256")
TIMES = ("last-modified", "last_modified", "lastmodified", "mtime", "modified", "updated", "created")


def is_url(path: object) -> bool:
    """Whether a path setting is a URL. file:// is a path on disk."""
    text = str(path)
    return bool(URL.match(text)) and not text.lower().startswith("file://")


@dataclass(frozen=True)
class Remote:
    """A file behind a URL.

    Args:
        url: where it is.
        size: in bytes, where the server says it.
        stamp: differs where the content does (an ETag, or a time and size); "" where the server tells nothing.
        opener: gives its bytes.
    """

    url: str
    size: int | None
    stamp: str
    opener: Callable[[], Any]

    def open(self) -> BinaryIO:
        """Its bytes, from the start, read as they are needed."""
        return cast(BinaryIO, self.opener())


def list_remote(url: str) -> list[tuple[str, Remote]]:
    """The files that a URL means: one, a glob, or all below a folder; of a web page, the one itself.

    Returns: (name relative to the folder, or to the glob's fixed part; file), sorted by name.

    Raises:
        InputError: nothing is there, or it cannot be reached.
        MissingDependency: fsspec, or what it needs for this kind of URL.
    """
    shown, values = url, list[str]()
    url = filled(url, values)
    explained = partial(_explained, shown, values)
    if urlsplit(url).scheme in WEB:  # a "?" is no wildcard here, and a folder cannot be listed
        from loomwork.core.web import head, open_web

        name = PurePosixPath(urlsplit(shown).path).name or "index.html"
        with explained():
            info = head(url)
        return [(name, _remote(explained, shown, info, partial(open_web, url)))]
    with explained():
        system, path = _system(url)
        system.invalidate_cache()  # a store's library keeps listings, and would ask for what lay there before
    base = path
    with explained():
        if glob.has_magic(path):
            fixed = PurePosixPath(path).parts
            base = str(PurePosixPath(*fixed[: next(i for i, p in enumerate(fixed) if glob.has_magic(p))] or "."))
            found = system.glob(path, detail=True)
        else:
            found = system.find(path, detail=True)
    files = {p: i for p, i in found.items() if i.get("type", "file") == "file" and not _hidden(p, base)}
    if not files:
        raise InputError(f"nothing is at {shown}", "a file, a folder, or a glob as in s3://bucket/corpus/*.jsonl")
    found = {p: _remote(explained, shown, i, partial(system.open, p, "rb")) for p, i in files.items()}
    return sorted(((_name(p, base), remote) for p, remote in found.items()), key=itemgetter(0))


def _remote(explained: Callable[[], _explained], url: str, info: dict[str, Any], opener: Callable[[], Any]) -> Remote:
    lower = {str(key).lower(): value for key, value in info.items()}
    size = lower.get("size")
    mark = next((f"{key} {lower[key]}" for key in MARKS if lower.get(key)), "")
    time = next((f"{key} {lower[key]}" for key in TIMES if lower.get(key)), "")
    stamp = f"{mark or time}, {size} bytes" if mark or (time and size is not None) else ""

    def opened() -> Any:
        with explained():
            return opener()

    return Remote(url, size, stamp, opened)


def _name(path: str, base: str) -> str:
    return path.removeprefix(base.rstrip("/") + "/") if path != base else PurePosixPath(path).name


def _hidden(path: str, base: str) -> bool:
    return any(p.startswith(".") for p in PurePosixPath(path.removeprefix(base)).parts)


def _system(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ModuleNotFoundError:
        raise MissingDependency("reading a URL", "fsspec", "remote") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{url} needs a package that is not installed", str(error)) from None
    except ValueError:
        scheme = urlsplit(url).scheme
        raise InputError(
            f"no file system is known for {url}", did_you_mean(scheme, fsspec.available_protocols())
        ) from None
    return system, path


class _explained:
    """Says which URL could not be read, in place of the errors of many libraries."""

    def __init__(self, url: str, values: list[str]) -> None:
        self.url, self.values = url, values

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, LoomError):
            error.what, error.hint = (hidden(text, self.values) for text in (error.what, error.hint))
            error.args = (error.what, error.hint)
        if error is None or isinstance(error, LoomError) or not isinstance(error, Exception):
            return
        if isinstance(error, FileNotFoundError):
            raise InputError(f"nothing is at {self.url}", "check the address") from None
        what = hidden(f"{type(error).__name__}: {error}".strip(": "), self.values)
        raise InputError(f"{self.url} cannot be read: {what}", "check the address and your rights to it") from (
            None if self.values else error
        )
