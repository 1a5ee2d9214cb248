"""The parts of transformers' decoders that the packed forward passes put together anew, by architecture.

Weights are not copied: the functions made here read the model's own modules, adapters of peft included. A family is
listed once tests have shown that its log-probabilities, its loss and its gradients equal those of transformers' own
forward pass. Where gradients are wanted nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loomwork.models.kernels import Lookup, TiedGradient, dropout, gated_silu
from loomwork.models.linear import linear

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Block:
    """One layer, of functions on rows of states (tokens, width).

    Args:
        attention_norm, mlp_norm: before attention and before the MLP.
        qkv: queries (tokens, heads, head width), keys and values (tokens, key heads, head width), not yet rotated.
        out: of the mixed values (tokens, heads * head width).
        mlp: the whole of it.
        parallel: attention and MLP read the same states, and both are added.
        scale: of the products of queries and keys.
        window: how many tokens back attention reaches, the token itself included; 0 for all.
        dropout: of what attention and MLP add, while training.
    """

    attention_norm: Map
    qkv: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    out: Map
    mlp_norm: Map
    mlp: Map
    parallel: bool
    scale: float
    window: int
    dropout: float = 0.0

    def joined(self, x: Tensor, attended: Tensor) -> Tensor:
        """The states after the layer, from those before it and from what its attention gives."""
        if torch.is_grad_enabled() or attended.dtype != x.dtype:
            return self._joined_anew(x, attended)
        if self.parallel:
            return self.mlp(self.mlp_norm(x)).add_(attended).add_(x)
        x = attended.add_(x)
        return self.mlp(self.mlp_norm(x)).add_(x)

    def _joined_anew(self, x: Tensor, attended: Tensor) -> Tensor:
        """The sum is kept in the dtype of x, float32 in training."""
        if self.parallel:
            return x + self._dropped(attended) + self._dropped(self.mlp(self.mlp_norm(x)))
        x = x + self._dropped(attended)
        return x + self._dropped(self.mlp(self.mlp_norm(x)))

    def _dropped(self, added: Tensor) -> Tensor:
        return dropout(added, self.dropout)


@dataclass(frozen=True)
class Parts:
    """A whole decoder.

    Args:
        embed: states of token ids and their positions, both (tokens).
        tied: where the gradient of a shared embedding is put by the output layer; None where it is not shared.
        blocks: its layers.
        norm: after the last.
        head: (vocabulary, width).
        rotary: transformers' module that gives cosines and sines of positions, or None.
    """

    embed: Callable[[Tensor, Tensor], Tensor]
    blocks: list[Block]
    norm: Map
    head: Tensor
    rotary: Any
    tied: TiedGradient | None = None


def not_covered(model: Any) -> str:
    """Why transformers' own forward pass must run this model, or "" if the packed one can."""
    config = model.config
    family = FAMILIES.get(config.model_type)
    if family is None or type(model).__name__ != family[0]:
        return f"{type(model).__name__} ({config.model_type}) is not one of {', '.join(FAMILIES)}"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        return f"its rotary embedding {rope!r} depends on how long the text is"
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None or not head.weight.is_floating_point():
        return f"its output layer is {type(head).__name__}, not a plain linear one"
    if config.model_type == "gpt2" and config.add_cross_attention:
        return "it has cross-attention"
    if any(hasattr(m, "base_layer") and isinstance(m.base_layer, nn.Embedding) for m in model.modules()):
        return "its embedding has an adapter"
    return ""


def parts_of(model: Any, dtype: torch.dtype | None = None, dropout: float = 0.0) -> Parts:
    """The parts of a model of which `not_covered` is empty.

    Args:
        model: of transformers.
        dtype: that linear layers compute in; None for that of the weights.
        dropout: of what attention and MLP add, where gradients are wanted.
    """
    computed = dtype or model.get_output_embeddings().weight.dtype
    parts: Parts = FAMILIES[model.config.model_type][1](model, computed)
    return replace(parts, blocks=[replace(block, dropout=dropout) for block in parts.blocks]) if dropout else parts


def pairs_per_token(model: Any) -> float:
    """How many query-key pairs of attention cost as much as all else does for one token.

    A token costs two operations a weight; a pair costs four a number of the queries, in each layer.
    """
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weights = sum(p.numel() for p in model.base_model.parameters()) - model.get_input_embeddings().weight.numel()
    return float(max(1.0, weights / (2 * config.num_hidden_layers * config.num_attention_heads * width)))


def _rms_norm(module: Any, dtype: torch.dtype) -> Map:
    def norm(x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            states = F.rms_norm(x.float(), x.shape[-1:], module.weight.float(), module.variance_epsilon)
            return states.to(dtype)
        # in place where it can be: torch's rms_norm takes twice as long on a CPU (2.6 and 1.3 ms, 2048 x 512)
        size = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(module.variance_epsilon))
        return (x * size).mul_(module.weight).to(dtype)

    return norm


def _layer_norm(module: Any, dtype: torch.dtype) -> Map:
    def norm(x: Tensor) -> Tensor:
        weight, bias = module.weight.to(x.dtype), module.bias.to(x.dtype)
        return F.layer_norm(x, x.shape[-1:], weight, bias, module.eps).to(dtype)

    return norm


