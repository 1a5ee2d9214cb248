"""Rows, tokenizers and adapters that do not fit the model, and what memory and disk do not hold, are told in words."""

from __future__ import annotations

import errno
import shutil

import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError, LoomError
from loomwork.learn.adapters import adapted
from loomwork.learn.forward import causal_decoder
from loomwork.learn.kept import KeptWeights
from loomwork.learn.settings import Adapter
from loomwork.learn.watch import HeldOut
from loomwork.models.flat import lay_flat
from loomwork.models.folder import read_about
from loomwork.models.linear import linear
from loomwork.train.classify import classify
from loomwork.train.extend import extend
from loomwork.train.find_lr import find_lr
from loomwork.train.pick_base import pick_base
from loomwork.train.pretrain import pretrain
from loomwork.train.pretrain_masked import pretrain_masked
from loomwork.train.sft import sft
from loomwork.train.tag import tag
from tests.models.small_decoders import small

LONG = [{"text": " ".join(["word"] * 900), "label": "ab"[i % 2]} for i in range(8)]
HOW = {"steps": 1, "batch": 4}


def test_a_text_is_read_as_far_as_the_model_reads(small_bert, make_dataset, run_step):
    model, _ = run_step(classify, base=small_bert, data=make_dataset(LONG), max_tokens=2000, **HOW)
    assert model.read_json("loomwork.json")["max_tokens"] == 512
    words = [{"tokens": r["text"].split(), "tags": ["O", "B-x"] * 450} for r in LONG]
    _, card = run_step(tag, base=small_bert, data=make_dataset(words), max_tokens=2000, **HOW)
    assert card.metrics["words_beyond_max_tokens"] == 8 * (900 - 510)


def test_steps_before_a_run_read_as_far_as_the_model_reads_too(small_bert, stories, make_dataset, run_step):
    data = make_dataset([{"text": " ".join([w] * 900), "label": c} for c, w in (("a", "red"), ("b", "blue"))] * 10)
    _, card = run_step(find_lr, base=small_bert, data=data, objective="classes", max_tokens=2000, steps=20, batch=1)
    assert card.notes[-1] == "max_tokens is 512, not 2,000: more the base does not read"
    bases = {"bert": small_bert, "llama": stories}
    _, card = run_step(pick_base, data=data, bases=bases, label="label", max_tokens=2000, folds=2)
    assert card.metrics["texts"] == 20


def test_a_context_that_the_model_does_not_read_is_refused(stories, make_dataset, run_step):
    for given in (1, 513):
        with pytest.raises(InputError, match="the model reads 2 to 512"):
            run_step(pretrain, base=stories, data=make_dataset(LONG), context_tokens=given)
    with pytest.raises(InputError, match="holds numbers"):
        run_step(pretrain, base=stories, data=make_dataset([{"text": 3}, {"text": 4}]), batch_tokens=512)


def test_a_tokenizer_that_does_not_fit_the_model(small_bert, make_dataset, run_step, tmp_path):
    import shutil

    from transformers import BertConfig, BertModel

    from loomwork.core.artifact import Model

    shutil.copytree(small_bert.path, tmp_path / "model")
    BertModel(BertConfig(vocab_size=900, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)).save_pretrained(
        tmp_path / "model"
    )
    with pytest.raises(InputError, match="the model has 900 of them"):
        run_step(classify, base=Model(tmp_path / "model"), data=make_dataset(LONG), **HOW)


@pytest.mark.parametrize("adapter", ["prompt", "prefix", "p_tuning"])
def test_virtual_tokens_need_room_in_an_encoder_too(adapter, small_bert, make_dataset, run_step):
    how = {"data": make_dataset(LONG), "max_tokens": 512, "adapter": adapter, **HOW}
    model, card = run_step(classify, base=small_bert, **how)
    assert "max_tokens is 492, not 512: the base reads 512, 20 of them virtual" in card.notes
    assert read_about(model).max_tokens == 492
    with pytest.raises(InputError, match=r"virtual_tokens is 510, and the base reads 512 tokens"):
        run_step(classify, base=small_bert, virtual_tokens=510, **how)


