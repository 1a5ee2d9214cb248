"""The torch engine: the exact reference. Plain BERT runs on models/bert.py, any other encoder on transformers.

A BERT whose `NAME.weight` is int8 with one number `NAME.weight_scale` runs as torch's own dynamic quantisation
does: what goes into a layer is rounded, to 7 bits, over the range of the whole batch as it comes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.bert import Bert, Shape, own_name, pool
from loomwork.models.complete import GET_AGAIN, open_complete
from loomwork.models.decoder import Decoder, load_decoder
from loomwork.models.folder import WEIGHTS, About
from loomwork.models.scoring.requests import Request, Scoring
from loomwork.models.scoring.run import Settings

SCALE = ".weight_scale"


class TorchEncoder:
    """See `EncoderEngine`."""

    def __init__(self, module: torch.nn.Module, dim: int, pooling: str, threads: int, device: str) -> None:
        self.dim = dim
        self.module, self.pooling, self.threads, self.device = module.to(device).eval(), pooling, threads, device

    @torch.inference_mode()
    def embed(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        torch.set_num_threads(self.threads)
        counts = torch.from_numpy(lengths).to(self.device)
        vectors = self.module(torch.from_numpy(ids).to(self.device), counts, self.pooling)
        found: np.ndarray = vectors.cpu().numpy()
        return found


class OtherEncoder(torch.nn.Module):
    """Any encoder of transformers, called as `Bert` is."""

    def __init__(self, model: Model) -> None:
        from transformers import AutoModel

        super().__init__()
        self.inner, _, _ = open_complete(AutoModel, model.path)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor, pooling: str) -> torch.Tensor:
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        padded = ids.masked_fill(~mask, self.inner.config.pad_token_id or 0)
        return pool(self.inner(input_ids=padded, attention_mask=mask.long()).last_hidden_state, lengths, pooling)


class DynamicLinear(torch.nn.Module):
    """A linear layer in int8, its input rounded over the range of the batch.

    Args:
        weight: int8 (out, in).
        scale: of the whole weight.
        bias: float32 (out).
    """

    def __init__(self, weight: torch.Tensor, scale: float, bias: torch.Tensor) -> None:
        super().__init__()
        with warnings.catch_warnings():  # torch means to drop these tensors some day; our version is pinned
            warnings.simplefilter("ignore", UserWarning)
            quantized = torch._make_per_tensor_quantized_tensor(weight, scale, 0)
        self.packed = torch.ops.quantized.linear_prepack(quantized, bias)

    def forward(self, inner: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.quantized.linear_dynamic(inner, self.packed, True)  # 7 bits, as torch.ao does
        return found


@dataclass(frozen=True)
class TorchScorer:
    """See `Scorer`."""

    decoder: Decoder
    settings: Settings

    def score(self, requests: Sequence[Request], *, keep: Path | None = None) -> Scoring:
        return self.decoder.score(requests, keep=keep, settings=self.settings)


def scorer(model: Model, about: About, threads: int, settings: Settings | None) -> TorchScorer:
    """Open a causal language model."""
    return TorchScorer(load_decoder(model, threads=threads), settings or Settings())


def encoder(model: Model, about: About, threads: int) -> TorchEncoder:
    """Open an encoder. Quantised ones run on the CPU only."""
    shape = Shape.of(model.read_json("config.json"))
    device = "cpu" if about.quantization else context().device
    if shape is None:
        if about.quantization:
            raise InputError(f"the model {model.path} is quantised, and no plain BERT: the torch engine has no kernel")
        other = OtherEncoder(model)
        return TorchEncoder(other, other.inner.config.hidden_size, about.pooling, threads, device)
    return TorchEncoder(build_bert(shape, read_tensors(model)), shape.dim, about.pooling, threads, device)


def read_tensors(model: Model) -> dict[str, torch.Tensor]:
    """The weights, by the names in the file."""
    from safetensors.torch import load_file

    return load_file(model.file(WEIGHTS))


def build_bert(shape: Shape, tensors: dict[str, torch.Tensor]) -> Bert:
    """A BERT with these weights, in float32 where they are floats.

    Raises:
        InputError: a weight is missing or has another shape.
    """
    own = {own_name(name): tensor for name, tensor in tensors.items()}
    with torch.device("meta"):
        module = Bert(shape)
    for name in [n.removesuffix(SCALE) for n in own if n.endswith(SCALE)]:
        layer = DynamicLinear(own.pop(name + ".weight"), float(own.pop(name + SCALE)), own.pop(name + ".bias"))
        parent, _, child = name.rpartition(".")
        _put(module.get_submodule(parent), child, layer)
    deeper = [name for name in own if re.match(rf"encoder\.layer\.0*{shape.layers}\.", name)]
    if deeper:
        raise InputError(f"the weights have layers that config.json leaves out: {deeper[0]}", GET_AGAIN)
    floats = {name: own[name].float() for name in module.state_dict() if name in own}
    try:
        module.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        raise InputError(f"the weights do not fit config.json: {error}") from error
    return module


def _put(parent: Any, child: str, layer: torch.nn.Module) -> None:
    if isinstance(parent, torch.nn.ModuleDict):
        parent[child] = layer
    else:
        setattr(parent, child, layer)
