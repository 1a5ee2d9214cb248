"""The store: content-addressed files and sealed artifact folders, on this machine or behind an fsspec URL.

    ROOT/blobs/ab/abcd...                the bytes of one file, named by their sha256
    ROOT/artifacts/1234.../              one artifact: manifest.json, and parts/ whose files are hard links to blobs
    ROOT/quarantine/                     what was found damaged

So a file that two versions share is on disk once. A sealed file is read-only and its modification time is a
constant: any later write shows in one `stat`, and only then are its bytes hashed again.

With a URL the local folder is a cache: every artifact is written to the URL as well (blobs first, the manifest
last, so that a half-written artifact is never seen), and one that is missing here is fetched.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from loomwork.core.artifact import (
    Artifact,
    FileEntry,
    Manifest,
    canonical_json,
    digest,
    file_digest,
    link_or_copy,
    make_manifest,
)
from loomwork.core.errors import DamagedArtifact, InputError, LoomError, LostArtifact, MissingDependency

SYNCED_AT_ONCE = 8
SEAL_SECONDS = 1_000_000_000  # the modification time of every sealed file
Kind = TypeVar("Kind", bound=Artifact)


class Store:
    """Artifacts by id.

    Args:
        root: a local folder; made when missing.
        url: an fsspec URL that holds the artifacts for several machines, or "".
    """

    def __init__(self, root: Path, url: str = "") -> None:
        self.root, self.url = root, url.rstrip("/")
        if not (root / "blobs").is_dir():
            (root / "artifacts").mkdir(parents=True, exist_ok=True)
            (root / "blobs").mkdir(exist_ok=True)
        self._remote: Any = None

    # -- reading

    def path(self, artifact_id: str) -> Path:
        """Where the parts of an artifact lie, whether or not it is here."""
        return self.root / "artifacts" / artifact_id / "parts"

    def has(self, artifact_id: str) -> bool:
        """Whether the artifact can be opened: it is here and undamaged, or it can be fetched."""
        try:
            self.open(artifact_id)
        except (LostArtifact, DamagedArtifact):
            return False
        return True

    def open(self, artifact_id: str, kind: type[Kind] = Artifact, part: str = "") -> Kind:  # type: ignore[assignment]
        """The artifact, fetched if it is only behind the URL.

        Raises:
            LostArtifact: it is nowhere.
            DamagedArtifact: its bytes are not what they were; it has been moved to quarantine.
        """
        path = self.path(artifact_id)
        if not (path.parent / "manifest.json").is_file() and not self._fetch(artifact_id):
            raise LostArtifact(
                f"the store has no artifact {artifact_id}", f"make it again: loom remake {artifact_id[:12]}"
            )
        faults, manifest = self._faults(artifact_id)
        if faults:
            place = self.quarantine(artifact_id)
            raise DamagedArtifact(
                f"artifact {artifact_id[:12]} is damaged: {'; '.join(faults)}",
                f"it was moved to {place}; make it again: loom run, or loom remake {artifact_id[:12]}",
            )
        with contextlib.suppress(OSError):
            os.utime(path.parent)  # gc leaves alone what was used since the oldest lease began
        return kind.open(path, part, manifest)

    def manifest(self, artifact_id: str) -> Manifest:
        manifest: Manifest = json.loads((self.path(artifact_id).parent / "manifest.json").read_bytes())
        return manifest

    def ids(self) -> Iterator[str]:
        """The ids of all artifacts that are here."""
        for path in sorted((self.root / "artifacts").glob("[0-9a-f]*")):
            if len(path.name) == 64:
                yield path.name

    # -- writing

    def publish(self, folder: Path, kind: str) -> str:
        """Seal a folder as an artifact: all of it or nothing appears in the store. The folder is taken.

        Returns: the artifact's id.

        Raises:
            InputError: the folder is empty, or holds something that is neither file nor folder.
        """
        return self.seal(folder, kind)[0]

    def seal(self, folder: Path, kind: str) -> tuple[str, Manifest]:
        """The same; returns the manifest as well."""
        plain_files_only(folder)
        manifest = make_manifest(folder, kind)
        if not manifest["parts"]:
            raise InputError(f"nothing was written into {folder}", "a step must write its artifact into `out`")
        artifact_id = digest(manifest)
        target = self.path(artifact_id).parent
        if target.exists() and self.faults(artifact_id):
            self.quarantine(artifact_id)
        staging = folder.with_name(folder.name + ".sealed")
        files = {folder / name: entry for part in manifest["parts"].values() for name, entry in part["files"].items()}
        new = {path for path, entry in files.items() if not self._holds(entry)}
        try:
            syncing = [_threads().submit(_sync, path) for path in new]  # the disk takes hardly longer than for one
            if not target.exists():
                staging.mkdir()
                with open(staging / "manifest.json", "wb") as file:
                    file.write(canonical_json(manifest))
                    file.flush()  # a raw file may take less than it is given, and say nothing
                    os.fsync(file.fileno())
            for one in syncing:  # before any of them is seen under the name that says what it holds
                one.result()
            for path, entry in files.items():
                self._take(path, entry, synced=path in new)
        except BaseException:  # a full disk
            shutil.rmtree(staging, ignore_errors=True)
            raise
        if staging.exists():
            self._appear(folder, staging, target)
        else:
            shutil.rmtree(folder)
            os.utime(target)
        self._upload(artifact_id, manifest)
        return artifact_id, manifest

    def _holds(self, entry: FileEntry) -> bool:
        """Whether the bytes of a new file are in the store already."""
        return _untouched(self._blob(entry["sha256"]), entry["bytes"])

    def _take(self, path: Path, entry: FileEntry, *, synced: bool) -> None:
        """Make `path` and its blob one sealed file."""
        blob = self._blob(entry["sha256"])
        if self._holds(entry):
            if not blob.samefile(path):
                aside = path.with_name(path.name + ".sealed")
                link_or_copy(blob, aside)
                _seal(aside)
                aside.replace(path)
            return
        blob.parent.mkdir(exist_ok=True)
        if not synced:  # its blob has gone just now
            _sync(path)
        aside = blob.with_name(f"{blob.name}.{uuid.uuid4().hex}")
        link_or_copy(path, aside)
        _seal(aside)
        _seal(path)
        aside.replace(blob)

    def _appear(self, folder: Path, staging: Path, target: Path) -> None:
        folder.rename(staging / "parts")
        try:
            staging.rename(target)
        except OSError:  # another process published the same artifact just now
            if not (target / "manifest.json").is_file():
                raise
            shutil.rmtree(staging)
        _sync(target.parent)

    def _blob(self, sha256: str) -> Path:
        return self.root / "blobs" / sha256[:2] / sha256

    # -- damage and collection

    def faults(self, artifact_id: str, *, deep: bool = False) -> list[str]:
        """What is wrong with an artifact that is here; empty if nothing is.

        Args:
            deep: hash every byte, not only those of files whose `stat` has changed.
        """
        return self._faults(artifact_id, deep=deep)[0]

    def _faults(self, artifact_id: str, *, deep: bool = False) -> tuple[list[str], Manifest | None]:
        """The same, and the manifest that was read."""
        folder = self.path(artifact_id)
        try:
            manifest = self.manifest(artifact_id)
            if digest(manifest) != artifact_id:
                return ["manifest.json was changed"], None
        except FileNotFoundError:
            return ["manifest.json is missing"], None
        except ValueError as error:
            return [f"manifest.json cannot be read ({error})"], None
        faults = []
        for part in manifest["parts"].values():
            for name, entry in part["files"].items():
                path = folder / name
                if not deep and _untouched(path, entry["bytes"]):
                    continue
                if not path.is_file():
                    faults.append(f"{name} is missing")
                else:
                    if path.stat().st_size != entry["bytes"] or file_digest(path) != entry["sha256"]:
                        faults.append(f"{name} has other bytes")
                    else:
                        _seal(path)
        return faults, manifest

    def quarantine(self, artifact_id: str) -> Path:
        """Move an artifact out of the store, with those of its blobs whose bytes are wrong."""
        place = self.root / "quarantine" / f"{artifact_id[:16]}-{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(exist_ok=True)
        try:
            for part in self.manifest(artifact_id)["parts"].values():
                for entry in part["files"].values():
                    blob = self._blob(entry["sha256"])
                    if blob.exists() and file_digest(blob) != entry["sha256"]:
                        blob.unlink()
        except (ValueError, OSError, KeyError):
            pass  # the manifest itself is what is damaged
        self.path(artifact_id).parent.rename(place)
        return place

    def remove(self, artifact_ids: Iterable[str]) -> int:
        """Delete artifacts here, then the blobs that no artifact here needs. Returns the bytes freed.

        Behind the URL nothing is deleted: other machines may need it.
        """
        for artifact_id in artifact_ids:
            folder = self.path(artifact_id).parent
            if folder.exists():
                doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
                folder.rename(doomed)  # from here on it is not seen any more
                shutil.rmtree(doomed)
        return self._sweep()

    def _sweep(self) -> int:
        try:
            needed = {
                entry["sha256"]
                for artifact_id in self.ids()
                for part in self.manifest(artifact_id)["parts"].values()
                for entry in part["files"].values()
            }
        except (ValueError, KeyError, OSError):  # what a damaged artifact needs cannot be known: loom verify
            return 0
        freed = 0
        for blob in list((self.root / "blobs").glob("??/*")):
            # A second link is a publish in flight, or an artifact that came since `needed` was read.
            if blob.name not in needed and blob.stat().st_nlink == 1:
                freed += blob.stat().st_size
                blob.unlink()
        return freed

    # -- the URL

    @property
    def _fs(self) -> Any:
        if self._remote is None:
            try:
                import fsspec
            except ImportError:
                raise MissingDependency(f"the store at {self.url}", "fsspec", "remote") from None
            self._remote = fsspec.core.url_to_fs(self.url)
        return self._remote

    def _upload(self, artifact_id: str, manifest: Manifest) -> None:
        if not self.url:
            return
        fs, base = self._fs
        index = f"{base}/artifacts/{artifact_id[:2]}/{artifact_id}.json"
        if fs.exists(index):
            return
        for part in manifest["parts"].values():
            for entry in part["files"].values():
                target = f"{base}/blobs/{entry['sha256'][:2]}/{entry['sha256']}"
                if not fs.exists(target):
                    fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                    fs.put_file(str(self._blob(entry["sha256"])), target)
        fs.makedirs(index.rsplit("/", 1)[0], exist_ok=True)
        fs.pipe_file(index, canonical_json(manifest))

    def _fetch(self, artifact_id: str) -> bool:
        """Bring an artifact here from the URL. False if it is not there, or not as it was."""
        if not self.url:
            return False
        fs, base = self._fs
        try:
            manifest: Manifest = json.loads(fs.cat_file(f"{base}/artifacts/{artifact_id[:2]}/{artifact_id}.json"))
        except FileNotFoundError:
            return False
        folder = self.root / "fetching" / uuid.uuid4().hex
        for part in manifest["parts"].values():
            for name, entry in part["files"].items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                blob = self._blob(entry["sha256"])
                if blob.exists() and _untouched(blob, entry["bytes"]):
                    link_or_copy(blob, path)
                    continue
                fs.get_file(f"{base}/blobs/{entry['sha256'][:2]}/{entry['sha256']}", str(path))
                if file_digest(path) != entry["sha256"]:
                    raise DamagedArtifact(
                        f"{self.url}: file {name} of artifact {artifact_id[:12]} has other bytes than its manifest says"
                    )
        if self.publish(folder, manifest["kind"]) != artifact_id:
            raise DamagedArtifact(f"{self.url}: the manifest of artifact {artifact_id[:12]} was changed")
        return True


def plain_files_only(folder: Path) -> None:
    """Turn links into copies; refuse what cannot be kept as bytes."""
    for inside, folders, names in os.walk(folder):
        for path in (Path(inside, name) for name in (*folders, *names)):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) and path.is_file():
                real = path.resolve()
                path.unlink()
                shutil.copyfile(real, path)
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise LoomError(f"{path} is neither a file nor a folder: it cannot be kept in an artifact")


def _seal(path: Path) -> None:
    path.chmod(0o444)
    os.utime(path, (SEAL_SECONDS, SEAL_SECONDS))


def _untouched(path: Path, size_bytes: int) -> bool:
    """Whether a sealed file is there and was not written to."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return stat.st_size == size_bytes and stat.st_mtime_ns == SEAL_SECONDS * 1_000_000_000


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """They wait for the disk. Kept, since to start and end them costs more than what they do."""
    return ThreadPoolExecutor(SYNCED_AT_ONCE, thread_name_prefix="sync")


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
