"""Adapters: the loss and the gradients are peft's own, what is frozen stays, and what is saved opens in peft."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError, MissingDependency
from loomwork.learn.adapters import adapted, layers_of
from loomwork.learn.causal import CausalObjective, TokenPart
from loomwork.learn.forward import causal_decoder
from loomwork.learn.four_bits import parameter_count, round_to_four_bits
from loomwork.learn.loop import fit
from loomwork.learn.model_io import CLASSES, PEFT_TASKS, open_base, save_trained
from loomwork.learn.optimizer import make_optimizer
from loomwork.learn.settings import LOW_RANK, Adapter, Training
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.flat import lay_flat
from loomwork.models.folder import read_about
from tests.models.small_decoders import next_tokens, small, texts_of

PROMPTS = ("prompt", "prefix", "p_tuning")
LENGTHS = (9, 2, 16, 15, 3)


def part_of(texts: list[np.ndarray]) -> TokenPart:
    flat = lay_flat(texts)
    targets = next_tokens(texts, flat.order, IGNORED)
    return TokenPart(flat, targets, 1 / int((targets != IGNORED).sum()))


def pefts_loss(model, texts: list[np.ndarray]) -> torch.Tensor:
    """The mean over all targets by peft's own forward pass, each text alone; its first token is not scored."""
    losses = []
    for ids in (torch.from_numpy(t)[None] for t in texts if len(t) > 1):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -ids.shape[1] :]
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none"))
    return torch.cat(losses).mean()


