"""Base models of the hub by their id, from a hub on loopback, and models with their weights in several files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loomwork.core.artifact import Model, file_digest
from loomwork.core.errors import InputError
from loomwork.core.home import open_home
from loomwork.core.runner import run_recipe
from loomwork.models.folder import read_about
from loomwork.train.base import base

CARD = "---\nlicense: mit\ndatasets: [roneneldan/TinyStories]\n---\n"


@pytest.fixture
def repository(stories, tmp_path) -> Path:
    """The files of stories260K, with what else lies in a repository of the hub."""
    folder = tmp_path / "stories"
    shutil.copytree(stories.path, folder)
    (folder / "README.md").write_text(CARD)
    for name in ("pytorch_model.bin", "modeling_stories.py", "onnx/model.onnx", "consolidated.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not to be fetched")
    return folder


@pytest.fixture
def sharded(stories, tmp_path) -> Path:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "sharded"
    model = transformers.AutoModelForCausalLM.from_pretrained(stories.path)
    model.save_pretrained(folder, max_shard_size="400KB")
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(stories.path / name, folder / name)
    return folder


@pytest.fixture
def taken(tmp_path):
    """The result of taking it in a run."""
    home = open_home(tmp_path / ".loom")

    def result(**settings):
        return run_recipe({"recipe": "r", "steps": {"a": {"use": "train.base", **settings}}}, home=home).steps["a"]

    return result


def test_a_model_of_the_hub_is_taken_with_its_commit(hub, repository, stories, run_step):
    commit = hub.push("models", "me/stories", repository)
    model, card = run_step(base, hub="me/stories")
    about = read_about(model)
    weights = file_digest(stories.path / "model.safetensors")
    assert about.origin == {"hub": "me/stories", "commit": commit, "sha256": weights}
    assert (about.task, about.licence, about.training_data) == ("generate", "mit", ["roneneldan/TinyStories"])
    assert card.notes[0] == f"me/stories at commit {commit}; with it as revision= the hub is not asked again"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert model.file(name).read_bytes() == (stories.path / name).read_bytes()
    wanted = {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert wanted <= hub.fetched() <= wanted | {"generation_config.json", "tokenizer_config.json"}
    assert all(not p.is_symlink() and p.stat().st_nlink == 1 for p in model.path.iterdir())


def test_the_revision_is_in_the_key_and_a_branch_is_asked_each_run(hub, repository, taken):
    first = hub.push("models", "me/stories", repository)
    pinned = taken(hub="me/stories", revision=first)
    asked = len(hub.asked)
    assert taken(hub="me/stories", revision=first).status == "hit"
    assert len(hub.asked) == asked
    for moving in ({}, {"revision": "main"}):
        runs = [taken(hub="me/stories", **moving) for _ in range(2)]
        assert [run.status for run in runs] == ["ran", "ran"]
        assert {run.artifact for run in runs} == {pinned.artifact}
    assert sum(path.endswith("model.safetensors") and how == "GET" for how, path, _ in hub.asked) == 1
    (repository / "README.md").write_text(CARD.replace("mit", "apache-2.0"))
    hub.push("models", "me/stories", repository)
    assert taken(hub="me/stories", revision="main").artifact != pinned.artifact


def test_a_folder_with_the_name_of_the_id_changes_nothing(hub, repository, taken, tmp_path, monkeypatch):
    hub.push("models", "me/stories", repository)
    (tmp_path / "me/stories").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert [taken(hub="me/stories").status for _ in range(2)] == ["ran", "ran"]


def test_a_package_needs_no_revision_to_be_a_hit(hub, taken):
    assert [taken().status for _ in range(2)] == ["ran", "hit"]
    assert not hub.asked


def test_what_was_downloaded_once_is_found_without_the_hub_by_its_commit(hub, repository, run_step, monkeypatch):
    commit = hub.push("models", "me/stories", repository)
    online, _ = run_step(base, hub="me/stories", revision=commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    offline, _ = run_step(base, hub="me/stories", revision=commit)
    assert offline.id == online.id
    for settings in ({"hub": "me/stories"}, {"hub": "me/other", "revision": commit}):
        with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set\n.* if revision= is its commit"):
            run_step(base, **settings)


def test_each_refusal_says_what_to_do(hub, repository, run_step, tmp_path, monkeypatch):
    commit = hub.push("models", "me/stories", repository)
    gated = hub.push("models", "me/gated", repository, gated=True)
    (repository / "model.safetensors").unlink()
    hub.push("models", "me/pickled", repository)
    for wrong, match in (
        ({"hub": "me/none"}, "the hub has no model me/none, or it is private\n  check the id"),
        ({"hub": "me/none", "revision": commit}, "the hub has no model me/none"),
        ({"hub": "me/stories", "revision": "none"}, "the model me/stories has no revision 'none'"),
        ({"hub": "me/stories", "revision": "0" * 40}, "the model me/stories has no revision '0000"),
        ({"hub": "me/gated"}, f"the model me/gated is gated: .*\n  ask for access at {hub.url}/me/gated"),
        ({"hub": "me/gated", "revision": gated}, "the model me/gated is gated"),
        ({"hub": "me/pickled"}, r"has no model\.safetensors\n  weights in pickle files"),
        ({"hub": "me/stories", "sha256": "0" * 64}, "are not the expected ones"),
        ({"hub": "https://huggingface.co/me/stories"}, "is no id of the hub\n  as in hub=owner/name"),
        ({"hub": "me/stories", "path": repository}, "hub and path are both given"),
        ({"revision": "main"}, "hub is not given"),
    ):
        with pytest.raises(InputError, match=match):
            run_step(base, **wrong)
    assert "pytorch_model.bin" not in hub.fetched()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"me/stories cannot be read: the hub cannot be reached\n"):
        run_step(base, hub="me/stories")


def test_weights_in_several_files_become_the_same_model(hub, sharded, stories, run_step):
    whole, _ = run_step(base, path=stories.path)
    joined, card = run_step(base, path=sharded)
    assert joined.manifest["parts"]["model.safetensors"] == whole.manifest["parts"]["model.safetensors"]
    assert not [p for p in joined.path.iterdir() if p.name.startswith("model-") or p.name.endswith("index.json")]
    assert card.metrics["bytes"] == stories.file("model.safetensors").stat().st_size
    hub.push("models", "me/sharded", sharded)
    fetched, _ = run_step(base, hub="me/sharded")
    assert fetched.manifest["parts"]["model.safetensors"] == whole.manifest["parts"]["model.safetensors"]
    with pytest.raises(InputError, match="not the expected ones: sha256") as caught:
        run_step(base, path=stories.path, sha256="0" * 64)
    sha256 = caught.value.what.split("sha256 ")[1][:64]
    run_step(base, path=sharded, sha256=sha256)  # one hash for a model, in however many files
    (sharded / "model.safetensors.index.json").unlink()
    with pytest.raises(InputError, match="in several files, and no model"):
        run_step(base, path=sharded)


def test_a_token_opens_what_is_gated_and_is_stored_nowhere(hub, repository, tmp_path, monkeypatch):
    token = "hf_" + "s3cr3tT0ken" * 3
    hub.push("models", "me/gated", repository, gated=True)
    hub.allowed.add(token)
    monkeypatch.setenv("HF_TOKEN", token)
    call = [sys.executable, "-m", "loomwork", "call", "train.base", "hub=me/gated", "--json"]
    done = subprocess.run([*call, "--home", str(tmp_path / ".loom")], capture_output=True)
    assert done.returncode == 0, done.stderr
    made = open_home(tmp_path / ".loom").store.open(json.loads(done.stdout)["artifact"], Model)
    assert read_about(made).origin["hub"] == "me/gated"
    assert f"Bearer {token}" in {given for _, _, given in hub.asked}
    stored = b"".join(p.read_bytes() for p in (tmp_path / ".loom").rglob("*") if p.is_file())
    assert token.encode() not in stored + done.stdout + done.stderr
    assert b"%" not in done.stderr  # no progress bars of other libraries