def _llama(model: Any, dtype: torch.dtype) -> Parts:
    """Llama, Mistral, Qwen2 and Qwen3 differ in biases, norms of queries and keys, and windows."""
    inner, config = model.model, model.config

    def block(layer: Any) -> Block:
        attention, mlp = layer.self_attn, layer.mlp
        width = attention.head_dim
        norms = [
            _rms_norm(getattr(attention, n), dtype) if hasattr(attention, n) else None for n in ("q_norm", "k_norm")
        ]

        def qkv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            projections = (attention.q_proj, attention.k_proj, attention.v_proj)
            q, k, v = (linear(p, x).view(len(x), -1, width) for p in projections)
            return norms[0](q) if norms[0] else q, norms[1](k) if norms[1] else k, v

        def gated(x: Tensor) -> Tensor:
            gate, up = linear(mlp.gate_proj, x), linear(mlp.up_proj, x)
            if not torch.is_grad_enabled():
                inside = mlp.act_fn(gate).mul_(up)
            elif config.hidden_act == "silu":
                inside = gated_silu(gate, up)
            else:
                inside = mlp.act_fn(gate) * up
            return linear(mlp.down_proj, inside)

        # Qwen says it layer by layer, Mistral for all; Llama has none
        window = attention.sliding_window if hasattr(attention, "sliding_window") else _window(config)
        return Block(
            _rms_norm(layer.input_layernorm, dtype),
            qkv,
            lambda x: linear(attention.o_proj, x),
            _rms_norm(layer.post_attention_layernorm, dtype),
            gated,
            False,
            attention.scaling,
            window or 0,
        )

    tied = _tie(model)
    return Parts(
        lambda ids, positions: _rows(inner.embed_tokens.weight, ids, tied),
        [block(layer) for layer in inner.layers],
        _rms_norm(inner.norm, dtype),
        model.lm_head.weight,
        inner.rotary_emb,
        tied,
    )


def _window(config: Any) -> int | None:
    return config.sliding_window if config.model_type == "mistral" else None


def _rows(weight: Tensor, ids: Tensor, tied: TiedGradient | None) -> Tensor:
    if torch.is_grad_enabled() and weight.requires_grad:
        found: Tensor = Lookup.apply(weight, ids, tied)  # type: ignore[no-untyped-call]
        return found
    return F.embedding(ids, weight)


def _tie(model: Any) -> TiedGradient | None:
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    return TiedGradient() if shared else None


def _gpt2(model: Any, dtype: torch.dtype) -> Parts:
    inner = model.transformer

    def block(layer: Any) -> Block:
        attention, mlp = layer.attn, layer.mlp

        def qkv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = linear(attention.c_attn, x).view(len(x), 3, attention.num_heads, attention.head_dim).unbind(1)
            return q, k, v

        return Block(
            _layer_norm(layer.ln_1, dtype),
            qkv,
            lambda x: linear(attention.c_proj, x),
            _layer_norm(layer.ln_2, dtype),
            lambda x: linear(mlp.c_proj, mlp.act(linear(mlp.c_fc, x))),
            False,
            attention.scaling,
            0,
        )

    tied = _tie(model)

    def embed(ids: Tensor, positions: Tensor) -> Tensor:
        return _rows(inner.wte.weight, ids, tied) + F.embedding(positions, inner.wpe.weight)

    blocks = [block(layer) for layer in inner.h]
    return Parts(embed, blocks, _layer_norm(inner.ln_f, dtype), model.lm_head.weight, None, tied)


def _gpt_neox(model: Any, dtype: torch.dtype) -> Parts:
    inner = model.gpt_neox

    def block(layer: Any) -> Block:
        attention, mlp = layer.attention, layer.mlp

        def qkv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            joined = linear(attention.query_key_value, x)
            q, k, v = joined.view(len(x), -1, 3 * attention.head_size).chunk(3, -1)
            return q, k, v

        return Block(
            _layer_norm(layer.input_layernorm, dtype),
            qkv,
            lambda x: linear(attention.dense, x),
            _layer_norm(layer.post_attention_layernorm, dtype),
            lambda x: linear(mlp.dense_4h_to_h, mlp.act(linear(mlp.dense_h_to_4h, x))),
            layer.use_parallel_residual,
            attention.scaling,
            0,
        )

    tied = _tie(model)
    return Parts(
        lambda ids, positions: _rows(inner.embed_in.weight, ids, tied),
        [block(layer) for layer in inner.layers],
        _layer_norm(inner.final_layer_norm, dtype),
        model.get_output_embeddings().weight,
        inner.rotary_emb,
        tied,
    )


FAMILIES: dict[str, tuple[str, Callable[[Any, torch.dtype], Parts]]] = {
    "llama": ("LlamaForCausalLM", _llama),
    "mistral": ("MistralForCausalLM", _llama),
    "qwen2": ("Qwen2ForCausalLM", _llama),
    "qwen3": ("Qwen3ForCausalLM", _llama),
    "gpt2": ("GPT2LMHeadModel", _gpt2),
    "gpt_neox": ("GPTNeoXForCausalLM", _gpt_neox),
}
