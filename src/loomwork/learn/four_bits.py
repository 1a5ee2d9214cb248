"""Frozen weights in 4 bits: NF4 values in blocks of 64, whose scales are quantised too, through bitsandbytes.

Source: Dettmers et al. 2023, arXiv:2305.14314 (QLoRA).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import nn

from loomwork.core.errors import InputError, MissingDependency


def hold_in_four_bits(model: Any, leave: Collection[str] = ()) -> None:
    """Replace the linear layers of a model by ones that hold their weights in 4 bits and train none of them.

    The output layer, which peft puts no adapter on, stays as it is. A model without memory (meta) is left alone.

    Args:
        model: of transformers, on the CPU; changed in place.
        leave: names of modules that stay, with what is in them.

    Raises:
        MissingDependency: bitsandbytes is not installed.
        InputError: the model has no such layers.
    """
    if next(model.parameters()).is_meta:
        return
    found = list(_linear_layers(model, leave))
    bnb = bitsandbytes()
    for name, layer in found:
        with torch.device("meta"):
            held = bnb.nn.Linear4bit(layer.in_features, layer.out_features, bias=False, quant_type="nf4")
        held.weight = bnb.nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
        held.bias = layer.bias
        held.support_avx512bf16_for_cpu = False  # a look at held-out data would lay the weights out anew, for good
        model.set_submodule(name, held.to("cpu"))  # where it is moved to, it is quantised
    model.is_loaded_in_4bit = True  # peft asks for it


def round_to_four_bits(model: Any, leave: Collection[str] = ()) -> None:
    """Give the same layers of a model the values that they have in 4 bits, in their own number format."""
    functional = bitsandbytes().functional
    for _, layer in _linear_layers(model, leave):
        values, scales = functional.quantize_4bit(layer.weight.data, quant_type="nf4", compress_statistics=True)
        layer.weight.data = functional.dequantize_4bit(values, scales).to(layer.weight.dtype)


def parameter_count(model: nn.Module) -> int:
    """How many numbers the weights are: those in 4 bits lie two in a byte."""
    return sum(p.numel() * (2 if hasattr(p, "quant_state") else 1) for p in model.parameters())


def _linear_layers(model: Any, leave: Collection[str]) -> Iterator[tuple[str, nn.Linear]]:
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    kept = [*leave, *(name for name, module in model.named_modules() if module is output)]
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Linear and not any(name == k or name.startswith(f"{k}.") for k in kept)
    ]
    if not found:
        raise InputError(f"{type(model).__name__} has no plain linear layers, which qlora holds in 4 bits", "take lora")
    yield from found


def bitsandbytes() -> Any:
    """The package.

    Raises:
        MissingDependency: it is not installed.
    """
    quiet()
    try:
        import bitsandbytes as found
    except ModuleNotFoundError as error:
        raise MissingDependency("4 and 8 bits in training", "bitsandbytes", "bits") from error
    return found


def quiet() -> None:
    """Keep bitsandbytes, which peft imports too, from telling of faster kernels that could be downloaded."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
