"""Which forward pass trains a model: the packed one, compiled or not, or transformers' own, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from loomwork.core.context import context
from loomwork.core.errors import InputError, LoomError
from loomwork.learn.adapters import PROMPTS
from loomwork.learn.settings import Adapter, Training
from loomwork.models import packed_encoder
from loomwork.models.families import not_covered
from loomwork.models.flat_decoder import FlatDecoder
from loomwork.models.plain_decoder import PlainDecoder


def causal_decoder(
    model: Any,
    how: Adapter,
    dtype: torch.dtype,
    training: Training = Training(),
    *,
    dropout: float = 0.0,
) -> tuple[FlatDecoder | PlainDecoder, str]:
    """The forward pass that trains a causal model, and why it is not packed, or not compiled on a GPU.

    Args:
        model: of transformers, or peft's around it.
        how: the adapter that is on it.
        dtype: of the matrix products.
        dropout: of what layers add.
        training: the settings. Weights that may be split over processes are not for the packed pass, which would read
            pieces of them.

    Raises:
        InputError: dropout is wanted of a model that has none in transformers, or compiling of what is not packed.
        LoomError: the layers cannot be compiled, and it is wanted.
    """
    inside = model.get_base_model() if hasattr(model, "peft_config") else model
    reason = f"{how.adapter} puts states in front of a text" if how.adapter in PROMPTS else not_covered(inside)
    if training.shard:
        reason = "shard is set, and split weights are put together by it"
    if reason:
        refuse_compile(training, reason)
        _set_dropout(inside, dropout, reason)
        return PlainDecoder(model, dtype, training.recompute), reason
    decoder = FlatDecoder(inside, dtype, dropout, training.recompute)
    return decoder, compile_if_wanted(training, decoder.use_compiler)


def refuse_compile(training: Training, reason: str) -> None:
    """Refuse to compile a forward pass that is not packed.

    Raises:
        InputError: it is wanted.
    """
    if training.compile:
        raise InputError(f"compile is for the packed forward pass, which cannot run here: {reason}", "leave it out")


def compile_if_wanted(training: Training, use_compiler: Callable[[], str]) -> str:
    """Compile where the settings or the device say so; returns why it could not be, where nobody insisted.

    Raises:
        LoomError: it cannot be compiled, and the settings ask for it.
    """
    wanted = context().device.startswith("cuda") if training.compile is None else training.compile
    if not wanted:
        return ""
    context().progress(0, None, "steps", note="compiling the layers")
    reason = use_compiler()
    if reason and training.compile:
        raise LoomError(
            f"the layers cannot be compiled: {reason}",
            "on a CPU it takes a C++ compiler (apt install g++); or leave compile out",
        )
    return f"not compiled: {reason}" if reason else ""


def _set_dropout(model: Any, dropout: float, reason: str) -> None:
    """Of transformers' own layers; an adapter has its own."""
    found = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout) and "lora_dropout" not in n]
    if dropout and not found:
        raise InputError(
            f"{type(model).__name__} has no dropout, and the packed forward pass, which has, cannot run: {reason}",
            "leave dropout out",
        )
    for module in found:
        module.p = dropout


def compile_encoder(model: Any, training: Training, dtype: torch.dtype) -> str:
    """Compile the packed layers of an encoder where the settings or the device say so.

    Args:
        model: of transformers, or peft's around it, on its device.
        training: the settings.
        dtype: of the matrix products.

    Returns: why it could not be, where nobody insisted, or "".

    Raises:
        InputError: it is not packed, and the settings ask for it.
        LoomError: it cannot be compiled, and the settings ask for it.
    """
    if not packed_encoder.is_packed(model):
        refuse_compile(training, f"{type(model).__name__} goes through transformers' own")
        return ""
    return compile_if_wanted(training, lambda: packed_encoder.use_compiler(model, dtype))