def test_settings_of_another_adapter_are_refused():
    model = small("llama")
    for how in (
        Adapter(rank=8), Adapter("lora", virtual_tokens=4), Adapter("prompt", rank=8), Adapter("ia3", alpha=8.0),
        Adapter("lora", freeze_layers=1),
    ):  # fmt: skip
        with pytest.raises(InputError, match="takes no"):
            adapted(model, how, "CAUSAL_LM")


def test_settings_of_classes_are_refused_for_numbers(small_bert, make_dataset, run_step):
    rows = make_dataset([{"text": "a b", "label": 1.0}, {"text": "c", "label": 2.0}])
    for given in ({"label_smoothing": 0.1}, {"class_weights": "balanced"}):
        with pytest.raises(InputError, match="are for classes"):
            run_step(classify, base=small_bert, data=rows, target="number", **given, **HOW)
    listed = make_dataset([{"text": "a b", "label": [1.0]}])
    with pytest.raises(InputError, match="is no number"):
        run_step(classify, base=small_bert, data=listed, target="number", **HOW)


def test_weights_that_are_all_0_are_refused(small_bert, make_dataset, run_step):
    rows = make_dataset([{**r, "weight": 0.0} for r in LONG])
    with pytest.raises(InputError, match="nothing would be learned"):
        run_step(classify, base=small_bert, data=rows, weights="weight", **HOW)


def test_held_out_tags_that_training_has_not(small_bert, make_dataset, run_step):
    learned = make_dataset([{"tokens": ["a", "b"], "tags": ["NOUN", "VERB"]}] * 4)
    held = make_dataset([{"tokens": ["a"], "tags": ["NN"]}])
    with pytest.raises(InputError, match="'NN' is none of the training data's"):
        run_step(tag, base=small_bert, data=learned, holdout=held, **HOW)


def test_an_adapter_on_the_embedding_is_trained(make_dataset):
    """By transformers' own forward pass: the packed one reads the embedding's rows alone."""
    model = adapted(small("llama"), Adapter("lora", targets=["embed_tokens", "q_proj"]), "CAUSAL_LM")
    decoder, reason = causal_decoder(model, Adapter("lora"), torch.float32)
    assert (decoder.name, reason) == ("transformers", "its embedding has an adapter")
    flat = lay_flat([torch.arange(3, 12).numpy()])
    decoder.loss(flat, torch.cat([flat.ids[1:], flat.ids[:1]])).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if "lora_embedding" in n}
    assert gradients
    assert all(g is not None for g in gradients.values())


def test_a_small_update_is_not_rounded_away_in_bfloat16():
    import peft

    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(256, 256, bias=False))
    model = peft.get_peft_model(base, peft.LoraConfig(r=8, target_modules=["0"], init_lora_weights=False))
    layer = model.base_model.model[0]
    with torch.no_grad():
        layer.lora_B["default"].weight.mul_(1e-3)
        x = torch.randn(64, 256)
        added = layer(x) - layer.base_layer(x)
        layer.base_layer.weight.data = layer.base_layer.weight.bfloat16()
        rows = x.bfloat16()
        computed = linear(layer, rows)
        plain = torch.nn.functional.linear(rows, layer.base_layer.weight)
    # what rounding the sum costs at most, and no more: the update itself is there
    assert float(((computed - plain).float() - added).norm()) < 0.005 * float(plain.float().norm())
    exact = rows.double() @ layer.base_layer.weight.double().T + added.double()
    assert float((computed.double() - exact).norm() / exact.norm()) < 0.004


class Greedy(torch.nn.Module):
    """Takes at most so many numbers at once."""

    def forward(self, part: torch.Tensor) -> torch.Tensor:
        if len(part.values) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return part.values.sum()


class Numbers:
    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.tokens = values, len(values)


