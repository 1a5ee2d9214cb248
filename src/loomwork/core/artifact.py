"""An artifact: an immutable folder with a manifest of named parts.

A part is a top-level entry of the folder, a file or a folder. The manifest gives every file's sha256 and
size; a part's digest covers its files, and the artifact's id is the sha256 of the manifest. So two folders
with the same names and bytes are the same artifact, wherever and whenever they were made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict

from loomwork.core.errors import InputError, did_you_mean


class FileEntry(TypedDict):
    sha256: str
    bytes: int


class PartEntry(TypedDict):
    sha256: str
    bytes: int
    files: dict[str, FileEntry]  # paths relative to the artifact's folder


class Manifest(TypedDict):
    kind: str
    parts: dict[str, PartEntry]


def canonical_json(value: Any) -> bytes:
    """The one JSON spelling that digests are taken of: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON-like value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Every regular file below a folder, links to files included."""
    paths = (Path(inside, name) for inside, _, names in os.walk(folder) for name in names)
    return [path for path in paths if path.is_file()]


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where linking is not possible (another file system)."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def make_manifest(folder: Path, kind: str) -> Manifest:
    """The manifest of a folder as it stands on disk.

    Args:
        folder: the artifact's folder; every regular file below it is listed.
        kind: the artifact's kind.
    """
    grouped: dict[str, dict[str, FileEntry]] = {}
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        entry: FileEntry = {"sha256": file_digest(path), "bytes": path.stat().st_size}
        grouped.setdefault(name.split("/", 1)[0], {})[name] = entry
    return {"kind": kind, "parts": {part: part_entry(part, entries) for part, entries in sorted(grouped.items())}}


def part_entry(part: str, files: dict[str, FileEntry]) -> PartEntry:
    """A part's entry; a part that is one file has that file's digest."""
    sha = files[part]["sha256"] if part in files else digest({name: f["sha256"] for name, f in files.items()})
    return {"sha256": sha, "bytes": sum(f["bytes"] for f in files.values()), "files": files}


@dataclass(frozen=True)
class Artifact:
    """A folder of named parts, or one part of it.

    Args:
        path: the folder that holds the parts.
        part: the one part that a `$step/part` reference chose, or "" for all of it.

    Works on any folder; in a store the manifest lies beside it, elsewhere it is computed when asked for.
    """

    path: Path
    part: str = ""
    kind: ClassVar[str] = ""  # "" accepts every kind

    @classmethod
    def open(cls, path: str | Path, part: str = "", manifest: Manifest | None = None) -> Self:
        """Open a folder as an artifact.

        Args:
            manifest: its manifest, where it has been read already.

        Raises:
            InputError: the folder is missing, is of another kind, or has no such part.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"no such artifact folder: {folder}")
        artifact = cls(folder, part)
        if manifest is not None:
            artifact.__dict__["manifest"] = manifest  # what the property would read
        found = artifact.manifest["kind"]
        if cls.kind and found and found != cls.kind:
            raise InputError(f"{folder} is a {found!r} artifact where a {cls.kind!r} is needed")
        if part and part not in artifact.manifest["parts"]:
            raise InputError(f"{folder} has no part {part!r}", did_you_mean(part, artifact.manifest["parts"]))
        return artifact

    @cached_property
    def manifest(self) -> Manifest:
        sealed = self.path.parent / "manifest.json"
        if self.path.name == "parts" and sealed.is_file():
            manifest: Manifest = json.loads(sealed.read_bytes())
            return manifest
        return make_manifest(self.path, self.kind)

    @property
    def role(self) -> str:
        """The input of the running step that it was given as; "" elsewhere."""
        return str(self.__dict__.get("role_given", ""))

    def given_as(self, role: str) -> Self:
        """Make errors about it name the input. Returns it."""
        self.__dict__["role_given"] = role
        return self

    @cached_property
    def id(self) -> str:
        """sha256 of the manifest: of the whole artifact, whichever part was chosen."""
        return digest(self.manifest)

    @property
    def digest(self) -> str:
        """What a cache key and a score record of this input: the part's digest, or the id."""
        return self.manifest["parts"][self.part]["sha256"] if self.part else self.id

    def file(self, name: str) -> Path:
        """The path of a named file.

        Raises:
            InputError: there is none of that name.
        """
        path = self.path / name
        if not path.is_file():
            names = [n for p in self.manifest["parts"].values() for n in p["files"]]
            raise InputError(f"artifact {self.path} has no file {name!r}", did_you_mean(name, names))
        return path

    def read_json(self, name: str) -> Any:
        return json.loads(self.file(name).read_bytes())


@dataclass(frozen=True)
class Model(Artifact):
    """A model folder: Hugging Face layout (config.json, safetensors, tokenizer) plus `loomwork.json`."""

    kind: ClassVar[str] = "model"


@dataclass(frozen=True)
class Tokenizer(Artifact):
    """A tokenizer folder: tokenizer.json and tokenizer_config.json."""

    kind: ClassVar[str] = "tokenizer"


@dataclass(frozen=True)
class Index(Artifact):
    """A search index folder."""

    kind: ClassVar[str] = "index"
