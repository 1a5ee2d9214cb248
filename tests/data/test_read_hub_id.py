"""Datasets of the hub by their id, from a hub on loopback: what is read, when it is read again, and what is refused."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loomwork.core.errors import InputError
from loomwork.core.home import open_home
from loomwork.core.hub import HubState
from loomwork.core.runner import run_recipe
from loomwork.data.read_hub import read_hub
from tests.data.read_rows import rows_of, texts

pytest.importorskip("datasets")
README = """---
configs:
- config_name: plain
  default: true
  data_files: [{split: train, path: plain/*.parquet}, {split: test, path: test.parquet}]
- config_name: other
  data_files: [{split: train, path: other/*.parquet}]
---
"""


def lines(*texts: str) -> str:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


def parquet(columns: dict[str, list]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.fixture
def make(tmp_path):
    """make({"train.jsonl": "..."}): a folder of these files, the earlier ones gone."""
    made = iter(range(100))

    def folder(files: dict[str, str | bytes]) -> Path:
        top = tmp_path / f"repo{next(made)}"
        for name, content in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return top

    return folder


@pytest.fixture
def results(tmp_path):
    """The result of reading it in a run, and the home."""
    home = open_home(tmp_path / ".loom")

    def result(**settings):
        return run_recipe({"recipe": "r", "steps": {"a": {"use": "data.read_hub", **settings}}}, home=home).steps["a"]

    return result


def test_splits_and_configurations_of_an_id(hub, make, run_step):
    rows = {"text": [f"text {n}" for n in range(2500)], "source": ["theirs"] * 2500}
    files = {"plain/a": rows, "test": {"text": ["two"], "source": [""]}, "other/b": {"text": ["four"], "label": [1]}}
    tables = {f"{name}.parquet": parquet(content) for name, content in files.items()}
    commit = hub.push("datasets", "me/rows", make({"README.md": README, **tables}))
    data, card = run_step(read_hub, path="me/rows")
    assert data.parts == ["test", "train"]
    assert (card.metrics["rows_train"], card.metrics["rows_test"]) == (2500, 1)
    assert rows_of(data, "train")[-1] == {
        "text": "text 2499",
        "given_source": "theirs",
        "source": "me/rows/train:2500",
    }
    assert card.notes == [f"me/rows at commit {commit}; with it as revision= nothing is read again"]
    other, _ = run_step(read_hub, path="me/rows", config="other", split="train", revision=commit)
    assert rows_of(other) == [{"text": "four", "label": 1, "source": "me/rows/train:1"}]


def test_only_a_whole_commit_is_not_read_again(hub, make, results):
    first = hub.push("datasets", "me/rows", make({"train.jsonl": lines("one")}))
    hub.push("datasets", "me/rows", make({"train.jsonl": lines("one")}), branch="v1")
    pinned = results(path="me/rows", revision=first)
    asked = len(hub.asked)
    assert (pinned.status, results(path="me/rows", revision=first).status) == ("ran", "hit")
    assert len(hub.asked) == asked
    for moving in ({}, {"revision": "main"}, {"revision": "v1"}, {"revision": first[:12]}):
        if moving.get("revision") == first[:12]:
            hub.repos["datasets", "me/rows"].branches[first[:12]] = first  # the hub knows short ones too
        runs = [results(path="me/rows", **moving) for _ in range(2)]
        assert [run.status for run in runs] == ["ran", "ran"]
        assert {run.artifact for run in runs} == {pinned.artifact}  # the same bytes: what comes after it is a hit
    second = hub.push("datasets", "me/rows", make({"train.jsonl": lines("one", "two")}))
    assert second != first
    moved = results(path="me/rows", revision="main")
    assert moved.artifact != pinned.artifact
    assert results(path="me/rows", revision=first).artifact == pinned.artifact


def test_a_branch_that_moves_says_why_it_is_read_anew(hub, make, tmp_path):
    hub.push("datasets", "me/rows", make({"train.jsonl": lines("one")}))
    home = ["--home", str(tmp_path / ".loom")]
    recipe = tmp_path / "r.yaml"
    recipe.write_text("recipe: r\nsteps:\n  a: {use: data.read_hub, path: me/rows, revision: main}\n")

    def loom(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "loomwork", *arguments, *home], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return " ".join((done.stdout + done.stderr).split())

    for _ in range(2):
        loom("run", str(recipe))
    assert "read anew each run, as revision 'main' may move" in loom("why", "a")


def test_each_refusal_says_what_to_do(hub, make, run_step, monkeypatch):
    files = make({"train.jsonl": lines("one")})
    hub.push("datasets", "me/rows", files)
    hub.push("datasets", "me/gated", files, gated=True)
    for wrong, match in (
        ({"path": "me/none"}, r"the hub has no dataset me/none, or it is private\n  check the id; .* HF_TOKEN"),
        ({"path": "me/rows", "revision": "none"}, r"me/rows has no revision 'none'\n  give a branch, a tag"),
        ({"path": "me/rows", "revision": "0" * 40}, "has no revision '0000"),
        ({"path": "me/gated"}, rf"is gated: .*\n  ask for access at {hub.url}/datasets/me/gated, .* HF_TOKEN"),
        ({"path": "me/rows", "split": "tset"}, "no split 'tset'"),
        ({"path": "me/rows", "config": "none"}, "BuilderConfig 'none' not found. Available: "),
    ):
        with pytest.raises(InputError, match=match):
            run_step(read_hub, **wrong)
    monkeypatch.setenv("HF_TOKEN", "hf_no_access")
    with pytest.raises(InputError, match="the account of your token has no access"):
        run_step(read_hub, path="me/gated")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be reached: HF_HUB_OFFLINE is set\n  check the network"):
        run_step(read_hub, path="me/rows")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"the hub cannot be reached\n  check the network and HF_ENDPOINT"):
        run_step(read_hub, path="me/rows")


@pytest.mark.parametrize(("status", "hint"), [(401, "check HF_TOKEN"), (500, "try again later")])
def test_what_the_hub_answers_is_said_without_the_token(hub, run_step, monkeypatch, status, hint):
    monkeypatch.setenv("HF_TOKEN", "hf_s3cr3t")
    hub.failing = (status, "Invalid credentials in Authorization header" if status == 401 else "lost: hf_s3cr3t")
    with pytest.raises(InputError, match=f"the dataset me/rows cannot be read: the hub answered {status}") as caught:
        run_step(read_hub, path="me/rows")
    assert caught.value.hint == hint
    assert "hf_s3cr3t" not in str(caught.value)


def test_what_datasets_kept_never_stands_in_for_the_commit(hub, make, run_step, monkeypatch):
    """It falls back to what it loaded once, whatever the revision, when the hub fails it."""
    import datasets

    hub.push("datasets", "me/rows", make({"train.jsonl": lines("old")}))
    datasets.load_dataset("me/rows", cache_dir=str(datasets.config.HF_DATASETS_CACHE))
    hub.repos.clear()
    assert datasets.load_dataset("me/rows", revision="1" * 40)["train"]["text"][:] == ["old"]
    monkeypatch.setattr("loomwork.data.read_hub.hub_state", lambda *_: HubState("me/rows", "1" * 40))
    with pytest.raises(InputError, match="the hub was lost sight of"):
        run_step(read_hub, path="me/rows")


def test_neither_programs_nor_pickles_nor_files_of_others_are_read(hub, make, run_step, tmp_path):
    (tmp_path / "private.txt").write_text("of this disk")
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("0.txt"), io.BytesIO(b""))
    for name, files, match in (
        ("script", {"script.py": "raise SystemExit", "train.jsonl": lines("one")}, "scripts are no longer supported"),
        ("pickle", {"train.pkl": pickle.dumps({"text": "a pickle"})}, "cannot be read"),
        ("tars", {"train-0.tar": shard.getvalue()}, "may be pickles: they are not opened"),
        ("disk", named(tmp_path / "private.txt"), "don't belong to me/disk"),
        ("other", named("hf://datasets/me/script@main/*.jsonl"), "don't belong to me/other"),
        ("moving", named("hf://datasets/me/moving@main/a.txt"), "names a file that is not of its commit"),
    ):
        hub.push("datasets", f"me/{name}", make(files))
        with pytest.raises(InputError, match=match):
            run_step(read_hub, path=f"me/{name}")


def named(files: str | Path) -> dict[str, str]:
    return {"README.md": f"---\nconfigs: [{{config_name: a, data_files: '{files}'}}]\n---\n", "a.txt": "one"}


def test_a_token_opens_what_is_gated_and_is_stored_nowhere(hub, make, tmp_path, monkeypatch):
    token = "hf_" + "s3cr3tT0ken" * 3
    hub.push("datasets", "me/gated", make({"train.jsonl": lines("one")}), gated=True)
    hub.allowed.add(token)
    monkeypatch.setenv("HF_TOKEN", token)
    call = [sys.executable, "-m", "loomwork", "call", "data.read_hub", "--home", str(tmp_path / ".loom")]
    said = b""
    for path, code in (("me/gated", 0), ("me/none", 1)):
        done = subprocess.run([*call, f"path={path}"], capture_output=True)
        assert done.returncode == code, done.stderr
        said += done.stdout + done.stderr
    assert f"Bearer {token}" in {given for _, _, given in hub.asked}
    stored = b"".join(p.read_bytes() for p in (tmp_path / ".loom").rglob("*") if p.is_file())
    assert b"me/gated" in stored
    assert token.encode() not in stored + said


def test_a_folder_with_the_name_of_an_id_is_the_folder(hub, make, run_step, monkeypatch, tmp_path):
    hub.push("datasets", "me/rows", make({"train.jsonl": lines("of the hub")}))
    (tmp_path / "me/rows").mkdir(parents=True)
    (tmp_path / "me/rows/train.jsonl").write_text(lines("of the folder"))
    monkeypatch.chdir(tmp_path)
    data, card = run_step(read_hub, path="me/rows", split="train")
    assert texts(data) == [("rows/train:1", "of the folder")]
    assert not hub.asked
    assert card.notes == []