def test_held_out_data_is_looked_at_in_smaller_parts_out_of_memory():
    values = torch.arange(12.0)
    look = HeldOut(Greedy(), lambda limit: [Numbers(v) for v in values.split(limit)], 12)
    assert look() == look() == float(values.sum())
    assert look.limit == 3
    with pytest.raises(RuntimeError, match="can't allocate"):
        HeldOut(Greedy(), lambda limit: [Numbers(values)], 12)()


def test_a_full_disk_while_weights_are_kept(tmp_path, monkeypatch):
    model = small("llama")
    kept = KeptWeights(model, tmp_path)
    kept.keep(1)

    def full(folder, **given):
        folder.mkdir()
        (folder / "some").write_text("written before the disk was full")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model, "save_pretrained", full)
    with pytest.raises(LoomError, match="weights of step 2 cannot be kept"):
        kept.keep(2)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]


def test_a_tokenizer_with_more_tokens_than_the_model_is_told(stories, make_dataset, run_step, tmp_path):
    made, _ = run_step(extend, base=stories, tokens=["<|more|>"])
    shutil.copytree(stories.path, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(made.path / name, tmp_path / "model" / name)
    data = make_dataset([{"text": "Once upon a time."}] * 4)
    _, card = run_step(
        pretrain, base=Model(tmp_path / "model"), data=data, tokens=8, batch_tokens=32, context_tokens=16
    )
    assert "the tokenizer knows 513 tokens, and the model 512: a text with one of the others fails" in card.notes
    _, card = run_step(pretrain, base=stories, data=data, tokens=8, batch_tokens=32, context_tokens=16)
    assert not any("the tokenizer knows" in note for note in card.notes)


def test_a_trained_model_has_the_licence_of_its_base_and_not_its_read_me(stories, make_dataset, run_step, tmp_path):
    shutil.copytree(stories.path, tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n# A model that was not trained on this\n")
    (tmp_path / "model" / "LICENSE").write_text("MIT")
    how = {"tokens": 8, "batch_tokens": 32, "context_tokens": 16}
    base = Model(tmp_path / "model")
    made, _ = run_step(pretrain, base=base, data=make_dataset([{"text": "Once upon a time."}] * 4), **how)
    assert (made.path / "LICENSE").read_text() == "MIT"
    assert not (made.path / "README.md").exists()
    assert read_about(made).licence == "mit"


def test_an_optimizer_that_cannot_be_split_is_refused_in_one_process_too(stories, make_dataset, run_step):
    with pytest.raises(InputError, match=r"optimizer adafactor cannot be split \(shard\)"):
        run_step(pretrain, base=stories, data=make_dataset([{"text": "a b"}]), shard=True, optimizer="adafactor")


def test_a_row_limit_that_is_too_low_is_the_hint(stories, make_dataset, run_step):
    talk = [{"role": "user", "content": "Why is that so?"}, {"role": "assistant", "content": "It likes the sun."}]
    with pytest.raises(InputError, match=r"2 rows: longer than 8 tokens\n  raise max_tokens"):
        run_step(sft, base=stories, data=make_dataset([{"messages": talk}] * 2), template="plain", max_tokens=8)


def test_an_encoder_without_labels_is_told_of_label(small_bert, stories, make_dataset, run_step):
    data = make_dataset([{"text": f"text number {i}"} for i in range(30)])
    with pytest.raises(InputError, match=r"base 'bert': [\s\S]*give label"):
        run_step(pick_base, data=data, bases={"bert": small_bert, "llama": stories})


@pytest.mark.parametrize("function", [pretrain, pretrain_masked])
def test_virtual_tokens_shorten_what_is_read_at_once(function, stories, small_bert, make_dataset, run_step):
    causal = function is pretrain
    how = {"batch_tokens": 512, "tokens": 500} if causal else {"max_tokens": 512, **HOW}
    base = stories if causal else small_bert
    _, card = run_step(function, base=base, data=make_dataset(LONG), adapter="prompt", **how)
    name = "context_tokens" if causal else "max_tokens"
    assert f"{name} is 492, not 512: the base reads 512, 20 of them virtual" in card.notes
