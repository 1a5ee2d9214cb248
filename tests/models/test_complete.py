"""Folders whose weights are not those that their config.json speaks of."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.learn.model_io import open_base
from loomwork.models.bert import Shape
from loomwork.models.decoder import load_decoder
from loomwork.models.engines.torch import build_bert, read_tensors
from loomwork.models.opened import open_outputs
from loomwork.train.base import base


def renamed(tensors):
    return {"foo." + name: tensor for name, tensor in tensors.items()}


def without_a_layer(tensors):
    return {name: tensor for name, tensor in tensors.items() if ".layers.2." not in name}


FAULTS = {
    "renamed": (renamed, {}, r"lacks weights of LlamaForCausalLM: .*model.embed_tokens.weight.* and \d+ more"),
    "a layer gone": (without_a_layer, {}, r"lacks weights of LlamaForCausalLM: model.layers.2.*and 6 more"),
    "more layers": (dict, {"num_hidden_layers": 8}, r"lacks weights .* model.layers.5"),
    "fewer layers": (dict, {"num_hidden_layers": 3}, r"has layers that config.json leaves out .* model.layers.3"),
    "wider": (dict, {"intermediate_size": 200}, r"has weights of other shapes .*mlp.*\(64, 172\) .*\(64, 200\)"),
}


@pytest.fixture
def changed(tmp_path, stories):
    """changed(model, tensors -> tensors, config): a copy of a model with other weights and another config.json."""

    def change(change_tensors=dict, config=None, model=stories):
        from safetensors.torch import load_file, save_file

        folder = tmp_path / "changed"
        folder.mkdir()
        for file in model.path.iterdir():
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        save_file(change_tensors(load_file(model.file("model.safetensors"))), folder / "model.safetensors")
        told = config if config and "model_type" in config else model.read_json("config.json") | (config or {})
        (folder / "config.json").write_text(json.dumps(told))
        return Model(folder)

    return change


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_are_not_the_model_s_are_refused_wherever_they_are_opened(fault, changed, run_step):
    change, config, told = FAULTS[fault]
    model = changed(change, config)
    with pytest.raises(InputError, match=told):
        open_base(model, "causal")
    with pytest.raises(InputError, match=told):
        load_decoder(model)
    with pytest.raises(InputError, match=told):
        open_outputs(model, "AutoModelForCausalLM")
    with pytest.raises(InputError, match=f"^{model.path} {told}"):
        run_step(base, path=model.path)
    with pytest.raises(InputError, match=r"lacks weights|layers that config.json leaves out|weights of other shapes"):
        open_base(model, "classes", num_labels=2)


def test_a_config_of_a_name_alone_is_refused_before_its_default_size_takes_memory(changed, run_step):
    model = changed(config={"model_type": "llama"})
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"lacks weights of LlamaForCausalLM: model.layers"):
        open_base(model, "causal")
    with pytest.raises(InputError, match=r"lacks weights of LlamaModel: layers.10"):
        run_step(base, path=model.path)
    assert time.monotonic() - begun < 30


def test_a_file_that_is_cut_off_is_named(changed, run_step):
    model = changed()
    file = model.path / "model.safetensors"
    size = file.stat().st_size
    with open(file, "r+b") as stream:
        stream.truncate(size - 100)
    for call in (lambda: open_base(model, "causal"), lambda: run_step(base, path=model.path)):
        with pytest.raises(InputError, match=rf"model.safetensors is cut off, .* {size - 100:,} bytes of {size:,}"):
            call()
    file.write_bytes(b"no header at all")
    with pytest.raises(InputError, match=r"model.safetensors is no safetensors file"):
        run_step(base, path=model.path)


def test_what_may_begin_anew_does_and_what_is_not_taken_is_told(changed, stories):
    bare = changed(lambda t: {n: w for n, w in t.items() if n != "lm_head.weight"})  # tied to the embedding
    assert open_base(bare, "causal").new_modules == []
    classifier = open_base(bare, "classes", num_labels=2)
    assert (classifier.new_modules, classifier.opened_notes) == (["score"], [])


def test_a_head_of_another_kind_is_told_and_an_encoder_needs_no_pooler(changed, minilm):
    def without_pooler(tensors):
        left = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
        return left | {"qa_outputs.bias": tensors["pooler.dense.bias"][:2].clone()}

    model = changed(without_pooler, model=minilm)
    opened = open_base(model, "classes", num_labels=2)
    assert opened.new_modules == ["bert.pooler.dense", "classifier"]
    assert opened.opened_notes == ["weights of the base that are not taken: qa_outputs"]
    shape = Shape.of(model.read_json("config.json") | {"num_hidden_layers": 4})
    with pytest.raises(InputError, match=r"layers that config.json leaves out: encoder.layer.4"):
        build_bert(shape, read_tensors(model))