def shaken(model, scale: float = 0.05) -> None:
    """An adapter begins as nothing: give it something to say."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_magnitude" not in name:
                parameter.add_(torch.randn_like(parameter) * scale)


EVERY = [("llama", a) for a in ("lora", "qlora", "rslora", "dora", "ia3", *PROMPTS)]


def settings_of(adapter: str) -> Adapter:
    own = {"rank": 3} if adapter in LOW_RANK else {"virtual_tokens": 4}
    return Adapter(adapter, **own if adapter not in ("none", "ia3") else {})


@pytest.mark.parametrize(("family", "adapter"), [*EVERY, ("gpt2", "lora"), ("gpt2", "ia3"), ("gpt_neox", "lora")])
def test_loss_and_gradients_are_pefts(family, adapter):
    how = settings_of(adapter)
    with torch.random.fork_rng([]):
        model = adapted(small(family), how, "CAUSAL_LM")
    shaken(model)
    decoder, reason = causal_decoder(model, how, torch.float32)
    assert decoder.name == ("transformers" if adapter in PROMPTS else "packed"), reason
    texts = texts_of(*LENGTHS)
    objective = CausalObjective(decoder)
    model.train()
    found = objective(part_of(texts))
    found.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    model.zero_grad(set_to_none=True)
    expected = pefts_loss(model, texts)
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            theirs = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            ours = torch.zeros_like(parameter) if gradients[name] is None else gradients[name]
            assert (ours - theirs).norm() <= 1e-4 * theirs.norm() + 1e-8, name


@pytest.mark.parametrize("adapter", ["lora", "qlora", "dora", "ia3", "prompt", "prefix", "p_tuning"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_each_adapter_learns_and_the_model_stays(adapter, precision):
    how = settings_of(adapter)
    model = adapted(small("llama", initializer_range=0.05), how, "CAUSAL_LM")
    before = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    decoder, _ = causal_decoder(model, how, getattr(torch, precision))
    part = part_of(texts_of(9, 9, 16))
    with use_context(Context(threads=1)):
        history = fit(CausalObjective(decoder), lambda s, n: [part], Training(learning_rate=0.05), steps=25)
    assert history.losses[-1] < history.losses[0] - (0.01 if adapter == "ia3" else 0.05)
    for name, weight in model.named_parameters():
        if name in before:
            assert torch.equal(weight, before[name].to(weight.dtype))
        else:
            assert weight.dtype == torch.float32


def test_recomputing_trains_an_adapter_too():
    for adapter in ("lora", "qlora", "prompt"):
        found = []
        for recompute in (False, True):
            how = settings_of(adapter)
            torch.manual_seed(0)
            model = adapted(small("llama"), how, "CAUSAL_LM")
            decoder, _ = causal_decoder(model, how, torch.float32, Training(recompute=recompute))
            CausalObjective(decoder).train()(part_of(texts_of(*LENGTHS))).backward()
            found.append([p.grad for p in model.parameters() if p.requires_grad])
        for plain, again in zip(*found, strict=True):
            torch.testing.assert_close(plain, again, rtol=1e-4, atol=1e-6)


def test_dropout_is_the_steps_also_where_transformers_computes():
    for dropout in (0.0, 0.3):
        model = adapted(small("gpt2", resid_pdrop=0.1), Adapter(adapter="prompt", virtual_tokens=4), "CAUSAL_LM")
        decoder, _ = causal_decoder(model, Adapter(adapter="prompt"), torch.float32, dropout=dropout)
        objective, part = CausalObjective(decoder).train(), part_of(texts_of(*LENGTHS))
        losses = {round(float(objective(part)), 5) for _ in range(3)}
        assert len(losses) == (3 if dropout else 1)
    with pytest.raises(InputError, match=r"has no dropout, and the packed forward pass"):
        causal_decoder(small(), Adapter(adapter="prompt"), torch.float32, dropout=0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_qlora_is_lora_on_weights_rounded_to_four_bits_and_holds_an_eighth(precision):
    found = {}
    for adapter in ("lora", "qlora"):
        how, base = settings_of(adapter), small("llama")
        if adapter == "lora":
            round_to_four_bits(base)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = adapted(base, how, "CAUSAL_LM")
        shaken(model)
        decoder, _ = causal_decoder(model, how, getattr(torch, precision))
        loss = CausalObjective(decoder)(part_of(texts_of(*LENGTHS)))
        loss.backward()
        found[adapter] = loss, {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        layer = model.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight
        assert layer.numel() * layer.element_size() == 48 * 80 * (
            0.5 if adapter == "qlora" else 4 if precision == "float32" else 2
        )
        found[f"{adapter} numbers"] = parameter_count(model)
    assert found["lora numbers"] == found["qlora numbers"]
    near = {"rel": 1e-6} if precision == "float32" else {"rel": 2e-2}
    assert found["qlora"][0].item() == pytest.approx(found["lora"][0].item(), **near)
    for name, gradient in found["lora"][1].items():
        other = found["qlora"][1][name]
        assert (other - gradient).norm() <= (1e-4 if precision == "float32" else 0.1) * gradient.norm() + 1e-8, name


def test_what_cannot_be_held_in_four_bits_is_refused(monkeypatch):
    with pytest.raises(InputError, match="GPT2LMHeadModel has no plain linear layers"):
        adapted(small("gpt2"), settings_of("qlora"), "CAUSAL_LM")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingDependency, match=r"bitsandbytes.*\n.*loomwork\[bits\]"):
        adapted(small("llama"), settings_of("qlora"), "CAUSAL_LM")
    with pytest.raises(MissingDependency, match="bitsandbytes"):
        make_optimizer([torch.nn.Parameter(torch.ones(2, 2))], Training(optimizer="adamw_8bit"))


def test_layers_by_name_and_what_does_not_fit_is_refused():
    model = adapted(small(), Adapter(adapter="lora", targets=["q_proj"]), "CAUSAL_LM")
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all(".q_proj.lora_" in n for n in trained)
    for adapter in ("lora", "ia3"):
        with pytest.raises(InputError, match=r"targets has 'qq_proj', [\s\S]*did you mean 'q_proj'"):
            adapted(small(), Adapter(adapter=adapter, targets=["v_proj", "qq_proj"]), "CAUSAL_LM")
    with pytest.raises(InputError, match="does not fit the model"):
        adapted(small(), Adapter(adapter="lora", targets=["norm"]), "CAUSAL_LM")
    with pytest.raises(InputError, match="takes no freeze_layers"):
        adapted(small(), Adapter(adapter="lora", freeze_layers=1), "CAUSAL_LM")
    with pytest.raises(InputError, match=r"freeze_layers is 4, and the model has 3 layers\n  at most 3"):
        adapted(small(), Adapter(freeze_layers=4), "CAUSAL_LM")
    with pytest.raises(InputError, match=r"all layers, and the model has no output layer of its own[\s\S]*at most 2"):
        adapted(small(tie_word_embeddings=True), Adapter(freeze_layers=3), "CAUSAL_LM")


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_frozen_layers_are_the_lowest_with_the_embeddings(family):
    model = adapted(small(family), Adapter(freeze_layers=1), "CAUSAL_LM")
    assert not any(p.requires_grad for p in model.get_input_embeddings().parameters())
    lowest, *others = layers_of(model)
    assert not any(p.requires_grad for p in lowest.parameters())
    assert all(p.requires_grad for layer in others for p in layer.parameters())
    if family == "gpt2":
        assert not model.transformer.wpe.weight.requires_grad


def test_an_output_layer_of_its_own_can_be_trained_alone():
    model = adapted(small(tie_word_embeddings=False), Adapter(freeze_layers=3), "CAUSAL_LM")
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["model.norm.weight", "lm_head.weight"]


def test_chosen_weights_are_those_with_whole_words_of_their_names():
    model = adapted(small(num_hidden_layers=11), Adapter(train_only=["layers.1", "self_attn.q_proj"]), "CAUSAL_LM")
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    every = {n for n, _ in model.named_parameters()}
    assert trained == {n for n in every if ".layers.1." in n or ".q_proj." in n}
    tied = adapted(small(tie_word_embeddings=True), Adapter(train_only=["lm_head"]), "CAUSAL_LM")
    assert [n for n, p in tied.named_parameters() if p.requires_grad] == ["model.embed_tokens.weight"]
    for part, hint in (("layer.1", "did you mean 'layers.1'"), ("layers.11", "did you mean 'layers.1'")):
        with pytest.raises(InputError, match=rf"train_only has '{part}'[\s\S]*{hint}"):
            adapted(small(), Adapter(train_only=["norm", part]), "CAUSAL_LM")
    with pytest.raises(InputError, match="train_only is empty"):
        adapted(small(), Adapter(train_only=[]), "CAUSAL_LM")
    with pytest.raises(InputError, match="freeze_layers and train_only are both given"):
        adapted(small(), Adapter(train_only=["norm"], freeze_layers=1), "CAUSAL_LM")


SAVED = """
import sys
from pathlib import Path
from loomwork.learn.adapters import adapted, write_adapter
from loomwork.learn.settings import Adapter
from tests.learn.test_adapters import classifier
write_adapter(adapted(classifier(), Adapter("lora", rank=2), "SEQ_CLS"), Path(sys.argv[1]))
"""


def classifier():
    import transformers

    return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=30, **SMALL["Bert"]))


def test_an_adapter_is_the_same_bytes_whatever_this_processs_hashes_are(tmp_path):
    """peft keeps the names of layers as sets."""
    found = []
    for seed in ("1", "2"):
        run = [sys.executable, "-c", SAVED, tmp_path / seed]
        subprocess.run(run, check=True, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True)
        found.append((tmp_path / seed / "adapter_config.json").read_text())
    assert found[0] == found[1]
    config = json.loads(found[0])
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["modules_to_save"] == ["classifier", "score"]


def logits_of(model, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found = model.eval()(input_ids=ids)
    return found.logits if "logits" in found else found.start_logits


SMALL = {
    "DistilBert": {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2},
    "Roberta": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2},
    "Bert": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2},
}


@pytest.mark.parametrize(
    ("family", "kind", "adapter"),
    [
        ("DistilBert", "classes", "none"),
        ("DistilBert", "classes", "lora"),
        ("DistilBert", "classes", "ia3"),
        ("DistilBert", "tokens", "lora"),
        ("Roberta", "classes", "lora"),
        ("Bert", "classes", "lora"),
        ("Bert", "classes", "qlora"),
        ("Bert", "tokens", "lora"),
        ("Bert", "spans", "lora"),
    ],
)
def test_layers_that_begin_at_random_are_trained_and_saved(family, kind, adapter, tmp_path):
    """DistilBERT's classifier has two layers, of which peft knows one; BERT's pooler lies inside the base model."""
    import peft
    import transformers

    torch.manual_seed(5)
    config = getattr(transformers, f"{family}Config")(vocab_size=30, **SMALL[family])
    more = {"add_pooling_layer": False} if family == "Bert" else {}
    getattr(transformers, f"{family}Model")(config, **more).save_pretrained(tmp_path / "base")
    targets = ["q_lin", "lin2"] if adapter == "ia3" else None
    own = {"none": {}, "ia3": {"targets": targets}}.get(adapter, {"rank": 2, "targets": targets})
    how, auto = Adapter(adapter=adapter, **own), getattr(transformers, CLASSES[kind])
    labels = {} if kind == "spans" else {"num_labels": 3}
    base, ids = Model(tmp_path / "base"), torch.arange(2, 14).view(2, 6)
    for again in ("first", "second"):  # the second time the base has its output layer already
        model = adapted(open_base(base, kind, seed=7, **labels), how, PEFT_TASKS[kind])
        shaken(model)
        expected = logits_of(model, ids)
        (tmp_path / again).mkdir()
        save_trained(model, base, kind, read_about(base), how, tmp_path / again, labels)
        found = logits_of(auto.from_pretrained(tmp_path / again), ids)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        if adapter != "none":
            fresh = auto.from_pretrained(base.path, **labels)
            if adapter == "qlora":
                round_to_four_bits(fresh, ["classifier", *(["bert.pooler"] if again == "first" else [])])
            theirs = peft.PeftModel.from_pretrained(fresh, tmp_path / again / "adapter")
            torch.testing.assert_close(logits_of(theirs, ids), expected, rtol=1e-4, atol=1e-5)
        base = Model(tmp_path / again)


def test_bitsandbytes_which_peft_imports_is_not_heard():
    logging.getLogger("bitsandbytes").setLevel(logging.NOTSET)
    adapted(small("llama"), Adapter(adapter="lora"), "CAUSAL_LM")
    assert not logging.getLogger("bitsandbytes.anything").isEnabledFor(logging.WARNING)
