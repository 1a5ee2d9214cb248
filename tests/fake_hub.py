"""A small hub of Hugging Face on loopback: the part of its API that reading needs, from folders on disk.

It answers as huggingface.co does where the official clients look: the commit of a branch, the list of files, and the
files with ETag, commit and size, or an X-Error-Code. Pushing the same folder again makes the same commit.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|auth-check)(?:/(.*))?)?")
RESOLVE = re.compile(r"(/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
LARGE = (".safetensors", ".bin", ".parquet")  # files that lie in LFS: their ETag is a sha256


@dataclass
class Repo:
    """A repository: the files of each commit by path, and where its branches stand."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The commit that a revision means."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class FakeHub:
    """Start one with `running_hub()`.

    Args:
        url: where it listens; give it to clients as HF_ENDPOINT.
    """

    def __init__(self) -> None:
        self.url = ""
        self.repos: dict[tuple[str, str], Repo] = {}
        self.allowed: set[str] = set()  # tokens that gated repositories are open to
        self.failing: tuple[int, str] | None = None  # (status, message) that every request is answered with
        self.asked: list[tuple[str, str, str]] = []  # (method, path, Authorization) of each request

    def push(self, kind: str, name: str, folder: Path, *, branch: str = "main", gated: bool = False) -> str:
        """Put the files of a folder into a repository, as a new commit of the branch. Returns: the commit.

        Args:
            kind: "models" or "datasets".
            name: "owner/name".
        """
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        commit = hashlib.sha1(repr([(n, _etag(n, b)) for n, b in files.items()]).encode()).hexdigest()
        repo = self.repos.setdefault((kind, name), Repo())
        repo.commits[commit], repo.branches[branch], repo.gated = files, commit, gated
        return commit

    def fetched(self) -> set[str]:
        """The names of the files whose bytes were given."""
        found = (RESOLVE.fullmatch(path) for method, path, _ in self.asked if method == "GET")
        return {match[4] for match in found if match}


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """A hub that listens on a free port of loopback, until the end of the block."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str = "") -> None:
        self.status, self.code, self.message = status, code, message or code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_GET

    def _answer(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Authorization") or ""))
        try:
            if self.hub.failing:
                raise _Refused(self.hub.failing[0], "", self.hub.failing[1])
            if match := API.fullmatch(path):
                self._send(
                    200, json.dumps(self._api(*match.groups(), form)).encode(), {"Content-Type": "application/json"}
                )
            elif match := RESOLVE.fullmatch(path):
                self._file("datasets" if match[1] else "models", match[2], match[3], match[4])
            else:
                raise _Refused(404, "")
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            body = json.dumps({"error": refused.message}).encode()
            self._send(refused.status, body, {name: value for name, value in headers.items() if value})

    def _repo(self, kind: str, name: str) -> Repo:
        repo = self.hub.repos.get((kind, name))
        if repo is None:
            raise _Refused(404, "RepoNotFound")
        return repo

    def _commit(self, repo: Repo, revision: str) -> str:
        commit = repo.commit(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound")
        return commit

    def _require_access(self, repo: Repo) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repo.gated and token not in self.hub.allowed:
            raise _Refused(403 if token else 401, "GatedRepo")

    def _api(self, kind: str, name: str, verb: str | None, rest: str | None, form: dict[str, list[str]]) -> Any:
        repo = self._repo(kind, name)
        if verb == "auth-check":
            self._require_access(repo)
            return {}
        revision, _, below = (rest or "main").partition("/")
        commit = self._commit(repo, revision)
        files = repo.commits[commit]
        if verb in (None, "revision"):
            siblings = [{"rfilename": path} for path in files]
            gated = "manual" if repo.gated else False
            return {"id": name, "sha": commit, "private": False, "gated": gated, "tags": [], "siblings": siblings}
        self._require_access(repo)
        if verb == "paths-info":
            return [entry for path in form.get("paths", []) for entry in _entries(files, path) if entry["path"] == path]
        found = [e for e in _entries(files, below) if e["path"] != below]
        if below and not found:
            raise _Refused(404, "EntryNotFound")
        deep = "recursive=true" in self.path.lower()
        return [e for e in found if deep or "/" not in e["path"][len(below) :].lstrip("/")]

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self._repo(kind, name)
        self._require_access(repo)
        commit = self._commit(repo, revision)
        if path not in repo.commits[commit]:
            raise _Refused(404, "EntryNotFound")
        body = repo.commits[commit][path]
        headers = {"ETag": f'"{_etag(path, body)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            self._send(200, body, headers)
            return
        start, end = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
        self._send(206, body[start : end + 1], headers | {"Content-Range": f"bytes {start}-{end}/{len(body)}"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(path: str, body: bytes) -> str:
    """The name of a file's content: git's own, or for large files a sha256."""
    if path.endswith(LARGE):
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _entries(files: dict[str, bytes], below: str) -> list[dict[str, Any]]:
    """What lies at or below a path, as the tree listing says it: files, and the folders that hold them."""
    found: dict[str, dict[str, Any]] = {}
    for path, body in files.items():
        if below and path != below and not path.startswith(below + "/"):
            continue
        for folder in [str(p) for p in Path(path).parents][:-1]:
            if not below or folder == below or folder.startswith(below + "/"):
                found[folder] = {
                    "type": "directory",
                    "path": folder,
                    "oid": hashlib.sha1(folder.encode()).hexdigest(),
                    "size": 0,
                }
        found[path] = {"type": "file", "path": path, "oid": hashlib.sha1(body).hexdigest(), "size": len(body)}
        if path.endswith(LARGE):
            found[path]["lfs"] = {"oid": _etag(path, body), "size": len(body), "pointerSize": 134}
    return list(found.values())
