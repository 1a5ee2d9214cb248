"""The BERT encoder as a plain torch module, with transformers' parameter names and equal output.

It exists beside transformers' own for three reasons: it starts without importing transformers (1.6 s), it can be
run from any layer on (so that what frozen layers compute is kept), and it computes in the dtype of its weights.

Source: Devlin et al. 2018, arXiv:1810.04805.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True)
class Shape:
    """What config.json says of a BERT."""

    vocabulary: int
    positions: int
    dim: int
    layers: int
    heads: int
    inner: int
    epsilon: float
    dropout: float
    gelu: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """The shape that a config.json describes, or None for anything but a plain BERT encoder."""
        plain = (
            config.get("model_type") == "bert"
            and config.get("hidden_act", "gelu") in ACTIVATIONS
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not config.get("is_decoder")
        )
        if not plain:
            return None
        return cls(
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            dim=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            inner=config["intermediate_size"],
            epsilon=config.get("layer_norm_eps", 1e-12),
            dropout=config.get("hidden_dropout_prob", 0.1),
            gelu=ACTIVATIONS[config.get("hidden_act", "gelu")],
        )


class Embeddings(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.dim)
        self.position_embeddings = nn.Embedding(shape.positions, shape.dim)
        self.token_type_embeddings = nn.Embedding(2, shape.dim)
        self.LayerNorm = nn.LayerNorm(shape.dim, eps=shape.epsilon)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: ids.shape[1]]  # (time, dim)
        types = self.token_type_embeddings.weight[0]  # every text is a first segment
        states: Tensor = self.LayerNorm(self.word_embeddings(ids) + types + positions)  # (batch, time, dim)
        return states


class Residual(nn.Module):
    """A projection whose output is added to what went in, then normalised."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, shape.dim)
        self.LayerNorm = nn.LayerNorm(shape.dim, eps=shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, inner: Tensor, outer: Tensor) -> Tensor:
        states: Tensor = self.LayerNorm(self.dropout(self.dense(inner)) + outer)
        return states


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention of (batch, heads, time, dim / heads) under a bias (batch, 1, 1, time)."""
    if query.dtype == torch.float32 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    # On a CPU the fused kernel's backward pass takes four times as long as this in bfloat16 (88 and 22 ms, 96 x 28).
    scores: Tensor = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
    mixed: Tensor = scores.softmax(-1) @ value
    return mixed


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.gelu = shape.heads, shape.gelu
        heads = nn.ModuleDict({name: nn.Linear(shape.dim, shape.dim) for name in ("query", "key", "value")})
        self.attention: Any = nn.ModuleDict({"self": heads, "output": Residual(shape, shape.dim)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(shape.dim, shape.inner)})
        self.output = Residual(shape, shape.inner)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        batch, time, dim = hidden.shape
        query, key, value = (
            self.attention["self"][name](hidden)
            .view(batch, time, self.heads, -1)
            .transpose(1, 2)  # (batch, heads, time, dim / heads)
            for name in ("query", "key", "value")
        )
        mixed = attend(query, key, value, bias)
        hidden = self.attention["output"](mixed.transpose(1, 2).reshape(batch, time, dim), hidden)
        states: Tensor = self.output(F.gelu(self.intermediate["dense"](hidden), approximate=self.gelu), hidden)
        return states


class Bert(nn.Module):
    """Token ids in, one vector a text out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.layers = [Layer(shape) for _ in range(shape.layers)]  # a plain list: the parameters' names are encoder's
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(self.layers)})

    def states(self, hidden: Tensor, lengths: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Run layers `first` to `last` (exclusive).

        Args:
            hidden: token ids (batch, time), or the states that went into layer `first` (batch, time, dim).
            lengths: how many tokens of each text are real (batch).

        Returns: states (batch, time, dim); those of padding mean nothing.
        """
        if hidden.ndim == 2:
            hidden = self.embeddings(hidden)
        padding = torch.arange(hidden.shape[1], device=hidden.device) >= lengths[:, None]  # (batch, time)
        bias = torch.zeros(padding.shape, dtype=hidden.dtype, device=hidden.device)
        bias = bias.masked_fill(padding, torch.finfo(hidden.dtype).min)[:, None, None, :]
        for layer in self.layers[first:last]:
            hidden = layer(hidden, bias)
        return hidden

    def forward(self, hidden: Tensor, lengths: Tensor, pooling: str = "mean", first: int = 0) -> Tensor:
        """Unit vectors of texts. Args as in `states`; pooling is "mean" or "cls". Returns: float32 (batch, dim)."""
        return pool(self.states(hidden, lengths, first), lengths, pooling)


def pool(states: Tensor, lengths: Tensor, pooling: str) -> Tensor:
    """Unit vectors of texts, from the states (batch, time, dim) of their tokens. Returns: float32 (batch, dim)."""
    if pooling == "cls":
        return F.normalize(states[:, 0].float(), dim=-1)
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]  # (batch, time)
    total = (states.float() * real[:, :, None]).sum(1)
    return F.normalize(total / lengths[:, None], dim=-1)


def own_name(name: str) -> str:
    """Our name of a checkpoint's tensor: without the prefix of models that have a head, and in today's spelling."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
