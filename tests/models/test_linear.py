"""Linear layers of every kind, LoRA's above all, against what peft and transformers themselves compute."""

from __future__ import annotations

import peft
import pytest
import torch
from torch.autograd import gradcheck
from transformers.pytorch_utils import Conv1D

from loomwork.models.linear import LowRank, _plain_lora, linear

ROWS = 7


def adapted_layer(config: peft.PeftConfig, bias: bool = True, kind: type = torch.nn.Linear) -> torch.nn.Module:
    """A layer (5 to 6) with an adapter whose weights are all random, the layer itself frozen."""
    torch.manual_seed(0)
    layer = kind(5, 6, bias=bias) if kind is torch.nn.Linear else kind(6, 5)
    model = peft.get_peft_model(torch.nn.Sequential(layer), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            assert parameter.requires_grad or "base_layer" in name
    return model.base_model.model[0]


def compare(module: torch.nn.Module) -> None:
    """What `linear` gives against what the module itself gives, forward and backward."""
    x = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1))
    outcomes = []
    for how in (lambda x: linear(module, x), module):
        module.zero_grad(set_to_none=True)
        states = x.clone().requires_grad_()
        found = how(states)
        (found**2).sum().backward()
        gradients = {n: p.grad for n, p in module.named_parameters() if p.requires_grad}
        assert all(g is not None for g in gradients.values())
        outcomes.append((found.detach(), states.grad, gradients))
    (found, of_x, gradients), (expected, their_x, theirs) = outcomes
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(of_x, their_x, rtol=1e-4, atol=1e-5)
    for name in theirs:
        torch.testing.assert_close(gradients[name], theirs[name], rtol=1e-4, atol=1e-5)


CONFIGS = {
    "lora": ({}, True),
    "rslora": ({"use_rslora": True}, True),
    "dora": ({"use_dora": True}, False),
    "with biases of its own": ({"lora_bias": True}, False),
}


# peft wants a bias to add one to
@pytest.mark.parametrize(("name", "bias"), [(n, b) for n in CONFIGS for b in (True, False) if b or "biases" not in n])
def test_lora_is_pefts(name, bias):
    more, fast = CONFIGS[name]
    module = adapted_layer(peft.LoraConfig(r=3, lora_alpha=12, target_modules=["0"], **more), bias)
    assert bool(_plain_lora(module)) == fast
    compare(module)


def test_an_adapter_on_gpt2s_transposed_layer():
    config = peft.LoraConfig(r=3, lora_alpha=12, target_modules=["0"], fan_in_fan_out=True)
    compare(adapted_layer(config, kind=Conv1D))


def test_ia3_is_pefts():
    for feedforward in ([], ["0"]):
        compare(adapted_layer(peft.IA3Config(target_modules=["0"], feedforward_modules=feedforward)))


def test_layers_without_an_adapter():
    torch.manual_seed(0)
    compare(torch.nn.Linear(5, 6))
    compare(torch.nn.Linear(5, 6, bias=False))
    compare(Conv1D(6, 5))


def test_dropout_of_lora_is_left_to_peft():
    module = adapted_layer(peft.LoraConfig(r=3, target_modules=["0"], lora_dropout=0.5))
    assert _plain_lora(module) == ""
    x = torch.randn(ROWS, 5)
    torch.manual_seed(1)
    found = linear(module.train(), x)
    torch.manual_seed(1)
    torch.testing.assert_close(found, module(x))


def test_an_adapter_that_is_off_or_merged_is_not_added():
    module = adapted_layer(peft.LoraConfig(r=3, target_modules=["0"]))
    x = torch.randn(ROWS, 5)
    with_it = linear(module, x)
    module.merge()
    torch.testing.assert_close(linear(module, x), with_it, rtol=1e-5, atol=1e-5)
    module.unmerge()
    module.enable_adapters(False)
    torch.testing.assert_close(linear(module, x), module.base_layer(x))


def test_two_adapters_at_once_are_summed():
    module = adapted_layer(peft.LoraConfig(r=3, target_modules=["0"]))
    module.update_layer("other", r=2, lora_alpha=4, config=peft.LoraConfig(r=2, init_lora_weights=False))
    module.set_adapter(["default", "other"])
    compare(module)


def test_the_low_rank_product_against_finite_differences():
    generator = torch.Generator().manual_seed(0)
    x, weight, down, up = (
        torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((4, 5), (6, 5), (2, 5), (6, 2))
    )
    given = (x.requires_grad_(), down.requires_grad_(), up.requires_grad_())
    assert gradcheck(lambda x, down, up: LowRank.apply(x, weight, down, up, 1.7), given, fast_mode=True)
    torch.testing.assert_close(LowRank.apply(x, weight, down, up, 1.7), x @ weight.T + 1.7 * x @ down.T @ up.T)
