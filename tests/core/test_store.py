"""Sealing, sharing, damage, collection, and the same behind an fsspec URL."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loomwork.core.artifact import Artifact, Model
from loomwork.core.errors import DamagedArtifact, InputError, LoomError, LostArtifact
from loomwork.core.store import Store


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_the_same_bytes_are_the_same_artifact_wherever_they_were_made(store, tmp_path):
    a = store.publish(write(tmp_path / "a", config="1", data__x="2"), "model")
    b = store.publish(write(tmp_path / "elsewhere", data__x="2", config="1"), "model")
    other_kind = store.publish(write(tmp_path / "c", config="1", data__x="2"), "dataset")
    assert a == b != other_kind
    assert not (tmp_path / "a").exists()
    assert store.open(a, Model).file("data/x").read_text() == "2"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.dictionaries(st.text("abcd", min_size=1, max_size=3), st.binary(max_size=30), min_size=1, max_size=5))
def test_an_id_changes_exactly_when_a_name_or_a_byte_does(tmp_path, files):
    store = Store(tmp_path / "store")

    def publish(contents: dict[str, bytes]) -> str:
        folder = tmp_path / os.urandom(8).hex()
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return store.publish(folder, "x")

    first = publish(files)
    assert publish(dict(reversed(files.items()))) == first
    name = next(iter(files))
    assert publish({**files, name: files[name] + b"!"}) != first
    assert publish({**files, "new": b""}) != first


def test_versions_share_the_files_that_did_not_change(store, tmp_path):
    a = store.publish(write(tmp_path / "a", one="same", two="old"), "x")
    b = store.publish(write(tmp_path / "b", one="same", two="new"), "x")
    assert (store.path(a) / "one").samefile(store.path(b) / "one")
    assert len(list((store.root / "blobs").glob("??/*"))) == 3


def test_sealed_files_are_read_only(store, tmp_path):
    a = store.publish(write(tmp_path / "a", one="1"), "x")
    assert (store.path(a) / "one").stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("how", ["other bytes", "same length", "cut", "gone", "manifest"])
def test_damage_is_refused_named_and_repaired_by_publishing_again(store, tmp_path, how):
    content = "hello world" * 100
    a = store.publish(write(tmp_path / "a", one=content, two="2"), "x")
    path = store.path(a) / "one"
    path.chmod(0o644)
    if how == "other bytes":
        path.write_text("something else")
    elif how == "same length":
        path.write_text(content.replace("world", "w0rld"))
    elif how == "cut":
        os.truncate(path, 10)
    elif how == "gone":
        path.unlink()
    else:
        (store.path(a).parent / "manifest.json").write_text('{"kind": "x", "parts": {}}')
    with pytest.raises(DamagedArtifact, match=a[:12]) as caught:
        store.open(a)
    assert ("manifest" if how == "manifest" else "one") in str(caught.value)
    assert not store.has(a)
    assert store.publish(write(tmp_path / "again", one=content, two="2"), "x") == a
    assert store.open(a).file("one").read_text() == content
    assert store.faults(a, deep=True) == []


def test_a_flip_that_leaves_no_trace_in_the_stat_is_found_by_a_deep_check(store, tmp_path):
    a = store.publish(write(tmp_path / "a", one="hello"), "x")
    path = store.path(a) / "one"
    stat = path.stat()
    path.chmod(0o644)
    path.write_text("hellO")
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert store.faults(a) == []
    assert store.faults(a, deep=True) == ["one has other bytes"]
    store.quarantine(a)
    assert store.publish(write(tmp_path / "again", one="hello"), "x") == a
    assert store.faults(a, deep=True) == []  # the damaged blob was not used again


def test_touching_a_file_is_no_damage(store, tmp_path):
    a = store.publish(write(tmp_path / "a", one="hello"), "x")
    os.utime(store.path(a) / "one")
    assert store.open(a).id == a


def test_what_cannot_be_kept_is_refused(store, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="nothing was written"):
        store.publish(empty, "x")
    os.mkfifo(empty / "pipe")
    with pytest.raises(LoomError, match="neither a file nor a folder"):
        store.publish(empty, "x")


def test_a_link_to_a_folder_is_refused(store, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder = write(tmp_path / "a", one="1")
    (folder / "two").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LoomError, match="two is neither a file nor a folder"):
        store.publish(folder, "x")


def test_links_are_kept_as_the_bytes_they_point_at(store, tmp_path):
    target = tmp_path / "target"
    target.write_text("real")
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "one").symlink_to(target)
    a = store.publish(folder, "x")
    target.write_text("changed")
    assert store.open(a).file("one").read_text() == "real"


def test_removing_frees_only_what_nothing_else_needs(store, tmp_path):
    a = store.publish(write(tmp_path / "a", one="same" * 100, two="old"), "x")
    b = store.publish(write(tmp_path / "b", one="same" * 100, two="new!"), "x")
    assert store.remove([a]) == len("old")
    assert list(store.ids()) == [b]
    with pytest.raises(LostArtifact, match="loom remake"):
        store.open(a)
    assert store.faults(b, deep=True) == []


def test_many_threads_may_publish_the_same_artifact_at_once(store, tmp_path):
    ids: list[str] = []
    folders = [write(tmp_path / f"f{i}", one="x" * 1000, **{f"d__{j}": str(j) for j in range(5)}) for i in range(8)]
    threads = [threading.Thread(target=lambda f=f: ids.append(store.publish(f, "x"))) for f in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert store.faults(ids[0], deep=True) == []


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path) -> str:
    pytest.importorskip("fsspec")
    return f"file://{tmp_path}/remote" if request.param == "file" else f"memory://loomwork-{os.urandom(4).hex()}"


def test_another_machine_finds_it_behind_the_url(url, tmp_path):
    here, there = Store(tmp_path / "here", url), Store(tmp_path / "there", url)
    a = here.publish(write(tmp_path / "a", one="1", deep__two="2"), "x")
    assert list(there.ids()) == []
    assert there.has(a)
    assert there.open(a).file("deep/two").read_text() == "2"
    here.remove([a])
    assert list(here.ids()) == []
    assert Store(tmp_path / "third", url).has(a)  # other machines may need it
    assert Artifact.open(there.path(a)).id == a


def test_bytes_changed_behind_the_url_are_refused(tmp_path):
    pytest.importorskip("fsspec")
    url = f"file://{tmp_path}/remote"
    a = Store(tmp_path / "here", url).publish(write(tmp_path / "a", one="hello"), "x")
    (blob,) = (tmp_path / "remote" / "blobs").glob("??/*")
    blob.chmod(0o644)
    blob.write_text("hellO")
    with pytest.raises(DamagedArtifact, match="other bytes"):
        Store(tmp_path / "there", url).open(a)
